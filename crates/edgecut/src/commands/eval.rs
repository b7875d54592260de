//! `edgecut eval`: accuracy with its uncertainty, per class, and agreement with another model.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use edgecut_graph::Tensor;
use edgecut_runtime::{CompileOptions, Precision};
use edgecut_train::data::{Dataset, Subset, open::SPLIT_SEED};
use serde::Serialize;

use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::report::ClassFigures;
use crate::settings::DataSettings;
use crate::stats::Share;
use crate::work::card::Card;
use crate::work::classify::{Answers, classify_with};
use crate::work::data::{self, Part};
use crate::work::loaded::Loaded;
use crate::work::npy;
use crate::work::precision::Compute;
use crate::work::preprocessing::Preprocessing;
use crate::work::shapes::Shapes;
use crate::{files, term};

/// Classes listed in the terminal; `--json` and `-v` give all.
const SHOWN: usize = 30;

/// Options of `eval`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut eval model.onnx --data quickstart
  edgecut eval int8.onnx --data fashion-mnist --against model.onnx
  edgecut eval model.onnx --data quickstart --precision bf16
  edgecut eval mobilenet_v2.onnx --data ./imagenet-sample --preprocess torchvision
  edgecut eval mobilenet_v1_quant.tflite --data ./imagenet-sample --preprocess pixels")]
pub struct Args {
    /// The model
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    shapes: Shapes,
    #[command(flatten)]
    compute: Compute,
    #[command(flatten)]
    data: EvalData,
    /// Another model to compare answers with
    #[arg(long, value_name = "OTHER")]
    against: Option<PathBuf>,
    #[command(flatten)]
    preprocessing: Preprocessing,
    /// Position of the data's first class in the output [default: 1 for models with a background
    /// class in front, as ImageNet's with 1001 outputs, else 0]
    #[arg(long, value_name = "N")]
    label_offset: Option<usize>,
    /// Write the inputs as fed (inputs.npy) and the outputs (logits.npy) to this folder
    #[arg(long, value_name = "DIR")]
    dump: Option<PathBuf>,
}

/// Which pictures.
#[derive(clap::Args)]
pub struct EvalData {
    /// Data set: a name or a path (also a folder of pictures named NUMBER_anything.jpg)
    #[arg(long = "data", value_name = "NAME|PATH")]
    pub source: String,
    /// Which part of it
    #[arg(long, value_enum, default_value = "auto")]
    part: Part,
    /// Use at most this many pictures (a seeded sample)
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Share held out for testing when the data has no test part of its own
    #[arg(long, value_name = "SHARE", default_value_t = 0.2)]
    validation: f32,
}

impl EvalData {
    /// The pictures, and what must be said beside results on them. `trained_here` as for
    /// [`data::part`].
    pub fn open(&self, trained_here: bool) -> Result<(Arc<dyn Dataset>, Option<String>)> {
        let settings = DataSettings {
            source: self.source.clone(),
            validation: self.validation,
            limit: None,
            classes: None,
        };
        settings.validate().map_err(|w| Failure::input(format!("--{} {}", w.field, w.problem)))?;
        let (set, note) = data::part(&settings, self.part, trained_here)?;
        Ok(match self.limit.filter(|&l| l < set.len()) {
            Some(limit) => (Arc::new(Subset::sample(set, SPLIT_SEED, limit)), note),
            None => (set, note),
        })
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Output {
    data: String,
    note: Option<String>,
    part: String,
    images: usize,
    model: Figures,
    against: Option<Figures>,
    agreement: Option<Share>,
    /// The same model in float32, where another precision was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    float32: Option<Float32>,
}

#[derive(Serialize)]
struct Float32 {
    top1: Share,
    /// Share of pictures with the same answer.
    agreement: Share,
}

#[derive(Serialize)]
struct Figures {
    path: PathBuf,
    /// Position of the data's first class in the model's output.
    label_offset: usize,
    top1: Share,
    top5: Option<Share>,
    images_per_second: f64,
    classes: Vec<Class>,
    confusion: Vec<Vec<u32>>,
}

#[derive(Serialize)]
struct Class {
    name: String,
    #[serde(flatten)]
    figures: ClassFigures,
}

/// Evaluates.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let load = |path: &Path| {
        let loaded = Loaded::open(path, &args.shapes, true)?;
        Ok::<_, Failure>((loaded.card()?, loaded))
    };
    let model = load(&args.model)?;
    let other = args.against.as_deref().map(load).transpose()?;
    let wanted = &args.data;
    let (set, note) = wanted.open(model.0.preprocess()?.is_some())?;
    let pool = global.pool();
    let answer = |(card, loaded): &(Card, Loaded),
                  name: &str,
                  precision,
                  visit: &mut dyn FnMut(&[f32], &[f32])| {
        let preprocess = args.preprocessing.choose(card)?;
        let offset = label_offset(args, card)?;
        let plan = loaded.plan(
            loaded.batch(&preprocess)?,
            &CompileOptions { precision, ..CompileOptions::default() },
        )?;
        classify_with(global, name, (card, plan), &pool, &set, &preprocess, offset, visit)
            .map_err(|e| e.at(&card.path))
    };
    let mut dump = args.dump.as_ref().map(|_| Dump::default());
    let precision = args.compute.precision(global);
    let answers = answer(&model, "eval", precision, &mut |inputs, scores| {
        if let Some(dump) = &mut dump {
            dump.add(inputs, scores);
        }
    })?;
    if let (Some(folder), Some(dump)) = (&args.dump, dump) {
        let [h, w, c] = args.preprocessing.choose(&model.0)?.shape();
        dump.write(folder, set.len(), [c, h, w])?;
    }
    let others =
        other.as_ref().map(|m| answer(m, "against", precision, &mut |_, _| ())).transpose()?;
    let float = (precision != Precision::F32)
        .then(|| answer(&model, "float32", Precision::F32, &mut |_, _| ()))
        .transpose()?;
    let output = Output {
        data: wanted.source.clone(),
        note,
        part: format!("{:?}", wanted.part).to_lowercase(),
        images: set.len(),
        float32: float
            .as_ref()
            .map(|float| Float32 { top1: float.accuracy(), agreement: answers.agreement(float) }),
        agreement: others.as_ref().map(|o| answers.agreement(o)),
        model: figures(args, &model.0, &answers, set.classes())?,
        against: match other.as_ref().zip(others.as_ref()) {
            Some(((card, _), a)) => Some(figures(args, card, a, set.classes())?),
            None => None,
        },
    };
    if global.json {
        return files::print_json(&output);
    }
    show(&output, global);
    Ok(())
}

