//! `edgecut quantize`: a float model and pictures in, an int8 model out.

use std::path::{Path, PathBuf};

use edgecut_compress::{Found, Limits, Mixed, QuantizeReport, Recipe, Score, Trial};
use serde::Serialize;

use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::report::quantised;
use crate::settings::{DataSettings, Method, QuantizeSettings, Target, Wrong};
use crate::work::calibrate::{Pictures, remarks, to_int8};
use crate::work::data;
use crate::work::model::{self, Format, Model};
use crate::work::preprocessing::Preprocessing;
use crate::work::shapes::Shapes;
use crate::work::speed::Speed;
use crate::{files, term};

/// Options of `quantize`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut quantize model.onnx --data quickstart --out int8.onnx
  edgecut quantize model.onnx --data ./flowers --images 1000 --method minmax --out int8.onnx
  edgecut quantize mobilenet_v2.onnx --data ./photos --preprocess torchvision --out int8.onnx
  edgecut quantize model.onnx --data ./flowers --max-drop 1 --report int8.html --out int8.onnx")]
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
    /// Leave layers float, as few as it takes, until at most this share of answers differs from
    /// float (exit code 1 where it cannot be met)
    #[arg(long, value_name = "PERCENT")]
    max_drop: Option<f64>,
    /// Make layers 4-bit, those that lose least, until the weights fit (exit code 1 where they
    /// cannot)
    #[arg(long, value_name = "KIB")]
    max_size: Option<f64>,
    /// Also write what was tried, and each layer's error, as a page
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
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
    /// How the limits were met, where there are some.
    mixed: Option<&'a Mixed>,
    /// Both models on this machine.
    speed: &'a Speed,
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
    let limits = limits(args)?;
    if let Some(path) = &args.report {
        files::check_writable(path)?;
    }
    let model = Model::load_with(&args.model, &args.shapes)?;
    let preprocess = args.preprocessing.choose(&model.card())?;
    let data = data::open(&args.data, None)?;
    let pictures = Pictures { set: &data.train, preprocess: &preprocess, settings: &settings };
    let found = to_int8(global, &model.graph, &pictures, limits, &global.pool());
    let mut found = found.map_err(|e| e.at(&args.model))?;
    model::describe(&mut found.quantized.graph, &preprocess)?;
    model::save(&found.quantized.graph, &args.out)?;
    let (sha256, int8_bytes) = files::digest(&args.out)?;
    let speed = Speed::measure(global, &model.graph, &found.quantized.graph, &global.pool())?;
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
        mixed: found.mixed.as_ref(),
        speed: &speed,
        report: &found.quantized.report,
    };
    if let Some(path) = &args.report {
        let name = args.model.display().to_string();
        let (before, after) = (model.file_bytes, int8_bytes);
        let facts = quantised::Facts { model: &name, before, after, speed: &speed };
        files::write(path, quantised::page(&found, &facts).as_bytes())?;
    }
    if global.json {
        files::print_json(&output)?;
        return verdict(&limits, &found);
    }
    print_trials(&found);
    for line in &remarks(&found) {
        files::print(line);
    }
    files::print(&speed.remark());
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
    verdict(&limits, &found)
}

/// The limits that the options state.
fn limits(args: &Args) -> Result<Limits> {
    let wrong = |name: &str, value: f64, expected: &str| {
        Failure::input(format!("--{name} is {value}, must be {expected}"))
    };
    if let Some(drop) = args.max_drop.filter(|drop| !(0.0..=100.0).contains(drop)) {
        return Err(wrong("max-drop", drop, "0 to 100 percent"));
    }
    if let Some(size) = args.max_size.filter(|size| !(*size > 0.0 && *size < 1e9)) {
        return Err(wrong("max-size", size, "a positive number of KiB"));
    }
    let limited = args.max_drop.is_some() || args.max_size.is_some();
    if limited && args.quantize.method != Method::Auto {
        return Err(Failure::input("--max-drop and --max-size need --method auto"));
    }
    let max_bytes = args.max_size.map(|kib| (kib * 1024.0) as usize);
    Ok(Limits { max_drop: args.max_drop, max_bytes })
}

/// Limits that are not met end with exit code 1; the model is written all the same.
fn verdict(limits: &Limits, found: &Found) -> Result<()> {
    match &found.mixed {
        _ if limits.is_empty() => Ok(()),
        Some(mixed) if mixed.met => Ok(()),
        Some(mixed) => Err(Failure::not_met(format!(
            "the limits cannot be met: {}{} bytes of weights",
            mixed.drop.map_or(String::new(), |drop| format!("{drop:.2} % of answers differ, ")),
            mixed.bytes
        ))),
        None => Err(Failure::not_met("stopped before the limits were met")),
    }
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
