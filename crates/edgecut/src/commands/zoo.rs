//! `edgecut zoo`: the architectures with what they cost; one of them as a model file.

use std::path::PathBuf;

use edgecut_graph::Graph;
use edgecut_graph::cost::cost;
use edgecut_zoo::{Architecture, Options, state_dict};
use serde::Serialize;

use crate::cli::Global;
use crate::errors::Result;
use crate::work::model;
use crate::{files, term};

/// Options of `zoo`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut zoo
  edgecut zoo mobilenet-v3-small --classes 10 --out model.onnx
  edgecut zoo mobilenet-v2 --weights mobilenet_v2-7ebf99e0.pth --out mobilenet-v2.onnx")]
pub struct Args {
    /// One architecture; all of them without
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Write it as a model: .onnx or .tflite
    #[arg(long, value_name = "MODEL", requires = "name")]
    out: Option<PathBuf>,
    /// Weights of a PyTorch model, by name: .pth, .pt or .safetensors
    #[arg(long, value_name = "FILE", requires = "name")]
    weights: Option<PathBuf>,
    /// Width multiplier
    #[arg(long, value_name = "FACTOR", requires = "name")]
    width: Option<f32>,
    /// Height and width of the input in pixels
    #[arg(long, value_name = "PIXELS", requires = "name")]
    resolution: Option<usize>,
    /// Number of classes
    #[arg(long, value_name = "N", requires = "name")]
    classes: Option<usize>,
    /// Channels of the input
    #[arg(long, value_name = "N", requires = "name")]
    in_channels: Option<usize>,
    /// Seed of fresh weights
    #[arg(long, value_name = "N", default_value_t = 0, requires = "name")]
    seed: u64,
}

/// What `--json` prints for each architecture.
#[derive(Serialize)]
struct Row {
    name: &'static str,
    summary: &'static str,
    paper: &'static str,
    arxiv: &'static str,
    input: String,
    parameters: u64,
    macs: u64,
    /// Live activations at most, one picture, float.
    peak_activation_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<PathBuf>,
    /// Tensors taken from the weights file.
    #[serde(skip_serializing_if = "Option::is_none")]
    loaded: Option<usize>,
    /// Names in the weights file that the architecture does not have.
    #[serde(skip_serializing_if = "Option::is_none")]
    unused: Option<Vec<String>>,
}

/// Lists, or builds one.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    match &args.name {
        Some(name) => one(args, name, global),
        None => all(global),
    }
}

fn row(architecture: &Architecture, graph: &Graph) -> Result<Row> {
    let cost = cost(graph, 1)?;
    let input = graph.inputs.first().map(|&i| graph.value(i).shape.with_symbols(1));
    Ok(Row {
        name: architecture.name,
        summary: architecture.summary,
        paper: architecture.paper,
        arxiv: architecture.arxiv,
        input: input.map_or_else(String::new, |dims| {
            crate::inspect::summary::extents(dims.get(1..).unwrap_or_default())
        }),
        parameters: cost.parameters,
        macs: cost.macs,
        peak_activation_bytes: cost.peak_activation_bytes,
        written: None,
        loaded: None,
        unused: None,
    })
}

fn all(global: &Global) -> Result<()> {
    let build = |a: &Architecture| row(a, &a.build(&Options::default())?);
    let rows = edgecut_zoo::list().iter().map(build).collect::<Result<Vec<Row>>>()?;
    if global.json {
        return files::print_json(&rows);
    }
    files::print(&table(&rows));
    files::print(
        "batch 1, float; MACs are multiply-adds, peak is of live activations, node by node",
    );
    Ok(())
}

fn table(rows: &[Row]) -> String {
    let line = |r: &Row| {
        vec![
            r.name.to_string(),
            r.input.clone(),
            term::count(r.parameters),
            term::short_count(r.macs),
            term::bytes(r.peak_activation_bytes),
            format!("arXiv:{}", r.arxiv),
        ]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(line).collect();
    let header = ["name", "input", "parameters", "MACs", "peak", "paper"];
    term::table(&header, &[2, 3, 4], &rows)
}

fn one(args: &Args, name: &str, global: &Global) -> Result<()> {
    if let Some(path) = &args.out {
        files::check_writable(path)?;
        model::format(path)?;
    }
    let options = Options {
        width: args.width,
        resolution: args.resolution,
        classes: args.classes,
        in_channels: args.in_channels,
        seed: args.seed,
    };
    let architecture = edgecut_zoo::find(name)?;
    let mut graph = architecture.build(&options)?;
    let loaded = match &args.weights {
        Some(path) => {
            let weights = state_dict::read(path)?;
            Some(state_dict::load(&mut graph, &weights)?)
        }
        None => None,
    };
    let mut row = row(architecture, &graph)?;
    row.loaded = loaded.as_ref().map(|l| l.assigned.len());
    row.unused = loaded.map(|l| l.unused);
    if let Some(path) = &args.out {
        model::save(&graph, path)?;
        row.written = Some(path.clone());
    }
    if global.json {
        return files::print_json(&row);
    }
    files::print(&table(std::slice::from_ref(&row)));
    files::print(&format!("{} ({}, arXiv:{})", row.summary, row.paper, row.arxiv));
    if let (Some(path), Some(loaded), Some(unused)) = (&args.weights, row.loaded, &row.unused) {
        files::print(&format!("{loaded} tensors from {}", path.display()));
        if !unused.is_empty() {
            files::print(&format!("{} in the file are unused: {}", unused.len(), first(unused)));
        }
    }
    if let Some(path) = &args.out {
        files::print(&format!("{} written", path.display()));
    }
    Ok(())
}

/// The first few names.
fn first(names: &[String]) -> String {
    const SHOWN: usize = 4;
    let rest = if names.len() > SHOWN { ", ..." } else { "" };
    format!("{}{rest}", names[..names.len().min(SHOWN)].join(", "))
}
