//! Inline SVG. Colours come from classes of the page's style.

use maud::{Markup, html};

use super::rows::{MARKS, OnTrace, Row, quantile};

const WIDTH: f64 = 1000.0;
const HALF: f64 = 520.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 10.0;

/// A scale from values to pixels.
struct Scale {
    most: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn at(&self, value: f64) -> f64 {
        self.from + (self.to - self.from) * (value / self.most).clamp(0.0, 1.0)
    }

    /// Three to six round numbers from 0 on.
    fn ticks(&self) -> Vec<f64> {
        let rough = self.most / 5.0;
        let magnitude = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * magnitude).into_iter().find(|s| *s >= rough);
        let step = step.unwrap_or(rough);
        (0..=(self.most / step) as usize).map(|number| number as f64 * step).collect()
    }
}

/// Class of a policy's colour.
pub fn class(policy: &str) -> &str {
    if policy.starts_with("cut") { "cut" } else { policy }
}

fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.filter(|value| value.is_finite()).fold(1e-3, f64::max)
}

fn points(pairs: impl Iterator<Item = (f64, f64)>) -> String {
    let pairs: Vec<String> = pairs.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    pairs.join(" ")
}

fn rows_across(scale: &Scale, unit: &str, width: f64) -> Markup {
    html! {
        @for tick in scale.ticks() {
            @let y = format!("{:.1}", scale.at(tick));
            line.grid x1=(LEFT) x2=(width - RIGHT) y1=(y) y2=(y) {}
            text x=(LEFT - 6.0) y=(y) dy="4" text-anchor="end" { (tick) (unit) }
        }
    }
}

fn columns_along(scale: &Scale, bottom: f64, unit: &str) -> Markup {
    html! {
        @for tick in scale.ticks() {
            @let x = scale.at(tick);
            @let anchor = if x > scale.to - 2.0 * RIGHT { "end" } else { "middle" };
            text x=(format!("{x:.1}")) y=(bottom + 16.0) text-anchor=(anchor) { (tick) (unit) }
        }
    }
}

/// Latency of each request over time, and the link's rate beneath it.
pub fn over_time(on: &OnTrace) -> Markup {
    const LATENCY: [f64; 2] = [220.0, 12.0];
    const RATE: [f64; 2] = [310.0, 240.0];
    let times: Vec<f64> = match on.seen.first() {
        Some(seen) => seen.requests.iter().map(|one| one.at_ms / 1e3).collect(),
        None => vec![],
    };
    let x = Scale { most: largest(times.iter().copied()), from: LEFT, to: WIDTH - RIGHT };
    let drawn = on.rows.iter().flat_map(|row| row.latencies.iter().copied());
    let y = Scale { most: 1.05 * largest(drawn), from: LATENCY[0], to: LATENCY[1] };
    let rate = Scale { most: largest(on.rates.iter().copied()), from: RATE[0], to: RATE[1] };
    let line = |row: &Row| {
        points(times.iter().zip(&row.latencies).map(|(&time, &ms)| (x.at(time), y.at(ms))))
    };
    let ends = [(x.at(0.0), RATE[0]), (WIDTH - RIGHT, RATE[0])];
    let rates = times.iter().zip(&on.rates).map(|(&time, &mbps)| (x.at(time), rate.at(mbps)));
    let area = points(ends[..1].iter().copied().chain(rates).chain(ends[1..].iter().copied()));
    let deadline = format!("{:.1}", y.at(on.deadline_ms));
    html! {
        svg viewBox={ "0 0 " (WIDTH) " 336" } role="img" aria-label="Latency over time" {
            (rows_across(&y, " ms", WIDTH))
            line.deadline x1=(LEFT) x2=(WIDTH - RIGHT) y1=(deadline) y2=(deadline) {}
            text x=(WIDTH - RIGHT) y=(deadline) dy="-4" text-anchor="end" { "deadline" }
            @for row in &on.rows {
                polyline.line.(class(&row.policy)) points=(line(row)) {}
            }
            (rows_across(&rate, "", WIDTH))
            polygon.rate points=(area) {}
            text x=(LEFT + 6.0) y=(RATE[1]) dy="-5" { "Mbit/s" }
            (columns_along(&x, RATE[0], " s"))
        }
    }
}

/// For each policy the share of requests within a latency.
pub fn distribution(on: &OnTrace) -> Markup {
    const SHARE: [f64; 2] = [240.0, 12.0];
    let tails = on.rows.iter().map(|row| quantile(&row.latencies, 1.0));
    let x = Scale { most: 1.02 * largest(tails), from: LEFT, to: HALF - RIGHT };
    let y = Scale { most: 100.0, from: SHARE[0], to: SHARE[1] };
    let line = |row: &Row| {
        let mut sorted = row.latencies.clone();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len().max(1) as f64;
        let steps = sorted.iter().zip(0..).flat_map(|(&ms, before)| {
            [before, before + 1].map(|n| (x.at(ms), y.at(100.0 * f64::from(n) / count)))
        });
        points([(x.at(0.0), y.at(0.0))].into_iter().chain(steps))
    };
    html! {
        svg viewBox={ "0 0 " (HALF) " 266" } role="img" aria-label="Share of requests within a latency" {
            (rows_across(&y, " %", HALF))
            @for row in &on.rows {
                polyline.line.(class(&row.policy)) points=(line(row)) {}
            }
            (columns_along(&x, SHARE[0], " ms"))
        }
    }
}

/// Where requests went: a bar for each policy that asked.
pub fn ways(on: &OnTrace) -> Markup {
    let total = |marks: &[usize; 5]| marks.iter().sum::<usize>().max(1) as f64;
    html! {
        @for row in &on.rows {
            @if let Some(marks) = &row.marks {
                div.way {
                    span { (row.policy) }
                    div.parts {
                        @for (mark, &count) in MARKS.iter().zip(marks) {
                            @if count > 0 {
                                @let share = 100.0 * count as f64 / total(marks);
                                div.part.(format!("to-{mark}")) style=(format!("width:{share:.2}%"))
                                    title={ (mark) ": " (count) } { @if share > 8.0 { (mark) " " (count) } }
                            }
                        }
                    }
                }
            }
        }
    }
}
