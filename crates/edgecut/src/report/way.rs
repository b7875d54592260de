//! The way from the float network to the one that was taken: what was tried, and what each step
//! brought.

use maud::{Markup, html};

use super::charts::{self, Frame};
use super::{Check, Variant};
use crate::term;
use crate::work::way::{Candidate, Cost, Way};

/// Chart, table and commands.
pub fn way(way: &Way) -> Markup {
    html! {
        section {
            h2 { "The way" }
            p {
                (way.tried.len()) " networks tried for " (way.device) "; number " (way.best)
                " was taken. It ended because " (way.ended) ". Accuracies here are of "
                (term::count(way.pictures as u64))
                " pictures that decided what to try; the figures above are of others, which nothing was chosen by."
            }
            div.charts { @for (cost, at_most) in &way.bounds.at_most { (front(way, *cost, *at_most)) } }
            div.scroll { (table(way)) }
            details {
                summary { "Commands that do what each step did" }
                @for c in &way.tried {
                    p.quiet { "number " (c.id) ": " (c.action.text()) }
                    pre { @for command in &c.commands { (command) "\n" } }
                }
            }
        }
    }
}

fn lost(way: &Way, accuracy: f64) -> f64 {
    accuracy - way.tried.first().map_or(0.0, |first| first.float_accuracy)
}

/// Accuracy over one cost; the bound and the floor are lines.
fn front(way: &Way, cost: Cost, at_most: f64) -> Markup {
    let x = |c: &Candidate| c.costs.of(cost) / at_most.max(1e-12);
    let float = (way.float.of(cost) / at_most.max(1e-12), way.tried[0].float_accuracy);
    let floor = float.1 - way.max_drop;
    let all = || way.tried.iter().map(|c| (x(c), c.accuracy)).chain([float, (1.0, floor)]);
    let frame = Frame::around(all(), 0.0);
    let beaten = |c: &&Candidate| !way.front.contains(&c.id);
    let line: Vec<(f64, f64)> = {
        let mut on: Vec<(f64, f64)> =
            way.front.iter().map(|&id| (x(&way.tried[id]), way.tried[id].accuracy)).collect();
        on.sort_by(|a, b| a.0.total_cmp(&b.0));
        on
    };
    let name = cost.name();
    html! {
        figure.chart {
            figcaption {
                strong { "Accuracy over " (name) }
                span.legend.float { "float" } span.legend.int8 { "int8, not beaten" } span.legend.train { "beaten" }
            }
            svg viewBox=(charts::view_box()) role="img" aria-label={ "Accuracy over " (name) } {
                (frame.axes(" x", " %"))
                (frame.vertical(1.0, "budget")) (frame.horizontal(floor, "floor"))
                polyline.line.int8 points=(frame.points(&line)) {}
                @for c in way.tried.iter().filter(beaten) { (frame.dot("train", (x(c), c.accuracy), &c.id.to_string())) }
                @for &id in &way.front { (frame.dot("int8", (x(&way.tried[id]), way.tried[id].accuracy), &id.to_string())) }
                (frame.ring((x(&way.tried[way.best]), way.tried[way.best].accuracy)))
                (frame.dot("float", float, "float"))
            }
        }
    }
}

fn table(way: &Way) -> Markup {
    html! {
        table {
            thead {
                tr {
                    th.n { "number" } th.n { "from" } th { "what was done" } th { "why" }
                    th.n { "float" } th.n { "int8" } th.n { "against float" }
                    @for ((cost, _), known) in way.bounds.at_most.iter().zip(&way.known) {
                        th.n { (cost.name()) ", " (known) }
                    }
                    th.n { "multiply-adds" } th.n { "took" } th {}
                }
            }
            tbody {
                @for c in &way.tried { (row(way, c)) }
            }
        }
    }
}

fn row(way: &Way, c: &Candidate) -> Markup {
    let seconds = std::time::Duration::from_secs_f64(c.seconds.clamp(0.0, 1e9));
    html! {
        tr {
            td.n { (c.id) }
            td.n { @if let Some(parent) = c.parent { (parent) } }
            td.words { (c.action.text()) }
            td.words { (c.why) }
            td.n { (term::percent(c.float_accuracy)) }
            td.n { (term::percent(c.accuracy)) }
            td.n { (format!("{:+.2}", lost(way, c.accuracy))) }
            @for (cost, at_most) in &way.bounds.at_most {
                td.n {
                    (cost.text(c.costs.of(*cost))) " "
                    span.quiet { (format!("{:.2} x", c.costs.of(*cost) / at_most.max(1e-12))) }
                }
            }
            td.n { (term::short_count(c.macs)) }
            td.n { (term::duration(seconds)) }
            td {
                @if c.id == way.best { span.chip.good { "taken" } }
                @else if way.front.contains(&c.id) { span.chip { "not beaten" } }
            }
        }
    }
}

/// What the budget asked for, and what the final figures say.
pub fn checks(way: &Way, float: &Variant, int8: &Variant) -> Vec<Check> {
    let taken = &way.tried[way.best];
    let mut checks: Vec<Check> = vec![];
    for ((cost, at_most), known) in way.bounds.at_most.iter().zip(&way.known) {
        // Timed here once more, in turn: the ratio is surer than either time, and that of the least times,
        // by which all were compared, surer than that of medians.
        let ratio = int8.latency.min_ms / float.latency.min_ms.max(1e-12);
        let (value, how) = match (cost, way.here) {
            (Cost::Latency, true) => (way.float.latency_ms * ratio, ", by least times"),
            _ => (taken.costs.of(*cost), ""),
        };
        checks.push(Check {
            name: format!("{} ({known}{how})", cost.name()),
            wanted: format!("at most {}", cost.text(*at_most)),
            measured: cost.text(value),
            met: value <= *at_most,
        });
    }
    let drop = float.accuracy.percent - int8.accuracy.percent;
    checks.push(Check {
        name: "accuracy lost".into(),
        wanted: format!("at most {} points", way.max_drop),
        measured: format!("{drop:.2} points"),
        met: drop <= way.max_drop + 1e-9,
    });
    checks
}

/// The same table for a terminal.
pub fn summary(way: &Way) -> String {
    let mut header = vec!["", "from", "what was done", "int8", "against float"];
    header.extend(way.bounds.at_most.iter().map(|(cost, _)| cost.name()));
    header.push("");
    let row = |c: &Candidate| {
        let mut cells = vec![
            c.id.to_string(),
            c.parent.map_or(String::new(), |parent| parent.to_string()),
            c.action.text(),
            term::percent(c.accuracy),
            format!("{:+.2}", lost(way, c.accuracy)),
        ];
        let costs = way.bounds.at_most.iter().map(|(cost, _)| cost.text(c.costs.of(*cost)));
        cells.extend(costs);
        let word = match c.id == way.best {
            true => "taken",
            false if way.front.contains(&c.id) => "not beaten",
            false => "",
        };
        cells.push(word.into());
        cells
    };
    let rows: Vec<Vec<String>> = way.tried.iter().map(row).collect();
    let right: Vec<usize> = [0, 1, 3, 4].into_iter().chain(5..header.len() - 1).collect();
    term::table(&header, &right, &rows)
}
