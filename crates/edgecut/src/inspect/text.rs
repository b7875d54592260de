//! The facts about a model in the terminal.

use edgecut_graph::cost::NodeCost;

use super::memory::plot;
use super::summary::{Summary, extents};
use crate::cli::Global;
use crate::{files, term};

/// Characters of a metadata value that are shown without `-v`.
const SHOWN: usize = 160;

/// Lines of the plot of memory.
const ROWS: usize = 5;

/// Prints everything. `live` is the memory alive while each node runs, in bytes.
pub fn show(o: &Summary, live: &[u64], global: &Global) {
    files::print(&format!("{}, {}", o.path.display(), term::bytes(o.file_bytes)));
    for (direction, ports) in [("input", &o.inputs), ("output", &o.outputs)] {
        for p in ports {
            files::print(&format!("{direction:<7} {}", p.text()));
        }
    }
    operators(o);
    let (weights, peak) = (term::bytes(o.weight_bytes), term::bytes(o.peak_activation_bytes));
    files::print(&format!(
        "weights {weights}; live activations at most {peak} (batch {}, node by node)",
        o.batch
    ));
    memory(o, live);
    metadata(o, global);
    if let Some(list) = &o.nodes {
        nodes(list);
    }
}

fn operators(o: &Summary) {
    let row = |name: &str, nodes: u64, parameters: u64, macs: u64| {
        vec![name.to_string(), nodes.to_string(), blank(parameters), blank(macs)]
    };
    let mut rows: Vec<Vec<String>> =
        o.operators.iter().map(|(op, k)| row(op, k.nodes, k.parameters, k.macs)).collect();
    rows.push(row("all", o.operators.values().map(|k| k.nodes).sum(), o.parameters, o.macs));
    let header = ["operator", "nodes", "parameters", "multiply-adds"];
    files::print(&term::table(&header, &[1, 2, 3], &rows));
}

/// Bars from the first node to the last, with the peak's size and place.
fn memory(o: &Summary, live: &[u64]) {
    let Some(at) = live.iter().position(|&bytes| Some(&bytes) == live.iter().max()) else { return };
    let label = term::bytes(live[at]);
    let width = term::width().saturating_sub(label.len() + 4);
    for (row, line) in plot(live, width, ROWS).iter().enumerate() {
        let label = if row == 0 { label.as_str() } else { "" };
        files::print(&format!("{label:>width$} ▕{line}", width = term::bytes(live[at]).len() + 1));
    }
    let peak = o.peak.as_deref().unwrap_or_default();
    files::print(&format!("live activations from the first node to the last; peak at '{peak}'"));
}

fn metadata(o: &Summary, global: &Global) {
    for (key, value) in &o.metadata {
        let long = value.chars().count() > SHOWN && global.verbose == 0;
        let value: String = value
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(if long { SHOWN } else { usize::MAX })
            .collect();
        files::print(&format!("{key} = {value}{}", if long { "…" } else { "" }));
    }
}

fn nodes(nodes: &[NodeCost]) {
    let row = |n: &NodeCost| {
        vec![
            n.name.clone(),
            n.op.into(),
            extents(&n.output),
            blank(n.parameters),
            blank(n.macs),
            term::bytes(n.live_bytes),
        ]
    };
    let rows: Vec<Vec<String>> = nodes.iter().map(row).collect();
    let header = ["node", "operator", "output", "parameters", "multiply-adds", "live"];
    files::print(&term::table(&header, &[3, 4, 5], &rows));
}

/// Zeros are noise in a table.
fn blank(n: u64) -> String {
    if n == 0 { String::new() } else { term::count(n) }
}
