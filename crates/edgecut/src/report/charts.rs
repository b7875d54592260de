//! Inline SVG: line charts and the confusion matrix. Colours come from the page's CSS classes, so
//! that light and dark need no second drawing.

use maud::{Markup, html};

/// A line of a chart.
pub struct Series<'a> {
    /// Name in the legend.
    pub name: &'a str,
    /// CSS class that gives the colour.
    pub class: &'a str,
    /// One value per epoch, from epoch 1.
    pub values: Vec<f64>,
}

const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 30.0;

/// A line chart over epochs. `unit` follows the axis numbers.
pub fn lines(title: &str, unit: &str, series: &[Series]) -> Markup {
    let finite = || series.iter().flat_map(|s| &s.values).copied().filter(|v| v.is_finite());
    let (low, high) = finite().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
    let epochs = series.iter().map(|s| s.values.len()).max().unwrap_or(0);
    if low > high {
        return html! { p.quiet { "No epochs were recorded." } };
    }
    let ticks = ticks(low, high);
    let (bottom, top) = (ticks[0].min(low), ticks[ticks.len() - 1].max(high));
    let x = |i: usize| LEFT + (WIDTH - LEFT - RIGHT) * i as f64 / (epochs.max(2) - 1) as f64;
    let y =
        |v: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - (v - bottom) / (top - bottom).max(1e-12));
    let step = epochs.div_ceil(10).max(1);
    html! {
        figure.chart {
            figcaption {
                strong { (title) }
                @for s in series { span.legend.(s.class) { (s.name) } }
            }
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(title) {
                @for t in &ticks {
                    line.grid x1=(LEFT) x2=(WIDTH - RIGHT) y1=(px(y(*t))) y2=(px(y(*t))) {}
                    text.axis x=(LEFT - 6.0) y=(px(y(*t) + 4.0)) text-anchor="end" { (tick_label(*t, &ticks)) (unit) }
                }
                @for i in (0..epochs).step_by(step) {
                    text.axis x=(px(x(i))) y=(HEIGHT - 10.0) text-anchor="middle" { (i + 1) }
                }
                @for s in series {
                    polyline.line.(s.class) points=(points(&s.values, x, y)) {}
                    @if let Some((i, v)) = s.values.iter().enumerate().next_back().filter(|(_, v)| v.is_finite()) {
                        circle.dot.(s.class) cx=(px(x(i))) cy=(px(y(*v))) r="3.5" {}
                    }
                }
            }
        }
    }
}

fn points(values: &[f64], x: impl Fn(usize) -> f64, y: impl Fn(f64) -> f64) -> String {
    let drawn = values.iter().enumerate().filter(|(_, v)| v.is_finite());
    drawn.map(|(i, &v)| format!("{},{}", px(x(i)), px(y(v)))).collect::<Vec<_>>().join(" ")
}

/// Pixels with one digit: smaller file, same picture.
fn px(v: f64) -> String {
    format!("{v:.1}")
}

/// Three to seven round numbers around the range.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let span = (high - low).max(high.abs() * 1e-6).max(1e-9);
    let rough = span / 4.0;
    let magnitude = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * magnitude).into_iter().find(|s| *s >= rough);
    let step = step.unwrap_or(rough);
    let first = (low / step).floor();
    let last = (high / step).ceil().max(first + 1.0);
    (0..=(last - first) as usize).map(|i| (first + i as f64) * step).collect()
}

fn tick_label(tick: f64, ticks: &[f64]) -> String {
    let step = ticks.get(1).map_or(1.0, |t| t - ticks[0]);
    let digits = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{tick:.digits$}")
}

/// The coordinates of a chart of points, and what is drawn in them.
pub struct Frame {
    x: Vec<f64>,
    y: Vec<f64>,
}

/// The box of every chart.
pub fn view_box() -> String {
    format!("0 0 {WIDTH} {HEIGHT}")
}

