//! Live activations over time: bars for the terminal, a step chart for the page.

use maud::{Markup, html};

use crate::term;

const WIDTH: f64 = 1040.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 26.0;

const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A plot of `rows` lines and at most `columns` bars; each bar shows the most memory among the
/// nodes that it stands for.
pub fn plot(live: &[u64], columns: usize, rows: usize) -> Vec<String> {
    let columns = columns.min(live.len()).max(1);
    let top = u128::from(live.iter().copied().max().unwrap_or(0).max(1));
    let height = |i: usize| {
        let (from, to) = (i * live.len() / columns, (i + 1) * live.len() / columns);
        let most = live.get(from..to.max(from + 1)).unwrap_or_default().iter().copied().max();
        // In eighths of a line, rounded up, so that only nothing looks like nothing.
        (u128::from(most.unwrap_or(0)) * 8 * rows as u128).div_ceil(top) as usize
    };
    let heights: Vec<usize> = (0..columns).map(height).collect();
    let bar = |height: &usize, row: usize| EIGHTHS[height.saturating_sub(row * 8).min(8)];
    let line = |row: usize| heights.iter().map(|h| bar(h, row)).collect::<String>();
    (0..rows).rev().map(|row| line(row).trim_end().to_string()).collect()
}

/// A step chart of the bytes alive while each node runs, its peak marked by name.
pub fn chart(live: &[u64], names: &[String]) -> Markup {
    let Some((at, &peak)) = live.iter().enumerate().max_by_key(|(i, b)| (**b, usize::MAX - i))
    else {
        return html! { p.quiet { "The model has no nodes." } };
    };
    let step = (WIDTH - LEFT - RIGHT) / live.len() as f64;
    let y = |bytes: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - bytes / peak.max(1) as f64);
    let x = |i: usize| LEFT + step * i as f64;
    let mut path = format!("M{:.1} {:.1}", x(0), HEIGHT - BOTTOM);
    for (i, &bytes) in live.iter().enumerate() {
        path.push_str(&format!("V{:.1}H{:.1}", y(bytes as f64), x(i + 1)));
    }
    path.push_str(&format!("V{:.1}Z", HEIGHT - BOTTOM));
    let name = names.get(at).map_or("", String::as_str);
    // The label stays inside the picture on either side.
    let (anchor, shift) = if at * 2 < live.len() { ("start", 8.0) } else { ("end", -8.0) };
    html! {
        svg.memory data-left=(LEFT) data-right=(WIDTH - RIGHT) viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label="Live activations while each node runs" {
            @for quarter in 0..=4u64 {
                @let bytes = peak as f64 * quarter as f64 / 4.0;
                line.grid x1=(LEFT) x2=(WIDTH - RIGHT) y1=(format!("{:.1}", y(bytes))) y2=(format!("{:.1}", y(bytes))) {}
                text.axis x=(LEFT - 8.0) y=(format!("{:.1}", y(bytes) + 4.0)) text-anchor="end" { (term::bytes(bytes as u64)) }
            }
            path.area d=(path) {}
            @let middle = x(at) + step / 2.0;
            line.peak x1=(format!("{middle:.1}")) x2=(format!("{middle:.1}")) y1=(TOP) y2=(HEIGHT - BOTTOM) {}
            text.axis x=(format!("{:.1}", middle + shift)) y=(TOP - 3.0) text-anchor=(anchor) { "peak " (term::bytes(peak)) " at " (name) }
            text.axis x=(LEFT) y=(HEIGHT - 8.0) { "first node" }
            text.axis x=(WIDTH - RIGHT) y=(HEIGHT - 8.0) text-anchor="end" { "node " (live.len()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plot_keeps_the_peak() {
        assert_eq!(plot(&[0, 4, 8], 3, 1), [" ▄█"]);
        // Sixteenths of 16: 5 are five eighths of the lower line.
        assert_eq!(plot(&[1, 5, 16], 3, 2), ["  █", "▁▅█"]);
        let mut live = vec![1; 1000];
        live[777] = 100;
        let lines = plot(&live, 50, 4);
        assert_eq!(lines.iter().map(|l| l.matches('█').count()).collect::<Vec<_>>(), [1; 4]);
        assert_eq!(lines[3].chars().count(), 50);
        assert_eq!(plot(&[], 10, 2), ["", ""]);
        assert_eq!(plot(&[u64::MAX, 1], 10, 1), ["█▁"]);
    }

    #[test]
    fn the_chart_names_the_peak() {
        let names = ["a".to_string(), "b".into()];
        assert!(chart(&[1, 2048], &names).into_string().contains("peak 2.0 KiB at b"));
        assert!(chart(&[], &[]).into_string().contains("no nodes"));
        assert!(!chart(&[0], &names).into_string().contains("NaN"));
    }
}
