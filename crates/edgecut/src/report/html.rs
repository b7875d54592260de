//! The page: one file without scripts, fonts or requests, readable in light and dark.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::Report;
use super::charts::pair_bars;
use super::sections::{classes, operators, pictures, reproduce, training};
use super::way::way;
use crate::term;

/// Colours and layout, shared by every page that edgecut writes.
const STYLE: &str = include_str!("style.css");

/// The head of a page, with its own style behind the common one.
pub fn head(title: &str, style: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) }
            style { (PreEscaped(STYLE)) (PreEscaped(style)) }
        }
    }
}

/// The whole page.
pub fn page(report: &Report) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(&format!("{} · edgecut report", report.name), ""))
            body {
                main {
                    (header(report))
                    (notes(report))
                    (cards(report))
                    (checks(report))
                    @if let Some(found) = &report.way { (way(found)) }
                    // A model that came trained has nothing to show.
                    @if !report.training.history.is_empty() { (training(report)) }
                    (classes(report))
                    (operators(report))
                    (pictures(report))
                    (reproduce(report))
                }
            }
        }
    }
    .into_string()
}

fn header(report: &Report) -> Markup {
    let (data, model) = (&report.data, &report.model);
    let failed = report.checks.iter().filter(|c| !c.met).count();
    html! {
        header {
            p.kicker { "edgecut deployment report" }
            h1 { (report.name) }
            p.lead {
                (model.name) " · " (term::short_count(model.params)) " parameters · "
                (term::short_count(model.macs)) " multiply-adds · trained on "
                (term::count(data.train as u64)) ", tested on " (term::count(data.test as u64))
                " pictures of " (data.name)
            }
            p.verdict {
                @if report.checks.is_empty() {
                    span.chip { "no targets stated" }
                } @else if failed == 0 {
                    span.chip.good { "✓ all " (report.checks.len()) " targets met" }
                } @else {
                    span.chip.bad { "✗ " (failed) " of " (report.checks.len()) " targets missed" }
                }
                span.quiet { (report.created) " · " (report.machine.cpu) " · " (report.machine.threads) " threads" }
            }
        }
    }
}

/// What a reader must know before quoting a figure.
fn notes(report: &Report) -> Markup {
    let speedup = report.speedup();
    let tied = (0.95..=1.05).contains(&speedup);
    html! {
        @if let Some(note) = &report.data.note {
            p.note { strong { "About the data. " } (note) }
        }
        @if speedup < 0.95 || tied {
            p.note {
                strong { "About the speed. " }
                @if tied { "int8 is not faster than float on this machine: the medians are within 5 %. " }
                @else { "int8 is slower than float on this machine (" (format!("{:.2}", 1.0 / speedup)) " times the median latency). " }
                "Its file and its activations are smaller all the same."
            }
        }
        @if report.training.stopped_early {
            p.note { strong { "About the training. " } "The budget of time ended it before the last epoch: another machine may get another result." }
        }
    }
}

fn cards(report: &Report) -> Markup {
    let (f, q) = (&report.float, &report.int8);
    let ratio = |float: f64, int8: f64| {
        let x = float / int8.max(1e-12);
        if x >= 1.0 {
            format!("{x:.1} times smaller")
        } else {
            format!("{:.1} times larger", 1.0 / x)
        }
    };
    let speedup = report.speedup();
    let speed = if speedup >= 1.0 {
        format!("{speedup:.2} times faster")
    } else {
        format!("{:.2} times slower", 1.0 / speedup)
    };
    let points = q.accuracy.percent - f.accuracy.percent;
    let interval = |s: &crate::stats::Share| format!("95 % CI {:.1}–{:.1}", s.low, s.high);
    let memory = |v: &super::Variant| v.arena_bytes + v.weight_bytes;
    html! {
        section.cards {
            (card("Top-1 accuracy", &format!("{points:+.2} points"), f.accuracy.percent, q.accuracy.percent,
                [(term::percent(f.accuracy.percent), interval(&f.accuracy)), (term::percent(q.accuracy.percent), interval(&q.accuracy))]))
            (card("Model file", &ratio(f.file_bytes as f64, q.file_bytes as f64), f.file_bytes as f64, q.file_bytes as f64,
                [(term::bytes(f.file_bytes), f.file.clone()), (term::bytes(q.file_bytes), q.file.clone())]))
            (card("Median latency", &speed, f.latency.median_ms, q.latency.median_ms,
                [(term::milliseconds(f.latency.median_ms), format!("p99 {}", term::milliseconds(f.latency.p99_ms))),
                 (term::milliseconds(q.latency.median_ms), format!("p99 {}", term::milliseconds(q.latency.p99_ms)))]))
            (card("Memory at run time", &ratio(memory(f) as f64, memory(q) as f64), memory(f) as f64, memory(q) as f64,
                [(term::bytes(memory(f)), format!("{} activations", term::bytes(f.arena_bytes))),
                 (term::bytes(memory(q)), format!("{} activations", term::bytes(q.arena_bytes)))]))
        }
        p.quiet.below {
            "Both models give the same answer on " strong { (term::percent(report.agreement.percent)) } " of the test pictures ("
            (term::count(report.agreement.count as u64)) " of " (term::count(report.agreement.total as u64)) "). "
            "Latency: one picture at a time, " (report.float.latency.runs) " runs each, both models in turn. "
            "Memory: packed weights and the arena of activations."
        }
    }
}

/// One figure of both models: value and small print each.
fn card(title: &str, change: &str, float: f64, int8: f64, text: [(String, String); 2]) -> Markup {
    let [(float_value, float_note), (int8_value, int8_note)] = text;
    html! {
        div.card {
            h3 { (title) }
            div.values {
                div { span.tag.float { "float" } b { (float_value) } small { (float_note) } }
                div { span.tag.int8 { "int8" } b { (int8_value) } small { (int8_note) } }
            }
            (pair_bars(float, int8))
            p.change { (change) }
        }
    }
}

fn checks(report: &Report) -> Markup {
    html! {
        @if !report.checks.is_empty() {
            section {
                h2 { "Targets" }
                table {
                    thead { tr { th { "target" } th.n { "wanted" } th.n { "measured" } th {} } }
                    tbody {
                        @for check in &report.checks {
                            tr {
                                td { (check.name) }
                                td.n { (check.wanted) }
                                td.n { (check.measured) }
                                td { @if check.met { span.chip.good { "✓ met" } } @else { span.chip.bad { "✗ missed" } } }
                            }
                        }
                    }
                }
            }
        }
    }
}
