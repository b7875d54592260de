//! What each canonical rewrite does to a model, checked by running the graph before and after it.

use edgecut_graph::Graph;
use edgecut_graph::passes;
use serde::Serialize;

use crate::cli::Global;
use crate::errors::Result;
use crate::{files, term};

/// Seed of the generated inputs.
const SEED: u64 = 1;

/// One pass on one model.
#[derive(Serialize)]
pub struct PassRow {
    /// Name of the pass.
    pub pass: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// How often it matched.
    pub rewrites: usize,
    /// Nodes before it.
    pub nodes_before: usize,
    /// Nodes after it.
    pub nodes_after: usize,
    /// Largest absolute difference of any output on the generated inputs; none where nothing was
    /// rewritten.
    pub max_abs: Option<f64>,
    /// The same, relative to the largest magnitude of that output.
    pub max_rel: Option<f64>,
}

impl PassRow {
    /// `0`, `3.1e-7 (relative 1e-8)`, or a dash.
    pub fn difference_text(&self) -> String {
        match (self.max_abs, self.max_rel) {
            (Some(0.0), _) => "none".into(),
            (Some(abs), Some(rel)) => format!("{abs:.1e} (relative {rel:.1e})"),
            _ => "–".into(),
        }
    }
}

/// Applies every pass in turn to a copy of `graph`; returns the rows and the canonical graph.
pub fn run(graph: &Graph) -> Result<(Vec<PassRow>, Graph)> {
    let mut graph = graph.clone();
    let mut rows = vec![];
    for pass in passes::all() {
        let before = graph.clone();
        let rewrites = (pass.run)(&mut graph)?;
        let difference = match rewrites {
            0 => None,
            _ => Some(passes::check(&before, &graph, SEED, 1)?),
        };
        rows.push(PassRow {
            pass: pass.name,
            summary: pass.summary,
            rewrites,
            nodes_before: before.nodes.len(),
            nodes_after: graph.nodes.len(),
            max_abs: difference.as_ref().map(|d| d.max_abs),
            max_rel: difference.as_ref().map(|d| d.max_rel),
        });
    }
    Ok((rows, graph))
}

/// The table.
pub fn show(rows: &[PassRow], global: &Global) {
    let shown = rows.iter().filter(|r| r.rewrites > 0 || global.verbose > 0);
    let row = |r: &PassRow| {
        vec![
            r.pass.to_string(),
            r.rewrites.to_string(),
            format!("{} to {}", r.nodes_before, r.nodes_after),
            r.difference_text(),
        ]
    };
    let table: Vec<Vec<String>> = shown.map(row).collect();
    let idle = rows.len() - table.len();
    if !table.is_empty() {
        let header = ["pass", "rewrites", "nodes", "largest difference"];
        files::print(&term::table(&header, &[1, 2], &table));
    }
    if idle > 0 {
        files::print(&format!("{idle} of {} passes had nothing to do (-v lists them)", rows.len()));
    }
}
