//! `edgecut quantize`: a float model and pictures in, an int8 model out.

use std::path::{Path, PathBuf};

use edgecut_compress::{Found, Limits, Mixed, QuantizeReport, Recipe, Score, Trial};
use edgecut_graph::{Graph, onnx};
use edgecut_runtime::{Packed, Storage};
use serde::Serialize;

use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::report::quantised;
use crate::settings::{DataSettings, Method, QuantizeSettings, Target, Wrong};
use crate::work::calibrate::{Pictures, remarks, to_int8};
use crate::work::data;
use crate::work::model::{self, Form, Format, Model, Spelling};
use crate::work::pack::pack_graph;
use crate::work::palette;
use crate::work::preprocessing::Preprocessing;
use crate::work::shapes::Shapes;
use crate::work::sizes::Sizes;
use crate::work::speed::Speed;
use crate::{files, term};

/// Options of `quantize`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut quantize model.onnx --data quickstart --out int8.onnx
  edgecut quantize model.onnx --data ./flowers --images 1000 --method minmax --out int8.onnx
  edgecut quantize mobilenet_v2.onnx --data ./photos --preprocess torchvision --out int8.onnx
  edgecut quantize model.onnx --data ./flowers --max-drop 1 --report int8.html --out int8.onnx
  edgecut quantize model.onnx --data ./flowers --max-latency 3ms --threads 1 --out mixed.onnx
  edgecut quantize model.onnx --data ./flowers --format qoperator --out operators.onnx
  edgecut quantize model.onnx --data ./flowers --bits 4 --out int4.ecut --coded
  edgecut quantize sparse.onnx --data ./flowers --palette 5 --out shared.ecut --coded")]
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
    /// The model stays float, but each layer has at most 2^BITS different weights, 1 to 8, found by
    /// k-means; zeros stay zeros. Any runtime computes it; a packed model with --coded stores few
    /// bits for each weight
    #[arg(long, value_name = "BITS", conflicts_with_all = ["max_drop", "max_size", "max_latency", "report", "int4", "bits", "method", "weights_only"])]
    palette: Option<u8>,
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
    /// Take at most this long for a picture on this machine, with the threads given: as many
    /// layers stay float as the time allows, those that lose most in integers, measured layer by
    /// layer and then as a whole; with --max-size some become 4-bit. Exit code 2 where not even
    /// the fastest choice is in time: it is written, with its time
    #[arg(long, value_name = "TIME", value_parser = milliseconds)]
    max_latency: Option<f64>,
    /// Also write what was tried, and each layer's error, as a page
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Where to write the int8 model: .onnx, .tflite, or .ecut, compiled for this kind of
    /// machine
    #[arg(long, value_name = "INT8", default_value = "int8.onnx")]
    out: PathBuf,
    #[command(flatten)]
    spelling: Spelling,
    /// Entropy-code the weights. .ecut only
    #[arg(long)]
    coded: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Output<'a> {
    model: &'a Path,
    sha256: String,
    float_bytes: u64,
    int8_bytes: u64,
    /// What was written, counted in several ways.
    sizes: Sizes,
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
    if args.coded && model::format(&args.out)? != Format::Ecut {
        return Err(Failure::input("--coded: only for packed models, .ecut").at(&args.out));
    }
    let mut settings = args.quantize.clone();
    args.spelling.check(&args.out)?;
    // What is one node each rounds behind each.
    if args.spelling.format == Form::Qoperator {
        settings.runtime = Target::Onnxruntime;
    }
    // TensorFlow Lite's kernels take bytes only.
    if model::format(&args.out)? == Format::Tflite {
        settings.runtime = Target::Tflite;
    }
    if let Some(bits) = args.palette {
        return share_weights(args, bits, global);
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
    let sizes = write(args, &found.quantized.graph)?;
    let (sha256, int8_bytes) = files::digest(&args.out)?;
    let speed = Speed::measure(global, &model.graph, &found.quantized.graph, &global.pool())?;
    let output = Output {
        model: &args.out,
        sha256,
        float_bytes: model.file_bytes,
        int8_bytes,
        sizes,
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
        let facts = quantised::Facts { model: &name, before, after, sizes, speed: &speed };
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
    files::print(&sizes.remark());
    files::print(&format!(
        "check it: edgecut eval {} --data {} --against {}",
        args.out.display(),
        args.data.source,
        args.model.display()
    ));
    verdict(&limits, &found)
}

/// Clusters the weights of a float model.
fn share_weights(args: &Args, bits: u8, global: &Global) -> Result<()> {
    let settings = palette::settings(bits, &args.quantize.exclude)?;
    let model = Model::load_with(&args.model, &args.shapes)?;
    let preprocess = args.preprocessing.choose(&model.card())?;
    let data = data::open(&args.data, None)?;
    let shared = palette::share(global, &model, &settings, (&data, &preprocess));
    let (mut graph, found) = shared.map_err(|e| e.at(&args.model))?;
    model::describe(&mut graph, &preprocess)?;
    let sizes = write(args, &graph)?;
    let (sha256, bytes) = files::digest(&args.out)?;
    let (model, float_bytes) = (&args.out, model.file_bytes);
    let output = palette::Output { model, sha256, float_bytes, bytes, sizes, settings, found };
    if global.json {
        return files::print_json(&output);
    }
    output.show(&args.model, &args.data.source);
    Ok(())
}

/// Writes the quantised graph in the format that the name of `--out` says.
fn write(args: &Args, graph: &Graph) -> Result<Sizes> {
    if model::format(&args.out)? == Format::Ecut {
        pack_graph(graph, &args.out, if args.coded { Storage::Coded } else { Storage::Plain })?;
        return Sizes::of_packed(&Packed::open(&args.out)?, &args.out);
    }
    let form = args.spelling.form();
    model::save_as(graph, &args.out, onnx::ExportOptions { form, ..Default::default() })?;
    Sizes::of_graph(graph, &args.out)
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
    let max_bytes = args.max_size.map(|kib| (kib * 1024.0) as usize);
    let limits = Limits { max_drop: args.max_drop, max_bytes, max_latency_ms: args.max_latency };
    if !limits.is_empty() && args.quantize.method != Method::Auto {
        return Err(Failure::input("--max-drop, --max-size and --max-latency need --method auto"));
    }
    Ok(limits)
}

/// A time such as 3ms, 800us or 0.5s, in milliseconds, which a bare number is too.
fn milliseconds(text: &str) -> std::result::Result<f64, String> {
    let units = [("ms", 1.0), ("us", 1e-3), ("µs", 1e-3), ("s", 1e3)];
    let unit = units.iter().find_map(|(unit, ms)| Some((text.strip_suffix(unit)?, *ms)));
    let (number, ms) = unit.unwrap_or((text, 1.0));
    let time = number.trim().parse().map_or(f64::NAN, |number: f64| number * ms);
    match time > 0.0 && time < 1e9 {
        true => Ok(time),
        false => Err("must be a positive time such as 3ms, 800us or 0.5s".into()),
    }
}

/// Limits that are not met end with exit code 1, a time that is out of reach with 2; the model is
/// written all the same.
fn verdict(limits: &Limits, found: &Found) -> Result<()> {
    match &found.mixed {
        _ if limits.is_empty() => Ok(()),
        Some(mixed) if mixed.met => Ok(()),
        Some(Mixed { latency_ms: Some(ms), .. })
            if limits.max_latency_ms.is_some_and(|most| *ms > most) =>
        {
            Err(Failure::input(format!(
                "--max-latency: the fastest choice takes {ms:.2} ms on this machine"
            )))
        }
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