/// Position of the data's first class in the output: as asked for, or as the model says.
fn label_offset(args: &Args, card: &Card) -> Result<usize> {
    args.label_offset.map_or_else(|| card.label_offset(), Ok)
}

/// What `--dump` collects, for comparison with another runtime on the same tensors.
#[derive(Default)]
struct Dump {
    inputs: Vec<f32>,
    scores: Vec<f32>,
}

impl Dump {
    fn add(&mut self, inputs: &[f32], scores: &[f32]) {
        self.inputs.extend_from_slice(inputs);
        self.scores.extend_from_slice(scores);
    }

    fn write(self, folder: &Path, count: usize, [c, h, w]: [usize; 3]) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(|e| Failure::io(folder, &e))?;
        let outputs = self.scores.len() / count.max(1);
        let inputs = Tensor::new(vec![count, c, h, w], self.inputs)?;
        let scores = Tensor::new(vec![count, outputs], self.scores)?;
        npy::write(&folder.join("inputs.npy"), &inputs)?;
        npy::write(&folder.join("logits.npy"), &scores)
    }
}

fn figures(args: &Args, card: &Card, answers: &Answers, names: &[String]) -> Result<Figures> {
    let classes = answers.per_class(names.len()).into_iter().zip(names);
    Ok(Figures {
        path: card.path.clone(),
        label_offset: label_offset(args, card)?,
        top1: answers.accuracy(),
        top5: answers.top5(),
        images_per_second: answers.labels.len() as f64 / answers.seconds.max(1e-9),
        classes: classes.map(|(figures, name)| Class { name: name.clone(), figures }).collect(),
        confusion: answers.confusion(names.len()),
    })
}

fn show(output: &Output, global: &Global) {
    let interval = |s: &Share| format!("{:.2} to {:.2}", s.low, s.high);
    let row = |f: &Figures| {
        let top5 = f.top5.map_or("–".into(), |s| term::percent(s.percent));
        let speed = term::count(f.images_per_second.round() as u64);
        vec![
            f.path.display().to_string(),
            term::percent(f.top1.percent),
            interval(&f.top1),
            top5,
            speed,
        ]
    };
    let rows: Vec<Vec<String>> =
        std::iter::once(&output.model).chain(&output.against).map(row).collect();
    let header = ["model", "top-1", "95 % interval", "top-5", "images/s"];
    files::print(&term::table(&header, &[1, 2, 3, 4], &rows));
    if let Some(same) = output.agreement {
        let (percent, count, total) = (term::percent(same.percent), same.count, same.total);
        files::print(&format!("same answer on {percent} of the pictures ({count} of {total})"));
    }
    if let Some(float) = &output.float32 {
        let same = term::percent(float.agreement.percent);
        let top1 = term::percent(float.top1.percent);
        files::print(&format!(
            "float32 gives the same answer on {same} of the pictures, top-1 {top1}"
        ));
    }
    let shown = if global.verbose > 0 { usize::MAX } else { SHOWN };
    let classes = &output.model.classes;
    let rows: Vec<Vec<String>> = classes
        .iter()
        .filter(|c| c.figures.recall.total > 0)
        .take(if classes.len() > SHOWN && shown == SHOWN { 0 } else { shown })
        .map(|c| {
            let (p, r) = (c.figures.precision, c.figures.recall);
            vec![
                c.name.clone(),
                term::percent(r.percent),
                term::percent(p.percent),
                r.total.to_string(),
            ]
        })
        .collect();
    if !rows.is_empty() {
        files::print(&term::table(
            &["class", "recall", "precision", "pictures"],
            &[1, 2, 3],
            &rows,
        ));
    }
    let part =
        if output.part == "auto" { String::new() } else { format!(" ({} part)", output.part) };
    files::print(&format!(
        "{} pictures of {}{part}",
        term::count(output.images as u64),
        output.data
    ));
    for f in std::iter::once(&output.model).chain(&output.against).filter(|f| f.label_offset > 0) {
        files::print(&format!(
            "class 0 of the data is output {} of {} (--label-offset)",
            f.label_offset,
            f.path.display()
        ));
    }
    if let Some(note) = &output.note {
        files::print(note);
    }
}
