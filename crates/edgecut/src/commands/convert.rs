//! `edgecut convert`: between model formats, with fixed shapes and canonical operators on the way.

use std::path::PathBuf;

use edgecut_graph::{onnx, passes};
use serde::Serialize;

use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::work::model::{self, Model};
use crate::work::shapes::Shapes;
use crate::{files, term};

/// Options of `convert`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut convert model.tflite model.onnx
  edgecut convert int8.onnx int8.tflite
  edgecut convert large.onnx split.onnx --external-data
  edgecut convert detector.onnx fixed.onnx --shape 1x3x640x640 --canonical")]
pub struct Args {
    /// The model: ONNX or TFLite
    #[arg(value_name = "FROM")]
    from: PathBuf,
    /// Where to write it; the extension says the format: .onnx or .tflite
    #[arg(value_name = "TO")]
    to: PathBuf,
    #[command(flatten)]
    shapes: Shapes,
    /// Rewrite to canonical operators first: hard-swish, layer norm, channel shuffle and others in
    /// one node each, constants folded
    #[arg(long)]
    canonical: bool,
    /// Put the weights into a file beside the model, TO.data, that readers map into memory; models
    /// beyond 2 GB get one anyway. ONNX only
    #[arg(long)]
    external_data: bool,
}

#[derive(Serialize)]
struct Output {
    from: PathBuf,
    to: PathBuf,
    from_bytes: u64,
    to_bytes: u64,
    nodes: usize,
    rewrites: usize,
}

/// Converts.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    files::check_writable(&args.to)?;
    if args.external_data && model::format(&args.to)? != model::Format::Onnx {
        return Err(Failure::input("--external-data: only ONNX files have any").at(&args.to));
    }
    let mut model = Model::load_open(&args.from, &args.shapes)?;
    let applied = match args.canonical {
        true => passes::canonicalise(&mut model.graph)?,
        false => vec![],
    };
    match args.external_data {
        true => onnx::export_external(&model.graph, &args.to).map_err(Failure::from),
        false => model::save(&model.graph, &args.to),
    }
    .map_err(|e| e.at(&args.to))?;
    let size = std::fs::metadata(&args.to).map_err(|e| Failure::io(&args.to, &e))?.len();
    let output = Output {
        from: args.from.clone(),
        to: args.to.clone(),
        from_bytes: model.file_bytes,
        to_bytes: size,
        nodes: model.graph.nodes.len(),
        rewrites: applied.iter().map(|a| a.rewrites).sum(),
    };
    if global.json {
        return files::print_json(&output);
    }
    files::print(&format!(
        "{} ({}) to {} ({}), {} nodes",
        args.from.display(),
        term::bytes(output.from_bytes),
        args.to.display(),
        term::bytes(output.to_bytes),
        output.nodes
    ));
    for a in applied.iter().filter(|a| a.rewrites > 0) {
        files::print(&format!("  {} {}", a.pass, a.rewrites));
    }
    Ok(())
}
