//! `edgecut convert`: between model formats, with fixed shapes and canonical operators on the way.

use std::path::PathBuf;
use std::sync::Arc;

use edgecut_graph::{onnx, passes};
use edgecut_runtime::{Packed, Plan, Storage};
use serde::Serialize;

use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::inspect::summary::extents;
use crate::work::model::{self, Model, Spelling};
use crate::work::pack::{Wanted, pack_file};
use crate::work::precision::Compute;
use crate::work::shapes::Shapes;
use crate::work::sizes::Sizes;
use crate::work::tune::{Tune, Tuned};
use crate::{files, term};

/// Options of `convert`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut convert model.tflite model.onnx
  edgecut convert int8.onnx int8.tflite
  edgecut convert int8.onnx operators.onnx --format qoperator
  edgecut convert large.onnx split.onnx --external-data
  edgecut convert model.onnx model.ecut
  edgecut convert int8.onnx small.ecut --coded
  edgecut convert model.onnx bf16.ecut --precision bf16
  edgecut convert model.onnx model.ecut --tune --threads 1
  edgecut convert detector.onnx detector.ecut --shape 1x3x320x320 --shape 1x3x640x640
  edgecut convert detector.onnx fixed.onnx --shape 1x3x640x640 --canonical")]
pub struct Args {
    /// The model: ONNX or TFLite
    #[arg(value_name = "FROM")]
    from: PathBuf,
    /// Where to write it; the extension says the format: .onnx, .tflite, or .ecut, which is
    /// compiled for this kind of machine and starts at once
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
    #[command(flatten)]
    spelling: Spelling,
    /// Extents of a batch that the model leaves open, one plan each. .ecut only
    #[arg(long, value_name = "N,..", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=1024))]
    batch: Vec<u16>,
    /// 8-bit inputs and outputs become the numbers that they stand for. .ecut only
    #[arg(long)]
    float_ports: bool,
    /// Entropy-code the weights: a smaller file, which is decoded into memory where it is loaded
    /// and computes the same. .ecut only
    #[arg(long)]
    coded: bool,
    /// .ecut only
    #[command(flatten)]
    compute: Compute,
    /// .ecut only
    #[command(flatten)]
    tune: Tune,
}

#[derive(Serialize)]
struct Output {
    from: PathBuf,
    to: PathBuf,
    from_bytes: u64,
    to_bytes: u64,
    /// What was written, counted in several ways.
    sizes: Sizes,
    nodes: usize,
    rewrites: usize,
    /// Shapes of the inputs of each plan of a packed model.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    plans: Vec<Vec<Vec<usize>>>,
    /// What tuning changed, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    tuned: Option<Tuned>,
}

/// Converts.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    files::check_writable(&args.to)?;
    args.spelling.check(&args.to)?;
    if model::format(&args.to)? == model::Format::Ecut {
        return pack(args, global);
    }
    let only_packed = [
        ("--float-ports", args.float_ports),
        ("--precision", args.compute.is_bf16()),
        ("--tune", args.tune.is_on()),
        ("--batch", !args.batch.is_empty()),
        ("--coded", args.coded),
    ];
    if let Some((option, _)) = only_packed.iter().find(|(_, is_given)| *is_given) {
        return Err(Failure::input(format!("{option}: only for packed models, .ecut")).at(&args.to));
    }
    if args.external_data && model::format(&args.to)? != model::Format::Onnx {
        return Err(Failure::input("--external-data: only ONNX files have any").at(&args.to));
    }
    let mut model = Model::load_open(&args.from, &args.shapes)?;
    let applied = match args.canonical {
        true => passes::canonicalise(&mut model.graph)?,
        false => vec![],
    };
    let options =
        onnx::ExportOptions { external_data: args.external_data, form: args.spelling.form() };
    model::save_as(&model.graph, &args.to, options).map_err(|e| e.at(&args.to))?;
    let size = std::fs::metadata(&args.to).map_err(|e| Failure::io(&args.to, &e))?.len();
    let output = Output {
        from: args.from.clone(),
        to: args.to.clone(),
        from_bytes: model.file_bytes,
        to_bytes: size,
        sizes: Sizes::of_graph(&model.graph, &args.to)?,
        nodes: model.graph.nodes.len(),
        rewrites: applied.iter().map(|a| a.rewrites).sum(),
        plans: vec![],
        tuned: None,
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
    files::print(&output.sizes.remark());
    for a in applied.iter().filter(|a| a.rewrites > 0) {
        files::print(&format!("  {} {}", a.pass, a.rewrites));
    }
    Ok(())
}

/// Compiles and packs. Operators are canonical in a plan anyway.
fn pack(args: &Args, global: &Global) -> Result<()> {
    if args.external_data {
        return Err(Failure::input("--external-data: only ONNX files have any").at(&args.to));
    }
    let batches = if args.batch.is_empty() { &[1][..] } else { &args.batch };
    let tuner = args.tune.tuner(global, &global.pool());
    let options = args.compute.options(global, tuner.clone());
    let storage = if args.coded { Storage::Coded } else { Storage::Plain };
    let float = args.float_ports;
    let wanted = Wanted { shapes: &args.shapes, batches, float, options, storage };
    let packing = pack_file(&args.from, &args.to, &wanted)?;
    let tuned = tuner.map(|tuner| Tuned::of(&tuner, global));
    let shapes = |plan: &Arc<Plan>| plan.inputs().iter().map(|i| i.shape.clone()).collect();
    let output = Output {
        from: args.from.clone(),
        to: args.to.clone(),
        from_bytes: packing.file_bytes,
        to_bytes: model::check(&args.to)?,
        sizes: Sizes::of_packed(&Packed::open(&args.to)?, &args.to)?,
        nodes: packing.nodes,
        rewrites: 0,
        plans: packing.plans.iter().map(shapes).collect(),
        tuned,
    };
    if global.json {
        return files::print_json(&output);
    }
    files::print(&format!(
        "{} ({}) to {} ({}), for {}",
        args.from.display(),
        term::bytes(output.from_bytes),
        args.to.display(),
        term::bytes(output.to_bytes),
        packing.plans.first().map_or("", |plan| plan.isa().name()),
    ));
    for plan in &packing.plans {
        let inputs: Vec<String> = plan.inputs().iter().map(|i| extents(&i.shape)).collect();
        files::print(&format!(
            "  {}: {} steps, {} of activations",
            inputs.join(" and "),
            plan.steps().len(),
            term::bytes(plan.arena_bytes() as u64)
        ));
    }
    files::print(&output.sizes.remark());
    Ok(())
}
