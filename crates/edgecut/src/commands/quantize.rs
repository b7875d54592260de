//! `edgecut quantize`: a float model and pictures in, an int8 model out.

use std::path::{Path, PathBuf};

use edgecut_compress::{Found, QuantizeReport, Recipe, Score, Trial};
use serde::Serialize;

use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::settings::{DataSettings, QuantizeSettings, Target, Wrong};
use crate::work::calibrate::{Pictures, remarks, to_int8};
use crate::work::data;
use crate::work::model::{self, Format, Model};
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
struct Output<'a> {
    model: &'a Path,
    sha256: String,
    float_bytes: u64,
    int8_bytes: u64,
    images: usize,
    /// The combination of methods.
    recipe: &'a Recipe,
    /// On pictures held out.
    score: Score,
    /// Everything that was tried.
    trials: &'a [Trial],
    /// Whether time or Ctrl-C ended the search.
    stopped: bool,
    report: &'a QuantizeReport,
}

/// Quantises.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let wrong = |w: Wrong| Failure::input(format!("--{} {}", w.field.replace('_', "-"), w.problem));
    args.data.validate().map_err(wrong)?;
    args.quantize.validate().map_err(wrong)?;
    files::check_writable(&args.out)?;
    let mut settings = args.quantize.clone();
    // TensorFlow Lite's kernels take bytes only.
    if model::format(&args.out)? == Format::Tflite {
        settings.runtime = Target::Tflite;
    }
    let model = Model::load_with(&args.model, &args.shapes)?;
    let preprocess = args.preprocessing.choose(&model.card())?;
    let data = data::open(&args.data, None)?;
    let pictures = Pictures { set: &data.train, preprocess: &preprocess, settings: &settings };
    let found = to_int8(global, &model.graph, &pictures, &global.pool());
    let mut found = found.map_err(|e| e.at(&args.model))?;
    model::describe(&mut found.quantized.graph, &preprocess)?;
    model::save(&found.quantized.graph, &args.out)?;
    let (sha256, int8_bytes) = files::digest(&args.out)?;
    let output = Output {
        model: &args.out,
        sha256,
        float_bytes: model.file_bytes,
        int8_bytes,
        images: found.quantized.report.calibration_images,
        recipe: &found.recipe,
        score: found.score,
        trials: &found.trials,
        stopped: found.stopped,
        report: &found.quantized.report,
    };
    if global.json {
        return files::print_json(&output);
    }
    print_trials(&found);
    for line in &remarks(&found) {
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

/// A line for each combination that was tried.
fn print_trials(found: &Found) {
    for trial in found.trials.iter().filter(|_| found.trials.len() > 1) {
        let score = &trial.score;
        let percent = |share: f64| format!("{:5.1} %", 100.0 * share);
        files::print(&format!(
            "{} {} {:5.1} dB {:6.1} s  {}",
            if trial.recipe == found.recipe { "*" } else { " " },
            score.agreement.map_or("      -".into(), percent),
            score.sqnr_db,
            trial.seconds,
            trial.summary
        ));
    }
}
