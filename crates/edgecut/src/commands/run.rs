//! `edgecut run`: pictures in, most likely classes out; arrays in, arrays out.

use std::path::{Path, PathBuf};

use edgecut_graph::Tensor;
use edgecut_train::metrics::top_k;
use serde::Serialize;

use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::inspect::summary::extents;
use crate::work::classify::probability;
use crate::work::feed::{Ran, on_arrays, on_pictures};
use crate::work::npy;
use crate::work::precision::Compute;
use crate::work::preprocessing::Preprocessing;
use crate::work::runner::Runner;
use crate::work::shapes::Shapes;
use crate::work::tune::{Tune, Tuned};
use crate::{files, term};

/// Longest file of labels that is read.
const MAX_LABEL_BYTES: u64 = 16 << 20;

/// Options of `run`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut run model.onnx photo.jpg
  edgecut run mobilenet_v2.onnx *.jpg --preprocess torchvision --labels imagenet.txt --top 3
  edgecut run model.ecut photo.jpg
  edgecut run detector.onnx street.jpg --preprocess torchvision --output boxes.npy
  edgecut run model.onnx ids.npy mask=mask.npy --output logits.npy")]
pub struct Args {
    /// The model: ONNX, TFLite, or packed (.ecut)
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    shapes: Shapes,
    #[command(flatten)]
    compute: Compute,
    #[command(flatten)]
    tune: Tune,
    /// Pictures (JPEG, PNG), or one .npy array for each input of the model, in their order or as
    /// INPUT=FILE.npy. Where the model leaves height and width open, they are those of the picture
    /// or array
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// How many classes to show
    #[arg(long, value_name = "N", default_value_t = 5)]
    top: usize,
    /// Names of the classes, one per line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    #[command(flatten)]
    preprocessing: Preprocessing,
    /// Write the model's output here; further outputs go to NAME.1.npy and so on
    #[arg(long, value_name = "NAME.npy")]
    output: Option<PathBuf>,
}

/// What came out for one picture, one row of an array of scores, or one set of arrays.
#[derive(Serialize)]
struct Answer {
    input: String,
    /// The most likely classes; none where the model is no classifier.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    top: Vec<Guess>,
    /// What else there is to say of the outputs of a model that is no classifier.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<Described>,
}

#[derive(Serialize)]
struct Guess {
    class: usize,
    name: String,
    score: f32,
    probability_percent: f32,
}

/// An output in numbers.
#[derive(Serialize)]
struct Described {
    name: String,
    dtype: String,
    shape: Vec<usize>,
    min: f32,
    max: f32,
    mean: f64,
}

/// Runs the model.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    if let Some(path) = &args.output {
        files::check_writable(path)?;
    }
    let labels = args.labels.as_deref().map(read_labels).transpose()?;
    let arrays = args.files.iter().filter(|f| is_npy(f)).count();
    if arrays > 0 && arrays < args.files.len() {
        return Err(Failure::input("pictures and .npy arrays cannot be mixed in one run"));
    }
    // Arrays are fed as the file wants them; pictures become numbers first.
    let pool = global.pool();
    let tuner = args.tune.tuner(global, &pool);
    let options = args.compute.options(global, tuner.clone());
    let runner = Runner::open(&args.model, &args.shapes, arrays == 0, &options, pool)?;
    let ran = if arrays == 0 {
        on_pictures(&args.files, &args.preprocessing, &runner)?
    } else {
        on_arrays(&args.files, &runner)?
    };
    tuner.iter().for_each(|tuner| _ = Tuned::of(tuner, global));
    if let Some(path) = &args.output {
        for (index, tensor) in ran.outputs.iter().enumerate() {
            npy::write(&numbered(path, index), tensor)?;
        }
    }
    let answers = answers(args, &ran, labels)?;
    if global.json {
        return files::print_json(&answers);
    }
    show(&answers, args, &ran.outputs);
    Ok(())
}

fn is_npy(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npy"))
}

fn numbered(path: &Path, index: usize) -> PathBuf {
    if index == 0 { path.to_path_buf() } else { path.with_extension(format!("{index}.npy")) }
}

/// The most likely classes of every row of scores, or the outputs in numbers where the model is no
/// classifier.
fn answers(args: &Args, ran: &Ran, labels: Option<Vec<String>>) -> Result<Vec<Answer>> {
    let names = match labels {
        Some(labels) => labels,
        None => ran.card.classes()?,
    };
    let files: Vec<String> = args.files.iter().map(|f| f.display().to_string()).collect();
    let Some((scores, classes)) = scores(ran) else {
        let names = ran.card.outputs.iter().map(|output| &output.name);
        let outputs = names.zip(&ran.outputs).map(|(name, t)| Described::new(name, t)).collect();
        return Ok(vec![Answer { input: files.join(", "), top: vec![], outputs }]);
    };
    let softmax = ran.card.distribution;
    let guess = |row: &[f32], class: usize| Guess {
        class,
        name: names.get(class).cloned().unwrap_or_else(|| class.to_string()),
        score: row[class],
        probability_percent: 100.0 * probability(row, class, softmax),
    };
    let rows = scores.chunks_exact(classes).enumerate();
    let count = scores.len() / classes;
    Ok(rows
        .map(|(i, row)| Answer {
            input: match files.get(i) {
                Some(file) if files.len() == count => file.clone(),
                _ => format!("row {i}"),
            },
            top: top_k(row, args.top).into_iter().map(|class| guess(row, class)).collect(),
            outputs: vec![],
        })
        .collect())
}

/// Scores of a classifier, row by row, and the number of its classes: its only output is
/// `[n, classes]`, whatever extents of one follow.
fn scores(ran: &Ran) -> Option<(&[f32], usize)> {
    let [output] = ran.outputs.as_slice() else { return None };
    let classes = ran.card.class_count().ok()?;
    let flat = output.rank() >= 2 && output.shape()[1] == classes && !output.is_empty();
    Some((output.f32s().ok().filter(|_| flat)?, classes))
}

impl Described {
    fn new(name: &str, tensor: &Tensor) -> Described {
        let values = tensor.to_f32();
        let sum: f64 = values.iter().map(|&v| f64::from(v)).sum();
        Described {
            name: name.to_string(),
            dtype: tensor.dtype().to_string(),
            shape: tensor.shape().to_vec(),
            min: values.iter().copied().fold(f32::INFINITY, f32::min),
            max: values.iter().copied().fold(f32::NEG_INFINITY, f32::max),
            mean: sum / values.len().max(1) as f64,
        }
    }
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
    let described: Vec<Vec<String>> =
        answers.iter().flat_map(|a| &a.outputs).map(Described::row).collect();
    if !described.is_empty() {
        let header = ["output", "type", "shape", "min", "max", "mean"];
        files::print(&term::table(&header, &[3, 4, 5], &described));
    }
    if let Some(path) = &args.output {
        for (index, tensor) in outputs.iter().enumerate() {
            let shape = extents(tensor.shape());
            files::print(&format!("{} written, {shape}", numbered(path, index).display()));
        }
    }
}

impl Described {
    fn row(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.dtype.clone(),
            extents(&self.shape),
            term::number(self.min.into()),
            term::number(self.max.into()),
            term::number(self.mean),
        ]
    }
}
