//! One self-contained HTML file about a model: nothing is requested from anywhere. Its script only
//! moves, searches and explains; without it everything can still be read.

use edgecut_graph::Graph;
use edgecut_graph::cost::Cost;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::details::Details;
use super::diff::Diff;
use super::drawing::{Drawing, Of};
use super::passes::{Rewrites, text_of};
use super::summary::{Port, Summary, extents};
use super::{memory, picture};
use crate::report::head;
use crate::term;

const OWN_STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");
/// Rows of the table of nodes; `--json` has them all.
const MAX_ROWS: usize = 5000;

/// The page. `diff` and `passes` appear where they were asked for.
pub fn page(
    graph: &Graph,
    cost: &Cost,
    summary: &Summary,
    passes: Option<&Rewrites>,
    diff: Option<&Diff>,
) -> String {
    let drawing = Drawing::new(graph, cost.batch);
    let details = Details::new(graph, cost, &drawing);
    let names: Vec<String> = cost.nodes.iter().map(|n| n.name.clone()).collect();
    let live: Vec<u64> = cost.nodes.iter().map(|n| n.live_bytes).collect();
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(&format!("{} · edgecut inspect", title(summary)), OWN_STYLE))
            body {
                main {
                    (header(summary))
                    (cards(summary))
                    section {
                        h2 { "Memory over time" }
                        p.quiet { "Bytes of inputs and computed values that are needed while each node runs, one after another, batch " (summary.batch) ". Weights are not among them." }
                        (memory::chart(&live, &names))
                        p.quiet #under { "\u{a0}" }
                    }
                    (operators(summary))
                    @if let Some(rewrites) = passes { (passes_table(rewrites)) }
                    @if let Some(diff) = diff { (diff.section()) }
                    (graph_section(&drawing))
                    (nodes(cost, &drawing))
                    (metadata(summary))
                }
                script type="application/json" id="details" { (PreEscaped(details.json())) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
    .into_string()
}

fn title(summary: &Summary) -> String {
    summary.path.file_name().map_or_else(|| summary.name.clone(), |n| n.to_string_lossy().into())
}

fn header(s: &Summary) -> Markup {
    let nodes = s.operators.values().map(|k| k.nodes as usize).sum();
    html! {
        header {
            p.kicker { "edgecut inspect" }
            h1 { (title(s)) }
            p.lead { (picture::caption(nodes, s.parameters)) " · " (term::short_count(s.macs)) " multiply-adds" }
            table.ports {
                @for port in &s.inputs { (port_row("input", port)) }
                @for port in &s.outputs { (port_row("output", port)) }
            }
        }
    }
}

fn port_row(direction: &str, port: &Port) -> Markup {
    html! { tr { td.quiet { (direction) } td { b { (port.name) } } td { (port.dtype) } td { (port.shape) } td.quiet { @if let Some(q) = &port.quantisation { "= " (q) } } } }
}

fn cards(s: &Summary) -> Markup {
    let card = |title: &str, value: String, note: &str| {
        html! { div.card { h3 { (title) } p.big { (value) } p.quiet { (note) } } }
    };
    html! {
        section.cards {
            (card("File", term::bytes(s.file_bytes), "as stored"))
            (card("Weights", term::bytes(s.weight_bytes), &format!("{} parameters", term::count(s.parameters))))
            (card("Multiply-adds", term::short_count(s.macs), &format!("{} exactly, batch {}", term::count(s.macs), s.batch)))
            (card("Peak activations", term::bytes(s.peak_activation_bytes), "node by node, without reuse in place"))
        }
    }
}

fn operators(s: &Summary) -> Markup {
    let share = |macs: u64| 100.0 * macs as f64 / s.macs.max(1) as f64;
    let mut rows: Vec<_> = s.operators.iter().collect();
    rows.sort_by_key(|(name, k)| (std::cmp::Reverse((k.macs, k.nodes)), **name));
    html! {
        section {
            h2 { "Operators" }
            table {
                thead { tr { th { "operator" } th.n { "nodes" } th.n { "parameters" } th.n { "multiply-adds" } th {} } }
                tbody {
                    @for (name, kind) in rows {
                        tr {
                            td { (name) }
                            td.n { (kind.nodes) }
                            td.n { @if kind.parameters > 0 { (term::count(kind.parameters)) } }
                            td.n { @if kind.macs > 0 { (term::count(kind.macs)) } }
                            td.wide { @if kind.macs > 0 { div.bar.float style=(format!("width:{:.1}%", share(kind.macs))) {} } }
                        }
                    }
                }
            }
        }
    }
}

fn passes_table(rewrites: &Rewrites) -> Markup {
    html! {
        section {
            h2 { "Canonical form" }
            p.quiet { "Each rewrite was applied in turn, until none found anything, and the graph before and after it run on the same generated inputs." }
            table {
                thead { tr { th { "pass" } th { "what it does" } th.n { "rewrites" } th.n { "nodes" } th.n { "largest difference" } } }
                tbody {
                    @for row in &rewrites.passes {
                        tr title=(row.applied.nodes.iter().take(20).map(String::as_str).collect::<Vec<_>>().join("\n")) {
                            td { (row.applied.pass) }
                            td { (row.summary) }
                            td.n { (row.applied.rewrites) }
                            td.n { (row.applied.nodes_before) " → " (row.applied.nodes_after) }
                            td.n { (text_of(&row.difference)) }
                        }
                    }
                }
            }
            p { (rewrites.verdict()) "." }
            @let idle = rewrites.idle();
            @if !idle.is_empty() { p.quiet { "Nothing found by " (idle.join(", ")) "." } }
        }
    }
}

fn graph_section(drawing: &Drawing) -> Markup {
    html! {
        section {
            h2 { "Graph" }
            (picture::legend())
            div.tools {
                input #search type="search" placeholder="Search name, operator, shape (press /)" aria-label="Search the graph";
                span.quiet #found {}
                span.zoom {
                    button #farther title="Smaller" { "−" }
                    button #scale title="Natural size" { "100 %" }
                    button #closer title="Larger" { "+" }
                    button #whole { "Whole graph" }
                }
            }
            div.graph-area {
                div.canvas { (picture::picture(drawing)) }
                aside #panel {
                    p.quiet { "Click a node for its attributes, inputs and outputs. Drag to move, Ctrl and wheel to zoom." }
                }
            }
        }
    }
}

