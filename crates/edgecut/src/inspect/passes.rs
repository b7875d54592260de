//! What each canonical rewrite does to a model, checked by running the graph before and after it.

use edgecut_graph::passes::{self, Applied, Difference};
use edgecut_graph::{Graph, Op};
use serde::Serialize;

use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::{files, term};

/// Seed of the generated inputs.
const SEED: u64 = 1;
/// Largest relative difference that rounding explains.
const ROUNDING: f64 = 1e-3;
/// The same where a rounded sum may fall on either side of a code: some steps of 255.
const CODES: f64 = 2e-2;
/// Nodes listed in the terminal.
const SHOWN: usize = 8;

/// What the rewrites did to a model.
#[derive(Serialize)]
pub struct Rewrites {
    /// Nodes before.
    pub nodes_before: usize,
    /// Nodes after.
    pub nodes_after: usize,
    /// Runs of passes that changed something, in order.
    pub passes: Vec<PassRow>,
    /// The canonical graph against the unrewritten one.
    #[serde(flatten)]
    pub difference: Difference,
}

/// One run of a pass.
#[derive(Serialize)]
pub struct PassRow {
    /// Which pass, how often it matched, and the nodes that are different after it.
    #[serde(flatten)]
    pub applied: Applied,
    /// What the pass does, in a line.
    pub summary: &'static str,
    /// The graph after it against the graph before it, on generated inputs.
    #[serde(flatten)]
    pub difference: Difference,
}

/// Brings a copy of `graph` to its canonical form.
///
/// # Errors
/// Where a graph cannot be run, and (exit code 1) where a pass changed what it computes.
pub fn run(graph: &Graph) -> Result<Rewrites> {
    let mut canonical = graph.clone();
    let mut rows = vec![];
    passes::canonicalise_with(&mut canonical, &mut |applied, before, after| -> Result<()> {
        let difference = passes::check(before, after, SEED, 1)?;
        verify(applied.pass, graph, &difference)?;
        let summary = passes::all().iter().find(|p| p.name == applied.pass);
        let summary = summary.map_or("", |p| p.summary);
        rows.push(PassRow { applied: applied.clone(), summary, difference });
        Ok(())
    })?;
    let difference = match rows.is_empty() {
        true => Difference::default(),
        false => passes::check(graph, &canonical, SEED, 1)?,
    };
    verify("all passes together", graph, &difference)?;
    let (nodes_before, nodes_after) = (graph.nodes.len(), canonical.nodes.len());
    Ok(Rewrites { nodes_before, nodes_after, passes: rows, difference })
}

fn verify(what: &str, graph: &Graph, difference: &Difference) -> Result<()> {
    let codes = graph.nodes.iter().any(|n| matches!(n.op, Op::Quantize { .. }));
    if difference.max_rel <= if codes { CODES } else { ROUNDING } {
        return Ok(());
    }
    let text = text_of(difference);
    Err(Failure::not_met(format!("{what}: the results differ by {text}"))
        .hint("this is a defect of edgecut: please report it with the model"))
}

/// `none`, or `3.1e-7 (relative 1e-8)`.
pub fn text_of(difference: &Difference) -> String {
    match difference {
        Difference { max_abs: 0.0, .. } => "none".into(),
        d => format!("{:.1e} (relative {:.1e})", d.max_abs, d.max_rel),
    }
}

impl Rewrites {
    /// Passes that found nothing.
    pub fn idle(&self) -> Vec<&'static str> {
        let applied = |name: &str| self.passes.iter().any(|r| r.applied.pass == name);
        passes::all().iter().map(|p| p.name).filter(|name| !applied(name)).collect()
    }

    /// `152 nodes became 100; against the unrewritten graph the results differ by ...`
    pub fn verdict(&self) -> String {
        if self.passes.is_empty() {
            return format!("{} nodes: canonical already", self.nodes_before);
        }
        format!(
            "{} nodes became {}; difference to the unrewritten graph on generated inputs: {}",
            self.nodes_before,
            self.nodes_after,
            text_of(&self.difference)
        )
    }

    /// Prints a table; with `-v` also the nodes.
    pub fn show(&self, global: &Global) {
        let row = |r: &PassRow| {
            let a = &r.applied;
            let nodes = format!("{} to {}", a.nodes_before, a.nodes_after);
            vec![a.pass.to_string(), a.rewrites.to_string(), nodes, text_of(&r.difference)]
        };
        let table: Vec<Vec<String>> = self.passes.iter().map(row).collect();
        if !table.is_empty() {
            let header = ["pass", "rewrites", "nodes", "largest difference"];
            files::print(&term::table(&header, &[1, 2], &table));
        }
        files::print(&self.verdict());
        if global.verbose == 0 {
            let (idle, all) = (self.idle().len(), passes::all().len());
            return files::print(&format!("{idle} of {all} passes found nothing (-v says more)"));
        }
        for r in self.passes.iter().filter(|r| !r.applied.nodes.is_empty()) {
            let (shown, all) = (r.applied.nodes.iter().take(SHOWN), r.applied.nodes.len());
            let list = shown.map(String::as_str).collect::<Vec<_>>().join(", ");
            let more =
                if all > SHOWN { format!(" and {} more", all - SHOWN) } else { String::new() };
            files::print(&format!("{}: {}; changed {list}{more}", r.applied.pass, r.summary));
        }
        files::print(&format!("nothing found by {}", self.idle().join(", ")));
    }
}
