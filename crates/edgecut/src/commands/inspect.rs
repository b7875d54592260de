//! `edgecut inspect`: what a model holds and costs; what rewrites do to it; how two models differ.

use std::path::PathBuf;

use edgecut_graph::cost::cost;
use edgecut_graph::passes;
use serde::Serialize;

use crate::cli::Global;
use crate::errors::Result;
use crate::files;
use crate::inspect::diff::{Diff, Outputs};
use crate::inspect::passes::PassRow;
use crate::inspect::summary::Summary;
use crate::inspect::{self, text};
use crate::work::model::Model;
use crate::work::shapes::Shapes;

/// Options of `inspect`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut inspect model.onnx
  edgecut inspect model.tflite --html model.html
  edgecut inspect detector.onnx --shape 1x3x640x640 --passes
  edgecut inspect model.onnx --diff int8.onnx --nodes --json")]
pub struct Args {
    /// The model: ONNX or TFLite
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    shapes: Shapes,
    /// Also a table of all nodes
    #[arg(long)]
    nodes: bool,
    /// Apply the canonical rewrites in turn and check each on generated inputs
    #[arg(long)]
    passes: bool,
    /// Compare with another model: sizes, operators, nodes, weights, outputs
    #[arg(long, value_name = "OTHER")]
    diff: Option<PathBuf>,
    /// Write a page with the graph as a picture and memory over time
    #[arg(long, value_name = "PAGE.html")]
    html: Option<PathBuf>,
    /// Extent of a batch that the model leaves open
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    batch: u16,
}

/// What `--json` prints: the facts, and what was asked for beside them.
#[derive(Serialize)]
struct Output {
    #[serde(flatten)]
    summary: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    passes: Option<Vec<PassRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<Diff>,
}

/// Inspects.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    if let Some(path) = &args.html {
        files::check_writable(path)?;
    }
    let model = Model::load_with(&args.model, &args.shapes)?;
    let cost = cost(&model.graph, args.batch.into())?;
    let summary = Summary::new(&model, &cost, args.nodes);
    let passes = match args.passes {
        true => Some(inspect::passes::run(&model.graph)?.0),
        false => None,
    };
    let diff = match &args.diff {
        Some(path) => Some(compare(args, &model, &summary, path)?),
        None => None,
    };
    if let Some(path) = &args.html {
        let page = inspect::page(&model.graph, &cost, &summary, passes.as_deref(), diff.as_ref());
        files::write(path, page.as_bytes())?;
    }
    if global.json {
        return files::print_json(&Output { summary, passes, diff });
    }
    if let Some(diff) = &diff {
        diff.show();
    } else {
        let live: Vec<u64> = cost.nodes.iter().map(|n| n.live_bytes).collect();
        text::show(&summary, &live, global);
    }
    if let Some(rows) = &passes {
        inspect::passes::show(rows, global);
    }
    if let Some(path) = &args.html {
        files::print(&format!("{} written", path.display()));
    }
    Ok(())
}

fn compare(args: &Args, model: &Model, summary: &Summary, other: &PathBuf) -> Result<Diff> {
    let other = Model::load_with(other, &args.shapes)?;
    let cost = cost(&other.graph, args.batch.into())?;
    let theirs = Summary::new(&other, &cost, false);
    let types = |s: &Summary, inputs: bool| -> Vec<(String, String)> {
        let ports = if inputs { &s.inputs } else { &s.outputs };
        ports.iter().map(|p| (p.dtype.clone(), p.shape.clone())).collect()
    };
    let alike = [true, false].into_iter().all(|i| types(summary, i) == types(&theirs, i));
    let outputs = match alike {
        true => {
            let d = passes::check(&model.graph, &other.graph, 1, 1)?;
            Some(Outputs { max_abs: d.max_abs, max_rel: d.max_rel })
        }
        false => None,
    };
    Ok(Diff::new((summary, &model.graph), (&theirs, &other.graph), outputs))
}
