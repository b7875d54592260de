//! `edgecut run`: pictures in, most likely classes out; arrays in, arrays out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use edgecut_graph::Tensor;
use edgecut_kernels::Isa;
use edgecut_runtime::{CompileOptions, Session, compile};
use edgecut_train::data::Image;
use edgecut_train::metrics::top_k;
use serde::Serialize;

use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::work::classify::probability;
use crate::work::model::{Model, class_count, ends_in_softmax};
use crate::work::npy;
use crate::work::shapes::Shapes;
use crate::{files, term};

/// Longest file of labels that is read.
const MAX_LABEL_BYTES: u64 = 16 << 20;

/// Options of `run`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut run model.onnx photo.jpg
  edgecut run mobilenet_v2.onnx *.jpg --preprocess torchvision --labels imagenet.txt --top 3
  edgecut run model.onnx input.npy --output logits.npy")]
pub struct Args {
    /// The model
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    shapes: Shapes,
    /// Pictures (JPEG, PNG), or one .npy array for each input of the model
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// How many classes to show
    #[arg(long, value_name = "N", default_value_t = 5)]
    top: usize,
    /// Names of the classes, one per line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// How pictures become the input: auto (as the file says), torchvision, caffe,
    /// tf, lite0, cifar, pixels
    #[arg(long, value_name = "NAME", default_value = "auto")]
    preprocess: String,
    /// Write the model's output here; further outputs go to NAME.1.npy and so on
    #[arg(long, value_name = "NAME.npy")]
    output: Option<PathBuf>,
}

/// The answers for one picture, or one row of an array.
#[derive(Serialize)]
struct Answer {
    input: String,
    top: Vec<Guess>,
}

#[derive(Serialize)]
struct Guess {
    class: usize,
    name: String,
    score: f32,
    probability_percent: f32,
}

/// Runs the model.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let arrays = args.files.iter().filter(|f| is_npy(f)).count();
    // Arrays are fed as the file wants them; pictures become numbers first.
    let load = if arrays == 0 { Model::load_float } else { Model::load_with };
    let model = load(&args.model, &args.shapes)?;
    if let Some(path) = &args.output {
        files::check_writable(path)?;
    }
    let outputs = match arrays {
        0 => on_pictures(args, global, &model)?,
        n if n == args.files.len() => on_arrays(args, global, &model)?,
        _ => return Err(Failure::input("pictures and .npy arrays cannot be mixed in one run")),
    };
    if let Some(path) = &args.output {
        for (index, tensor) in outputs.iter().enumerate() {
            npy::write(&numbered(path, index), tensor)?;
        }
    }
    let answers = answers(args, &model, &outputs)?;
    if global.json {
        return files::print_json(&answers);
    }
    show(&answers, args, &outputs);
    Ok(())
}

fn is_npy(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npy"))
}

fn numbered(path: &Path, index: usize) -> PathBuf {
    if index == 0 { path.to_path_buf() } else { path.with_extension(format!("{index}.npy")) }
}

/// One run per picture; the first output of all, stacked.
fn on_pictures(args: &Args, global: &Global, model: &Model) -> Result<Vec<Tensor>> {
    let preprocess = model.choose_preprocess(&args.preprocess)?;
    let classes = class_count(&model.graph).map_err(|e| e.at(&model.path))?;
    let plan = compile(&model.graph, &CompileOptions { batch: 1, isa: Isa::detect() });
    let plan = plan.map_err(|e| Failure::from(e).at(&model.path))?;
    let mut session = Session::new(Arc::new(plan), global.pool());
    let pixels = preprocess.shape().iter().product::<usize>();
    let mut rows = Vec::new();
    for path in &args.files {
        let image = Image::open(path)?;
        preprocess
            .apply_nchw(&image, &mut session.input_mut(0)?[..pixels])
            .map_err(|e| Failure::from(e).at(path))?;
        session.run()?;
        rows.extend_from_slice(&session.output_f32(0)?[..classes]);
    }
    Ok(vec![Tensor::new(vec![args.files.len(), classes], rows)?])
}

/// One run on all arrays.
fn on_arrays(args: &Args, global: &Global, model: &Model) -> Result<Vec<Tensor>> {
    let needed = model.graph.inputs.len();
    if args.files.len() != needed {
        let given = args.files.len();
        return Err(Failure::input(format!(
            "the model has {needed} inputs, {given} arrays were given"
        ))
        .at(&model.path));
    }
    let inputs = args.files.iter().map(|f| npy::read(f)).collect::<Result<Vec<Tensor>>>()?;
    let batch = inputs.first().and_then(|t| t.shape().first().copied()).unwrap_or(1).max(1);
    let plan = compile(&model.graph, &CompileOptions { batch, isa: Isa::detect() });
    let plan = plan.map_err(|e| Failure::from(e).at(&model.path))?;
    let mut session = Session::new(Arc::new(plan), global.pool());
    Ok(session.infer(&inputs)?)
}

/// The most likely classes of every row of the first output; none where that is no matrix of
/// scores.
fn answers(args: &Args, model: &Model, outputs: &[Tensor]) -> Result<Vec<Answer>> {
    let names = match &args.labels {
        Some(path) => read_labels(path)?,
        None => model.classes()?,
    };
    let Some(scores) = outputs.first().filter(|t| t.rank() >= 2 && !t.is_empty()) else {
        return Ok(vec![]);
    };
    let Ok(values) = scores.f32s() else { return Ok(vec![]) };
    let classes = scores.len() / scores.shape()[0];
    let softmax = ends_in_softmax(&model.graph);
    let guess = |row: &[f32], class: usize| Guess {
        class,
        name: names.get(class).cloned().unwrap_or_else(|| class.to_string()),
        score: row[class],
        probability_percent: 100.0 * probability(row, class, softmax),
    };
    let rows = values.chunks_exact(classes).enumerate();
    Ok(rows
        .map(|(i, row)| Answer {
            input: match args.files.len() {
                1 if scores.shape()[0] > 1 => format!("row {i}"),
                _ => args
                    .files
                    .get(i)
                    .map_or_else(|| format!("row {i}"), |f| f.display().to_string()),
            },
            top: top_k(row, args.top).into_iter().map(|class| guess(row, class)).collect(),
        })
        .collect())
}

fn read_labels(path: &Path) -> Result<Vec<String>> {
    let size = std::fs::metadata(path).map_err(|e| Failure::io(path, &e))?.len();
    if size > MAX_LABEL_BYTES {
        return Err(Failure::input("is larger than 16 MiB: not a list of labels").at(path));
    }
    let bytes = std::fs::read(path).map_err(|e| Failure::io(path, &e))?;
    let text =
        String::from_utf8(bytes).map_err(|_| Failure::input("is not UTF-8 text").at(path))?;
    Ok(text.lines().map(|l| l.trim().to_string()).collect())
}

fn show(answers: &[Answer], args: &Args, outputs: &[Tensor]) {
    let mut rows = Vec::new();
    for answer in answers {
        for (i, guess) in answer.top.iter().enumerate() {
            let input = if i == 0 { answer.input.clone() } else { String::new() };
            rows.push(vec![
                input,
                guess.name.clone(),
                format!("{:.1} %", guess.probability_percent),
                format!("{:.4}", guess.score),
            ]);
        }
    }
    if !rows.is_empty() {
        files::print(&term::table(&["input", "class", "probability", "score"], &[2, 3], &rows));
    }
    if let Some(path) = &args.output {
        for (index, tensor) in outputs.iter().enumerate() {
            files::print(&format!(
                "{} {:?} written",
                numbered(path, index).display(),
                tensor.shape()
            ));
        }
    }
}
