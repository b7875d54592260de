//! `edgecut verify`: whether an int8 model gives the same integers on CPUs that add products in 16
//! bits.

use std::path::PathBuf;

use edgecut_compress::certificate::{Certificate, LayerCertificate, Relaxation, certify, relax};
use edgecut_graph::Graph;
use serde::Serialize;

use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::work::model::{self, Model};
use crate::work::shapes::Shapes;
use crate::{files, term};

/// Options of `verify`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut verify int8.onnx
  edgecut verify int8.onnx --relax safe.onnx
  edgecut verify int8.tflite --json

On x86 without VNNI, other runtimes add neighbouring products of int8 layers in 16 bits with
saturation (vpmaddubsw), and the model gives other results there. This proves for each output
channel that it cannot happen, whatever the input is, or names the worst pair of weights.
edgecut's own runtime adds in 32 bits on every CPU. Exit code 1: some layer can saturate.")]
pub struct Args {
    /// The int8 model: ONNX (QDQ or QOperator) or TFLite
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    shapes: Shapes,
    /// Change the fewest weights that make the proof hold, and write that model (.onnx or .tflite)
    #[arg(long, value_name = "OUT")]
    relax: Option<PathBuf>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Output {
    model: PathBuf,
    /// Whether no layer of MODEL can saturate.
    certified: bool,
    #[serde(flatten)]
    certificate: Certificate,
    /// What was changed for OUT, which is certified.
    #[serde(skip_serializing_if = "Option::is_none")]
    relaxed: Option<Vec<Relaxation>>,
}

/// Verifies.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    if let Some(out) = &args.relax {
        files::check_writable(out)?;
        model::format(out)?;
    }
    let model = Model::load_open(&args.model, &args.shapes)?;
    let certificate = certify(&model.graph);
    if certificate.layers.is_empty() {
        return Err(Failure::input("has no layer with int8 weights and 8-bit activations")
            .at(&args.model)
            .hint("quantise it first: edgecut quantize MODEL --data PICTURES"));
    }
    let relaxed = args.relax.as_ref().map(|out| write_relaxed(&model.graph, out)).transpose()?;
    let certified = certificate.holds();
    if global.json {
        let model = args.model.clone();
        files::print_json(&Output { model, certified, certificate, relaxed: relaxed.clone() })?;
    } else {
        print(&certificate, relaxed.as_deref(), args);
    }
    match certified || relaxed.is_some() {
        true => Ok(()),
        false => Err(Failure::not_met("some layer can saturate in 16 bits")
            .at(&args.model)
            .hint("--relax OUT.onnx changes the fewest weights that prevent it")),
    }
}

fn write_relaxed(graph: &Graph, out: &std::path::Path) -> Result<Vec<Relaxation>> {
    let (relaxed, changes) = relax(graph)?;
    model::save(&relaxed, out)?;
    Ok(changes)
}

fn print(certificate: &Certificate, relaxed: Option<&[Relaxation]>, args: &Args) {
    let rows: Vec<Vec<String>> = certificate.layers.iter().map(row).collect();
    let header = ["layer", "operator", "channels", "bytes", "result", "worst pair", "sum"];
    files::print(&term::table(&header, &[2, 6], &rows));
    let at_risk = certificate.layers.iter().filter(|l| !l.at_risk.is_empty()).count();
    let layers = certificate.layers.len();
    files::print(&match at_risk {
        0 => format!("all {layers} layers certified: no 16-bit sum of products can saturate"),
        n => format!("{n} of {layers} layers can saturate in 16 bits (-32768 to 32767)"),
    });
    let (Some(changes), Some(out)) = (relaxed, &args.relax) else { return };
    for change in changes {
        files::print(&format!(
            "'{}': {} weights in {} channels changed, by at most {} steps; noise {:.1} dB below \
             the weights",
            change.node, change.weights, change.channels, change.largest, change.sqnr_db
        ));
    }
    files::print(&format!("{} written, certified", out.display()));
}

fn row(layer: &LayerCertificate) -> Vec<String> {
    let result = match layer.at_risk.len() {
        0 => "certified".into(),
        n => format!("{n} at risk"),
    };
    let pair = layer.worst.map(|pair| {
        let [a, b] = pair.weights;
        (format!("{a}, {b} (channel {})", pair.channel), pair.sum.to_string())
    });
    let (pair, sum) = pair.unwrap_or_default();
    vec![
        layer.node.clone(),
        layer.op.into(),
        layer.channels.to_string(),
        format!("{}..{}", layer.low, layer.high),
        result,
        pair,
        sum,
    ]
}
