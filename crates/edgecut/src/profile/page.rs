//! A profile as one self-contained HTML file: nothing is requested from anywhere. Its script only
//! zooms and explains; without it the drawing and the table can still be read.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::icicle::{Span, spans};
use super::scatter::scatter;
use super::{Bound, Profiled, Roofs, Step};
use crate::host::Machine;
use crate::inspect::summary::extents;
use crate::report::head as page_head;
use crate::stats::Times;
use crate::term;

const OWN_STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");

/// Pixels of a row of the icicle.
const ROW: usize = 26;

/// What the page says about the whole model.
pub struct Head<'a> {
    /// Name of its file.
    pub title: &'a str,
    /// Latency of whole runs.
    pub latency: &'a Times,
    /// Activation memory, gathered windows of all threads, weights, in bytes.
    pub memory: [u64; 3],
    /// Where it was measured.
    pub machine: &'a Machine,
}

/// The page.
pub fn page(head: &Head, profiled: &Profiled, roofs: &Roofs) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            (page_head(&format!("{} · edgecut bench", head.title), OWN_STYLE))
            body {
                main {
                    (header(head, roofs))
                    (cards(head, profiled))
                    section {
                        h2 { "Time" }
                        p.quiet { "The network from left to right, a row for each level of the names; widths are times. Click a box to enlarge it, the first row to see all." }
                        (icicle(head.title, profiled))
                        p #at { "\u{a0}" }
                        (legend())
                    }
                    section {
                        h2 { "Roofline" }
                        p.quiet { "What each step reaches over how much it computes with a byte; areas are times. Below the roof of the cores' own caches (line) a step computes as fast as its bytes can come from there, below the dashed one from beyond." }
                        (scatter(profiled, roofs))
                    }
                    section {
                        h2 { "Steps" }
                        (table(profiled))
                    }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
    .into_string()
}

fn header(head: &Head, roofs: &Roofs) -> Markup {
    let m = head.machine;
    html! {
        header {
            p.kicker { "edgecut bench" }
            h1 { (head.title) }
            p.lead { (m.cpu) ", " (m.threads) @if m.threads == 1 { " thread" } @else { " threads" } ", " (m.isa) ", edgecut " (m.edgecut) }
            p.quiet { "At most " (super::describe(roofs)) }
        }
    }
}

fn cards(head: &Head, profiled: &Profiled) -> Markup {
    let card = |title: &str, value: String, note: String| {
        html! { div.card { h3 { (title) } p.big { (value) } p.quiet { (note) } } }
    };
    let t = head.latency;
    let [arena, scratch, weights] = head.memory.map(term::bytes);
    html! {
        section.cards {
            (card("Latency", term::milliseconds(t.min_ms), format!("at least; median {}, p90 {} of {} runs", term::milliseconds(t.median_ms), term::milliseconds(t.p90_ms), t.runs)))
            (card("At the roofs", term::milliseconds(profiled.roof_us / 1e3), format!("sum of the steps' least times: {:.0} % of what they take", profiled.roofline)))
            (card("Activations", arena, format!("and {scratch} of scratch memory")))
            (card("Weights", weights, "packed".into()))
        }
    }
}

fn icicle(title: &str, profiled: &Profiled) -> Markup {
    let starts: Vec<f64> = std::iter::once(0.0)
        .chain(profiled.steps.iter().scan(0.0, |at, s| {
            *at += s.median_us;
            Some(*at)
        }))
        .collect();
    let total = profiled.steps_us.max(1e-9);
    let spans = spans(&profiled.steps);
    let depth = spans.iter().map(|s| s.depth + 1).max().unwrap_or(0);
    let place = |from: f64, to: f64, row: usize| {
        let (left, width) = (100.0 * from / total, 100.0 * (to - from) / total);
        format!("left:{left:.4}%;width:{width:.4}%;top:{}px;", row * ROW)
    };
    html! {
        div #icicle style={ "height:" ((depth + 1) * ROW) "px" } {
            div.span.whole data-from="0" data-to=(total) style=(place(0.0, total, 0)) { (title) " " (term::milliseconds(total / 1e3)) }
            @for span in &spans {
                @let (from, to) = (starts[span.steps.start], starts[span.steps.end]);
                @let (step, roofline) = summary(span, &profiled.steps);
                div.span data-from=(format!("{from:.3}")) data-to=(format!("{to:.3}")) data-step=[step]
                    style={ (place(from, to, span.depth + 1)) (tone(roofline)) }
                    title=(describe(span, &profiled.steps)) { (span.label) }
            }
        }
    }
}

