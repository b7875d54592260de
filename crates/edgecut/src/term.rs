//! What a person reads in the terminal: tables and numbers with units.

use std::io::IsTerminal;
use std::time::Duration;

use comfy_table::{CellAlignment, Table};

/// Rules above, below and under the header; none between rows (comfy-table's order of styles).
const RULED: &str = "  ── ──      ──    ";

/// Characters in a line of the terminal: at least 60, at most 120, and 100 where there is none.
pub fn width() -> usize {
    let table = Table::new();
    let known = if std::io::stdout().is_terminal() { table.width() } else { None };
    usize::from(known.unwrap_or(100)).clamp(60, 120)
}

/// A table with a rule under its header; columns after the first are aligned to the right
/// where `numeric` says so.
pub fn table(header: &[&str], numeric: &[usize], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_preset(RULED).set_header(header.iter().copied());
    if !std::io::stdout().is_terminal() {
        table.set_content_arrangement(comfy_table::ContentArrangement::Disabled);
    }
    for row in rows {
        table.add_row(row);
    }
    for &column in numeric {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

/// `3,504,872`
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `300.8 M`, `4.7 k`, `12`
pub fn short_count(n: u64) -> String {
    match n {
        0..10_000 => count(n),
        10_000..1_000_000 => format!("{:.1} k", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} M", n as f64 / 1e6),
        _ => format!("{:.2} G", n as f64 / 1e9),
    }
}

/// `240`, `698,720`, `6.98e8`, of a number as long as it may be.
pub fn short_number(digits: &str) -> String {
    match (digits.parse(), digits.get(..1), digits.get(1..3)) {
        (Ok(n @ 0..10_000_000), ..) => count(n),
        (_, Some(first), Some(next)) => format!("{first}.{next}e{}", digits.len() - 1),
        _ => digits.into(),
    }
}

/// `512 B`, `87.4 KiB`, `13.4 MiB`
pub fn bytes(n: u64) -> String {
    let n = n as f64;
    match n {
        _ if n < 1024.0 => format!("{n} B"),
        _ if n < 1024.0 * 1024.0 => format!("{:.1} KiB", n / 1024.0),
        _ if n < 1024.0 * 1024.0 * 1024.0 => format!("{:.1} MiB", n / 1024.0 / 1024.0),
        _ => format!("{:.2} GiB", n / 1024.0 / 1024.0 / 1024.0),
    }
}

/// `0.0471 ms`, `3.82 ms`, `41.0 ms`, `1,204 ms`: about three digits that matter.
pub fn milliseconds(ms: f64) -> String {
    match ms {
        _ if ms < 0.1 => format!("{ms:.4} ms"),
        _ if ms < 1.0 => format!("{ms:.3} ms"),
        _ if ms < 10.0 => format!("{ms:.2} ms"),
        _ if ms < 1000.0 => format!("{ms:.1} ms"),
        _ => format!("{} ms", count(ms.round() as u64)),
    }
}

/// `41 s`, `3 min 05 s`, `2 h 07 min`
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    match seconds {
        0..100 if time < Duration::from_secs(10) => format!("{:.1} s", time.as_secs_f64()),
        0..100 => format!("{seconds} s"),
        100..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// `0`, `0.284`, `8.82`, `5.0e-6`: about three digits that matter.
pub fn number(x: f64) -> String {
    match x.abs() {
        0.0 => "0".into(),
        size if (1e-3..1e5).contains(&size) => {
            let decimals = (2.0 - size.log10().floor()).clamp(0.0, 5.0) as usize;
            format!("{x:.decimals$}")
        }
        _ => format!("{x:.1e}"),
    }
}

/// `91.25 %`
pub fn percent(value: f64) -> String {
    format!("{value:.2} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(count(3_504_872), "3,504,872");
        assert_eq!(count(12), "12");
        assert_eq!(short_count(300_774_272), "300.8 M");
        assert_eq!(["1240", "698720256"].map(short_number), ["1,240", "6.98e8"]);
        assert_eq!(bytes(89_500), "87.4 KiB");
        assert_eq!(milliseconds(0.04712), "0.0471 ms");
        assert_eq!(milliseconds(1203.7), "1,204 ms");
        assert_eq!(
            [0.28412, 8.8249, 1234.5, 5.04e-6].map(number),
            ["0.284", "8.82", "1234", "5.0e-6"]
        );
        assert_eq!((number(0.0), number(f64::INFINITY)), ("0".into(), "inf".into()));
        assert_eq!(duration(Duration::from_secs(185)), "3 min 05 s");
        assert_eq!(duration(Duration::from_millis(4100)), "4.1 s");
    }

    #[test]
    fn tables_align_numbers() {
        let text = table(&["op", "ms"], &[1], &[vec!["Conv".into(), "1".into()]]);
        assert!(text.lines().any(|l| l.contains("Conv") && l.trim_end().ends_with('1')), "{text}");
    }
}
