//! `edgecut inspect`: what a model holds and costs; what rewrites do to it; how two models differ.

use std::path::{Path, PathBuf};

use edgecut_graph::cost::cost;
use serde::Serialize;

use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::files;
use crate::inspect::diff::Diff;
use crate::inspect::packed::Contents;
use crate::inspect::passes::Rewrites;
use crate::inspect::summary::Summary;
use crate::inspect::{self, text};
use crate::work::model::{Model, is_packed};
use crate::work::shapes::Shapes;
use crate::work::sizes::Sizes;

/// Options of `inspect`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut inspect model.onnx
  edgecut inspect model.tflite --html model.html
  edgecut inspect detector.onnx --shape 1x3x640x640 --passes
  edgecut inspect --diff model.onnx int8.onnx
  edgecut inspect model.ecut
  edgecut inspect model.onnx --nodes --json")]
pub struct Args {
    /// The model: ONNX, TFLite, or packed (.ecut), which is also verified
    #[arg(value_name = "MODEL", required_unless_present = "diff")]
    model: Option<PathBuf>,
    #[command(flatten)]
    shapes: Shapes,
    /// Also a table of all nodes
    #[arg(long)]
    nodes: bool,
    /// Apply the canonical rewrites in turn and check each on generated inputs
    #[arg(long)]
    passes: bool,
    /// Compare with another model, or two with each other: sizes, operators, nodes, weights,
    /// quantisation, outputs on generated inputs
    #[arg(long, value_name = "OTHER", num_args = 1..=2)]
    diff: Vec<PathBuf>,
    /// Write a page with the graph as a picture and memory over time
    #[arg(long, value_name = "PAGE.html")]
    html: Option<PathBuf>,
    /// Extent of a batch that the model leaves open
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    batch: u16,
}

impl Args {
    /// The model, and the one to compare it with: `A --diff B`, or `--diff A B`.
    fn models(&self) -> Result<(&Path, Option<&Path>)> {
        match (&self.model, self.diff.as_slice()) {
            (Some(a), []) => Ok((a, None)),
            (Some(a), [b]) | (None, [a, b]) => Ok((a, Some(b))),
            (_, other) => {
                let given = other.len() + usize::from(self.model.is_some());
                Err(Failure::input(format!("--diff compares two models, got {given}"))
                    .hint("edgecut inspect A --diff B, or edgecut inspect --diff A B"))
            }
        }
    }
}

/// What `--json` prints: the facts, and what was asked for beside them.
#[derive(Serialize)]
struct Output {
    #[serde(flatten)]
    summary: Summary,
    sizes: Sizes,
    #[serde(skip_serializing_if = "Option::is_none")]
    rewrites: Option<Rewrites>,
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<Diff>,
}

/// Inspects.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    if let Some(path) = &args.html {
        files::check_writable(path)?;
    }
    let (path, other) = args.models()?;
    if is_packed(path) {
        return packed(args, path, global);
    }
    let model = Model::load_with(path, &args.shapes)?;
    let cost = cost(&model.graph, args.batch.into()).map_err(|e| Failure::from(e).at(path))?;
    let summary = Summary::new(&model, &cost, args.nodes);
    let rewrites = match args.passes {
        true => Some(inspect::passes::run(&model.graph).map_err(|e| e.at(path))?),
        false => None,
    };
    let diff = other.map(|other| compare(args, &model, &summary, other)).transpose()?;
    if let Some(path) = &args.html {
        let page = inspect::page(&model.graph, &cost, &summary, rewrites.as_ref(), diff.as_ref());
        files::write(path, page.as_bytes())?;
    }
    let sizes = Sizes::of_graph(&model.graph, path)?;
    if global.json {
        return files::print_json(&Output { summary, sizes, rewrites, diff });
    }
    if let Some(diff) = &diff {
        diff.show();
    } else {
        let live: Vec<u64> = cost.nodes.iter().map(|n| n.live_bytes).collect();
        text::show(&summary, &live, global);
        files::print(&sizes.remark());
    }
    if let Some(rewrites) = &rewrites {
        rewrites.show(global);
    }
    if let Some(path) = &args.html {
        files::print(&format!("{} written", path.display()));
    }
    Ok(())
}

/// A packed model has no graph that could be drawn, rewritten or compared.
fn packed(args: &Args, path: &Path, global: &Global) -> Result<()> {
    if args.nodes || args.passes || args.html.is_some() || !args.diff.is_empty() {
        return Err(Failure::input("is a packed model, which has no graph any more")
            .at(path)
            .hint("give these options with the model that it was converted from"));
    }
    let contents = Contents::read(path)?;
    if global.json {
        return files::print_json(&contents);
    }
    contents.show();
    Ok(())
}

fn compare(args: &Args, model: &Model, summary: &Summary, path: &Path) -> Result<Diff> {
    let other = Model::load_with(path, &args.shapes)?;
    let cost = cost(&other.graph, args.batch.into()).map_err(|e| Failure::from(e).at(path))?;
    let theirs = Summary::new(&other, &cost, false);
    Diff::new((summary, model), (&theirs, &other))
}
