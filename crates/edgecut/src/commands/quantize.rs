//! `edgecut quantize`: a float model and pictures in, an int8 model out.

use std::path::PathBuf;

use edgecut_compress::QuantizeReport;
use serde::Serialize;

use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::settings::{DataSettings, QuantizeSettings, Wrong};
use crate::work::calibrate::{Pictures, to_int8};
use crate::work::data;
use crate::work::model::{self, Model};
use crate::work::preprocessing::Preprocessing;
use crate::work::shapes::Shapes;
use crate::{files, term};

/// Options of `quantize`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut quantize model.onnx --data quickstart --out int8.onnx
  edgecut quantize model.onnx --data ./flowers --images 1000 --method minmax --out int8.onnx
  edgecut quantize mobilenet_v2.onnx --data ./photos --preprocess torchvision --out int8.onnx")]
pub struct Args {
    /// The float model
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    shapes: Shapes,
    #[command(flatten)]
    data: DataSettings,
    #[command(flatten)]
    quantize: QuantizeSettings,
    #[command(flatten)]
    preprocessing: Preprocessing,
    /// Where to write the int8 model: .onnx (QDQ) or .tflite
    #[arg(long, value_name = "INT8", default_value = "int8.onnx")]
    out: PathBuf,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Output {
    model: PathBuf,
    sha256: String,
    float_bytes: u64,
    int8_bytes: u64,
    images: usize,
    report: QuantizeReport,
}

/// Quantises.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let wrong = |w: Wrong| Failure::input(format!("--{} {}", w.field.replace('_', "-"), w.problem));
    args.data.validate().map_err(wrong)?;
    args.quantize.validate().map_err(wrong)?;
    files::check_writable(&args.out)?;
    model::format(&args.out)?;
    let model = Model::load_with(&args.model, &args.shapes)?;
    let preprocess = args.preprocessing.choose(&model.card())?;
    let data = data::open(&args.data, None)?;
    let pictures = Pictures { set: &data.train, preprocess: &preprocess, settings: &args.quantize };
    let quantised = to_int8(global, &model.graph, &pictures, &global.pool());
    let mut quantised = quantised.map_err(|e| e.at(&args.model))?;
    model::describe(&mut quantised.graph, &preprocess)?;
    model::save(&quantised.graph, &args.out)?;
    let (sha256, int8_bytes) = files::digest(&args.out)?;
    let output = Output {
        model: args.out.clone(),
        sha256,
        float_bytes: model.file_bytes,
        int8_bytes,
        images: quantised.report.calibration_images,
        report: quantised.report.clone(),
    };
    if global.json {
        return files::print_json(&output);
    }
    for line in &quantised.remarks() {
        files::print(line);
    }
    let (before, after) = (term::bytes(output.float_bytes), term::bytes(output.int8_bytes));
    let ratio = output.float_bytes as f64 / output.int8_bytes.max(1) as f64;
    files::print(&format!(
        "{} written, {after} ({ratio:.2} times smaller than {before})",
        args.out.display()
    ));
    files::print(&format!(
        "check it: edgecut eval {} --data {} --against {}",
        args.out.display(),
        args.data.source,
        args.model.display()
    ));
    Ok(())
}