impl Frame {
    /// Around all `points`; the horizontal axis begins at `from` or before it.
    pub fn around(points: impl Iterator<Item = (f64, f64)>, from: f64) -> Frame {
        let start = ((from, from), (f64::MAX, f64::MIN));
        let wider = |(x, y): ((f64, f64), (f64, f64)), (a, b): (f64, f64)| {
            ((x.0.min(a), x.1.max(a)), (y.0.min(b), y.1.max(b)))
        };
        let (x, y) = points.fold(start, wider);
        Frame { x: ticks(x.0, x.1), y: ticks(y.0, y.1) }
    }

    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let share = |v: f64, ticks: &[f64]| {
            let (low, high) = (ticks[0], ticks[ticks.len() - 1]);
            (v - low) / (high - low).max(1e-12)
        };
        let right = LEFT + (WIDTH - LEFT - RIGHT) * share(x, &self.x);
        (right, TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - share(y, &self.y)))
    }

    /// Both axes with units behind their numbers.
    pub fn axes(&self, x_unit: &str, y_unit: &str) -> Markup {
        let bottom = HEIGHT - 10.0;
        html! {
            @for t in &self.y {
                @let y = self.place((self.x[0], *t)).1;
                line.grid x1=(LEFT) x2=(WIDTH - RIGHT) y1=(px(y)) y2=(px(y)) {}
                text.axis x=(LEFT - 6.0) y=(px(y + 4.0)) text-anchor="end" { (tick_label(*t, &self.y)) (y_unit) }
            }
            @for t in &self.x {
                @let x = self.place((*t, self.y[0])).0;
                // The last one would leave the picture.
                @let anchor = if x > WIDTH - 2.0 * RIGHT { "end" } else { "middle" };
                text.axis x=(px(x)) y=(bottom) text-anchor=(anchor) { (tick_label(*t, &self.x)) (x_unit) }
            }
        }
    }

    /// A bound of what is on the horizontal axis.
    pub fn vertical(&self, x: f64, name: &str) -> Markup {
        let (x, _) = self.place((x, self.y[0]));
        html! {
            line.bound x1=(px(x)) x2=(px(x)) y1=(TOP) y2=(HEIGHT - BOTTOM) {}
            text.axis x=(px(x + 4.0)) y=(TOP + 9.0) { (name) }
        }
    }

    /// A bound of what is on the vertical axis.
    pub fn horizontal(&self, y: f64, name: &str) -> Markup {
        let (_, y) = self.place((self.x[0], y));
        html! {
            line.bound x1=(LEFT) x2=(WIDTH - RIGHT) y1=(px(y)) y2=(px(y)) {}
            text.axis x=(LEFT + 4.0) y=(px(y - 4.0)) { (name) }
        }
    }

    /// A named point.
    pub fn dot(&self, class: &str, point: (f64, f64), name: &str) -> Markup {
        let (x, y) = self.place(point);
        // Names stay inside the picture.
        let (side, anchor) = if x > WIDTH - 60.0 { (-6.0, "end") } else { (6.0, "start") };
        html! {
            circle.dot.(class) cx=(px(x)) cy=(px(y)) r="4" {}
            text.axis x=(px(x + side)) y=(px((y - 5.0).max(TOP))) text-anchor=(anchor) { (name) }
        }
    }

    /// A ring around a point.
    pub fn ring(&self, point: (f64, f64)) -> Markup {
        let (x, y) = self.place(point);
        html! { circle.ring cx=(px(x)) cy=(px(y)) r="8" {} }
    }

    /// Points of a line.
    pub fn points(&self, line: &[(f64, f64)]) -> String {
        let places = line.iter().map(|&point| self.place(point));
        places.map(|(x, y)| format!("{},{}", px(x), px(y))).collect::<Vec<_>>().join(" ")
    }
}

/// Rows are true classes, columns are predictions; the strength of a cell is its share of the row.
pub fn confusion(matrix: &[Vec<u32>], classes: &[String]) -> Markup {
    let n = matrix.len();
    let (cell, label) = if n <= 20 { (34.0, 104.0) } else { (9.0, 0.0) };
    let side = label + cell * n as f64;
    let name = |i: usize| classes.get(i).map_or_else(|| i.to_string(), Clone::clone);
    let at = |i: usize| label + cell * i as f64;
    html! {
        svg.confusion viewBox={ "0 0 " (side) " " (side) } role="img" aria-label="Confusion matrix" {
            @for (row, counts) in matrix.iter().enumerate() {
                @let total = counts.iter().sum::<u32>().max(1);
                @if label > 0.0 {
                    text.axis x=(label - 6.0) y=(px(at(row) + cell / 2.0 + 4.0)) text-anchor="end" { (shorten(&name(row), 16)) }
                    text.axis x="0" y="0" transform={ "translate(" (px(at(row) + cell / 2.0 + 4.0)) " " (label - 6.0) ") rotate(-90)" } { (shorten(&name(row), 16)) }
                }
                @for (column, &count) in counts.iter().enumerate() {
                    @let share = f64::from(count) / f64::from(total);
                    @let class = if row == column { "hit" } else { "miss" };
                    // Errors are rare: the square root keeps a few percent visible.
                    rect.(class) x=(px(at(column))) y=(px(at(row))) width=(cell - 1.0) height=(cell - 1.0) rx="2"
                        fill-opacity=(format!("{:.3}", 0.03 + 0.92 * share.sqrt())) {
                        title { (name(row)) " taken for " (name(column)) ": " (count) " of " (total) }
                    }
                    @if cell > 20.0 && count > 0 {
                        @let text = if share > 0.35 { "on" } else { "off" };
                        text.cell.(text) x=(px(at(column) + cell / 2.0 - 0.5)) y=(px(at(row) + cell / 2.0 + 3.5)) text-anchor="middle" { (count) }
                    }
                }
            }
        }
    }
}

/// At most `limit` characters, with an ellipsis where something is cut.
pub fn shorten(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_string();
    }
    text.chars().take(limit - 1).chain(['…']).collect()
}

/// Two bars, one above the other, on a common scale.
pub fn pair_bars(float: f64, int8: f64) -> Markup {
    let scale = float.max(int8).max(1e-12);
    let width = |v: f64| format!("width:{:.1}%", 100.0 * (v / scale).clamp(0.004, 1.0));
    html! {
        div.pair {
            div.bar.float style=(width(float)) {}
            div.bar.int8 style=(width(int8)) {}
        }
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn ticks_cover_the_range_with_round_numbers() {
        assert_eq!(ticks(0.31, 1.92), [0.0, 0.5, 1.0, 1.5, 2.0]);
        for (low, high) in [(0.0, 0.0), (5.0, 5.0), (-1.0, 1e9), (88.1, 88.2)] {
            let t = ticks(low, high);
            assert!(t[0] <= low && t[t.len() - 1] >= high && (2..=8).contains(&t.len()), "{t:?}");
        }
    }

    #[test]
    fn a_chart_survives_values_that_are_not_numbers() {
        let series = Series { name: "a", class: "b", values: vec![f64::NAN, 1.0, f64::INFINITY] };
        assert!(lines("t", "", &[series]).into_string().contains("polyline"));
        assert!(lines("t", "", &[]).into_string().contains("No epochs"));
    }
}
