//! Rows as markdown that is aligned for the terminal too.

use std::fmt::Write;

use super::row::Row;
use super::runtime::Runtime;

/// For each precision and number of threads: minima with ratios, then every row.
pub fn render(rows: &[Row]) -> String {
    let mut text = String::from("# edgecut and its peers\n\n");
    let machines = distinct(rows.iter().map(|r| r.machine.as_str()));
    let _ = writeln!(text, "Measured on: {}.\n", machines.join("; "));
    for (precision, threads) in distinct(rows.iter().map(|r| (r.precision.as_str(), r.threads))) {
        let part: Vec<&Row> =
            rows.iter().filter(|r| r.precision == precision && r.threads == threads).collect();
        let plural = if threads == 1 { "" } else { "s" };
        let _ = writeln!(text, "## {precision}, {threads} thread{plural}\n");
        text += &minima(rows, &part, threads);
        text += &details(&part);
    }
    text += "Latencies in ms of bursts that the runtimes measured in turn, in one run; minima are \
             compared. Load: file to ready model, library already loaded. RSS: peak of the process \
             in MB (10^6 bytes), in brackets what it held before the runtime came (Python, the \
             input). Error: largest difference to ONNX Runtime's float32 outputs over their \
             largest magnitude.\n";
    text
}

/// Models by runtimes, with what the best peer and the better Rust peer take relative to edgecut.
fn minima(all: &[Row], part: &[&Row], threads: usize) -> String {
    // Packed or not, edgecut computes alike: the difference is in the details.
    let mut runtimes = distinct(part.iter().map(|r| r.runtime.as_str()));
    runtimes.retain(|&r| r != Runtime::EdgecutPacked.name());
    let mut header: Vec<String> = vec!["model".into()];
    header.extend(runtimes.iter().map(|r| r.to_string()));
    header.extend(["best peer / edgecut".into(), "Rust peers / edgecut".into()]);
    let scales = threads > 1 && all.iter().any(|r| r.threads == 1);
    header.extend(scales.then(|| "edgecut on 1 thread / edgecut".into()));
    let mut lines = vec![];
    let beside_float = runtimes.contains(&Runtime::EdgecutFloat.name());
    header.extend(beside_float.then(|| "edgecut-float / edgecut".into()));
    let mut ratios = vec![vec![]; header.len() - 1 - runtimes.len()];
    for model in distinct(part.iter().map(|r| r.model.as_str())) {
        let of = |runtime: &str| -> Option<f64> {
            let row = part.iter().find(|r| r.model == model && r.runtime == runtime)?;
            row.min_ms.filter(|_| row.counted)
        };
        let best = |names: &[&str]| names.iter().filter_map(|r| of(r)).reduce(f64::min);
        let peers: Vec<&str> =
            runtimes.iter().copied().filter(|r| !r.starts_with("edgecut")).collect();
        let (ours, fastest) = (of("edgecut"), best(&peers));
        let alone = all.iter().find(|r| {
            r.model == model
                && r.runtime == "edgecut"
                && r.threads == 1
                && part.first().is_some_and(|p| p.precision == r.precision)
        });
        let alone = alone.and_then(|r| r.min_ms.filter(|_| r.counted));
        let mut line = vec![model.to_string()];
        line.extend(runtimes.iter().map(|&runtime| match of(runtime) {
            Some(ms) if Some(ms) == fastest && peers.contains(&runtime) => format!("**{ms:.2}**"),
            Some(ms) => format!("{ms:.2}"),
            None => "–".into(),
        }));
        let mut found = vec![over(fastest, ours), over(best(&["tract", "rten"]), ours)];
        found.extend(scales.then(|| over(alone, ours)));
        found.extend(beside_float.then(|| over(of(Runtime::EdgecutFloat.name()), ours)));
        for (column, ratio) in found.into_iter().enumerate() {
            line.push(times(ratio));
            ratios[column].extend(ratio);
        }
        lines.push(line);
    }
    let mut mean = vec!["geometric mean".to_string()];
    mean.resize(1 + runtimes.len(), String::new());
    mean.extend(ratios.iter().map(|r| times(geometric_mean(r))));
    lines.push(mean);
    markdown(&header, &lines)
}