/// The step of a leaf, and the share of the roofs of what a box covers.
fn summary(span: &Span, steps: &[Step]) -> (Option<usize>, f64) {
    let covered = &steps[span.steps.clone()];
    let sum = |of: fn(&Step) -> f64| covered.iter().map(of).sum::<f64>();
    let roofline = 100.0 * sum(|s| s.roof_us) / sum(|s| s.median_us).max(1e-9);
    (span.leaf.then_some(span.steps.start), roofline)
}

fn describe(span: &Span, steps: &[Step]) -> String {
    if span.leaf {
        return tip(&steps[span.steps.start]);
    }
    let covered = &steps[span.steps.clone()];
    let us: f64 = covered.iter().map(|s| s.median_us).sum();
    let share: f64 = covered.iter().map(|s| s.share).sum();
    format!(
        "{}: {} steps, {us:.1} µs, {share:.1} %, {} multiply-adds, {:.0} % of the roofs",
        span.label,
        covered.len(),
        term::short_count(covered.iter().map(|s| s.macs).sum()),
        summary(span, steps).1
    )
}

/// A step in a line.
pub(super) fn tip(s: &Step) -> String {
    let bound = match s.bound {
        Bound::Compute => "compute",
        Bound::Memory => "memory",
    };
    let mut text = format!(
        "{} ({}, {}): {:.1} µs, {:.1} %",
        s.name,
        s.kind,
        extents(&s.shape),
        s.median_us,
        s.share
    );
    if s.macs > 0 {
        let rate = s.macs as f64 / s.median_us.max(1e-9) / 1e3;
        text += &format!(", {} multiply-adds at {rate:.1} GMAC/s", term::short_count(s.macs));
    }
    text + &format!(
        ", {} ({} of weights), {} MAC/B, {:.0} % of the {bound} roof",
        term::bytes(s.bytes),
        term::bytes(s.weight_bytes),
        term::number(s.intensity),
        s.roofline
    )
}

/// The colour of a share of the roof.
pub(super) fn tone(roofline: f64) -> String {
    format!("--reached:{:.0}%", roofline.clamp(0.0, 100.0))
}

fn legend() -> Markup {
    html! {
        p.legend-row.quiet {
            "share of the roof "
            @for reached in [0.0, 25.0, 50.0, 75.0, 100.0] {
                span.swatch style=(tone(reached)) {} (reached) " % "
            }
        }
    }
}

fn table(profiled: &Profiled) -> Markup {
    let mut order: Vec<(usize, &Step)> = profiled.steps.iter().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| b.median_us.total_cmp(&a.median_us));
    let some = |n: u64, text: String| if n == 0 { String::new() } else { text };
    html! {
        p.quiet { "Longest first." }
        div.scroll {
            table {
                thead { tr { th { "step" } th { "kind" } th { "result" } th.n { "µs" } th.n { "%" } th.n { "MACs" } th.n { "GMAC/s" } th.n { "bytes" } th.n { "weights" } th.n { "MAC/B" } th.n { "roof µs" } th.n { "roofline" } th { "bound" } } }
                tbody {
                    @for (index, s) in order {
                        tr data-step=(index) {
                            td { (s.name) }
                            td { (s.kind) }
                            td { (extents(&s.shape)) }
                            td.n { (format!("{:.1}", s.median_us)) }
                            td.n { (format!("{:.1}", s.share)) }
                            td.n { (some(s.macs, term::short_count(s.macs))) }
                            td.n { (some(s.macs, format!("{:.1}", s.macs as f64 / s.median_us.max(1e-9) / 1e3))) }
                            td.n { (term::bytes(s.bytes)) }
                            td.n { (some(s.weight_bytes, term::bytes(s.weight_bytes))) }
                            td.n { (some(s.macs, term::number(s.intensity))) }
                            td.n { (format!("{:.1}", s.roof_us)) }
                            td.n { (format!("{:.0} %", s.roofline)) }
                            td { @match s.bound { Bound::Compute => "compute", Bound::Memory => "memory" } }
                        }
                    }
                }
            }
        }
    }
}