fn nodes(cost: &Cost, drawing: &Drawing) -> Markup {
    let mut at = vec![None; cost.nodes.len()];
    for (index, b) in drawing.boxes.iter().enumerate() {
        if let Of::Node(node) = b.of {
            at[node] = Some(index);
        }
    }
    html! {
        section {
            details {
                summary { "Every node (" (cost.nodes.len()) ")" }
                div.scroll {
                    table.small {
                        thead { tr { th.n { "#" } th { "node" } th { "operator" } th { "output" } th.n { "parameters" } th.n { "multiply-adds" } th.n { "live" } } }
                        tbody {
                            @for (i, n) in cost.nodes.iter().take(MAX_ROWS).enumerate() {
                                tr data-box=[at[i]] {
                                    td.n { (i + 1) }
                                    td { (n.name) }
                                    td { (n.op) }
                                    td { (extents(&n.output)) }
                                    td.n { @if n.parameters > 0 { (term::count(n.parameters)) } }
                                    td.n { @if n.macs > 0 { (term::count(n.macs)) } }
                                    td.n { (term::bytes(n.live_bytes)) }
                                }
                            }
                        }
                    }
                }
                @if cost.nodes.len() > MAX_ROWS { p.quiet { "The first " (MAX_ROWS) " nodes." } }
            }
        }
    }
}

fn metadata(s: &Summary) -> Markup {
    html! {
        @if !s.metadata.is_empty() {
            section {
                details {
                    summary { "Metadata (" (s.metadata.len()) ")" }
                    table.small {
                        @for (key, value) in &s.metadata { tr { td { (key) } td.hash { code { (value) } } } }
                    }
                }
            }
        }
    }
}