/// Every row with everything about it.
fn details(part: &[&Row]) -> String {
    let header = ["model", "runtime", "version", "min", "median", "p90", "runs", "load", "RSS"];
    let header: Vec<String> =
        header.into_iter().chain(["arena", "error", "note"]).map(String::from).collect();
    let number = |x: Option<f64>, decimals: usize| match x {
        Some(x) => format!("{x:.decimals$}"),
        None => "–".into(),
    };
    let line = |r: &&Row| {
        let rss = match (r.rss_mb, r.host_rss_mb) {
            (Some(rss), Some(host)) => format!("{rss:.0} ({host:.0})"),
            _ => "–".into(),
        };
        vec![
            r.model.clone(),
            r.runtime.clone(),
            r.version.clone().unwrap_or_else(|| "–".into()),
            number(r.min_ms, 3),
            number(r.median_ms, 3),
            number(r.p90_ms, 3),
            if r.runs == 0 { "–".into() } else { r.runs.to_string() },
            number(r.load_ms, 1),
            rss,
            number(r.arena_mb, 2),
            r.relative_error.map_or("–".into(), |e| format!("{e:.0e}")),
            // A bar would end the cell.
            r.note.clone().unwrap_or_default().replace('|', "/"),
        ]
    };
    markdown(&header, &part.iter().map(line).collect::<Vec<_>>())
}

/// A table whose columns are as wide as their widest cell; numbers stand at the right.
fn markdown(header: &[String], lines: &[Vec<String>]) -> String {
    let length = |cell: &String| cell.chars().count();
    let width = |column: usize| {
        let cells = lines.iter().map(|l| length(&l[column]));
        cells.max().unwrap_or(0).max(length(&header[column])).max(3)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let left = |column: usize| matches!(header[column].as_str(), "model" | "runtime" | "note");
    let row = |cells: &[String]| {
        let cells = cells.iter().enumerate().map(|(i, cell)| match left(i) {
            true => format!("{cell:<w$}", w = widths[i]),
            false => format!("{cell:>w$}", w = widths[i]),
        });
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let rules = widths.iter().enumerate().map(|(i, &w)| match left(i) {
        true => "-".repeat(w),
        false => format!("{}:", "-".repeat(w - 1)),
    });
    let rules: Vec<String> = rules.collect();
    let body: String = lines.iter().map(|l| row(l)).collect();
    format!("{}{}{body}\n", row(header), row(&rules))
}

/// The different items in the order of their first appearance.
fn distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut found = vec![];
    for item in items {
        if !found.contains(&item) {
            found.push(item);
        }
    }
    found
}

fn over(theirs: Option<f64>, ours: Option<f64>) -> Option<f64> {
    Some(theirs? / ours?)
}

fn times(ratio: Option<f64>) -> String {
    ratio.map_or("–".into(), |r| format!("{r:.2}x"))
}

fn geometric_mean(ratios: &[f64]) -> Option<f64> {
    let logs = ratios.iter().map(|r| r.ln()).sum::<f64>();
    (!ratios.is_empty()).then(|| (logs / ratios.len() as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench_peers::Precision;

    fn row(model: &str, runtime: Runtime, threads: usize, min: Option<f64>, counted: bool) -> Row {
        let mut row = Row::new(model, runtime, Some("1.0"), Precision::F32, threads);
        (row.min_ms, row.counted) = (min, counted);
        row
    }

    #[test]
    fn ratios_are_of_the_best_peer_that_counts() {
        let rows = [
            row("a", Runtime::Edgecut, 1, Some(2.0), true),
            row("a", Runtime::EdgecutPacked, 1, Some(0.5), true),
            row("a", Runtime::OpenVino, 1, Some(3.0), true),
            row("a", Runtime::Mnn, 1, Some(1.0), false),
            row("a", Runtime::Rten, 1, Some(8.0), true),
            row("b", Runtime::Edgecut, 1, Some(4.0), true),
            row("b", Runtime::OpenVino, 1, Some(24.0), true),
            row("b", Runtime::Tract, 1, None, false),
            row("a", Runtime::Edgecut, 2, Some(1.0), true),
        ];
        let text = render(&rows);
        let line = |start: &str| {
            let line = text.lines().find(|l| l.starts_with(start)).unwrap();
            line.split('|').map(str::trim).map(String::from).collect::<Vec<_>>()
        };
        // model, edgecut, openvino, mnn, rten, tract, ratios.
        assert_eq!(line("| a ")[2..9], ["2.00", "**3.00**", "–", "8.00", "–", "1.50x", "4.00x"]);
        assert_eq!(line("| b ")[7..9], ["6.00x", "–"]);
        assert_eq!(line("| geometric mean")[7..9], ["3.00x", "4.00x"]);
        assert!(text.contains("edgecut on 1 thread / edgecut"), "{text}");
        assert!(text.lines().any(|l| l.starts_with("| a ") && l.contains("2.00x")), "{text}");
    }
}
