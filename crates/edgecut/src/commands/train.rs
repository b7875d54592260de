//! `edgecut train`: data and an architecture in, a float ONNX model out.

use std::path::{Path, PathBuf};
use std::time::Duration;

use edgecut_train::data::Data;
use edgecut_train::{EpochStats, Evaluation, RateCurve, TrainOutcome};
use serde::Serialize;

use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::report::trained;
use crate::settings::{DataSettings, DistillSettings, ModelSettings, TrainSettings, Wrong};
use crate::stats::Share;
use crate::work::preprocessing::Preprocessing;
use crate::work::train::{
    CHECKPOINT_EVERY, Integers, Job, Start, own_teacher, prepare, search_rate, train,
};
use crate::work::{data, model};
use crate::{files, progress, term};

/// Options of `train`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut train --data quickstart --arch mobilenet-v2-s28 --out model.onnx
  edgecut train --data ./flowers --arch mobilenet-v2 --width 0.5 --resolution 96 --epochs 40 --out flowers.onnx
  edgecut train flowers.onnx --data ./flowers --lr 0.01 --epochs 5 --out better.onnx
  edgecut train imagenet.onnx --data ./flowers --head classes=5 --lr 0.01 --lr-decay-layers 0.8 --out flowers.onnx
  edgecut train imagenet.tflite --data ./flowers --head classes=5 --freeze '*' --fixed-statistics --out flowers.onnx
  edgecut train --data ./flowers --arch mobilenet-v2 --resolution 224 --memory 1GB --out flowers.onnx
  edgecut train --data ./flowers --arch mobilenet-v2 --find-lr
  edgecut train flowers.onnx --data ./flowers --bits 4 --epochs 3 --out int4.onnx
  edgecut train int8.onnx --data ./flowers --epochs 3 --out better-int8.onnx
  tensorboard --logdir flowers.onnx.work

A quantised model stays quantised: its weights, biases and scales are trained, and where
the test pictures say that this has made it worse, the result has the weights from before. With --bits
a float model is quantised first, and is the teacher of its quantised form: quantise and distill do the
same in two steps with all their options. The same command after an interruption (also kill -9) goes on where it was. The folder of the checkpoint also has
metrics.jsonl, TensorBoard's event file, and report.html in the end.")]
pub struct Args {
    /// Model to fine-tune, ONNX or TFLite, float or quantised: as --start
    #[arg(value_name = "MODEL", conflicts_with = "start")]
    begin: Option<PathBuf>,
    #[command(flatten)]
    data: DataSettings,
    #[command(flatten)]
    model: ModelSettings,
    #[command(flatten)]
    preprocessing: Preprocessing,
    #[command(flatten)]
    integers: Integers,
    #[command(flatten)]
    train: TrainSettings,
    #[command(flatten)]
    files: ResultFiles,
    /// Train nothing: try rising learning rates for some steps and say which is good
    #[arg(long)]
    find_lr: bool,
}

/// Where results and checkpoints go.
#[derive(clap::Args)]
pub struct ResultFiles {
    /// Where to write the model
    #[arg(long, value_name = "MODEL.onnx", default_value = "model.onnx")]
    pub out: PathBuf,
    #[command(flatten)]
    checkpoint: Checkpoint,
}

/// Where a long run keeps what survives a kill.
#[derive(clap::Args)]
pub struct Checkpoint {
    /// Folder of the checkpoint [default: the name of the model with .work added]
    #[arg(long, value_name = "DIR")]
    checkpoint: Option<PathBuf>,
    /// Seconds between two checkpoints
    #[arg(long, value_name = "SECONDS", default_value_t = CHECKPOINT_EVERY.as_secs_f64())]
    checkpoint_every: f64,
    /// Begin anew even if there is a checkpoint
    #[arg(long)]
    pub restart: bool,
}

impl ResultFiles {
    /// What to train, with these files.
    pub fn job<'a>(
        &self,
        data: &'a Data,
        model: &'a ModelSettings,
        settings: &'a TrainSettings,
    ) -> Result<Job<'a>> {
        let (checkpoint, every) = (self.checkpoint.folder(&self.out), self.checkpoint.every()?);
        let restart = self.checkpoint.restart;
        Ok(Job { data, model, preprocessing: None, settings, checkpoint, every, restart })
    }
}

impl Checkpoint {
    /// The folder, where the result goes to `out`.
    pub fn folder(&self, out: &Path) -> PathBuf {
        self.checkpoint.clone().unwrap_or_else(|| {
            let mut name = out.as_os_str().to_owned();
            name.push(".work");
            name.into()
        })
    }

    /// Time between two checkpoints.
    pub fn every(&self) -> Result<Duration> {
        checkpoint_every(self.checkpoint_every)
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Output {
    model: PathBuf,
    report: PathBuf,
    sha256: String,
    file_bytes: u64,
    data: String,
    note: Option<String>,
    ending: edgecut_train::Ending,
    /// Accuracy of the written weights on the test part.
    accuracy: Option<Share>,
    /// That of a quantised model before it was trained.
    accuracy_before: Option<Share>,
    /// Whether training has made it worse, so that its weights are those from before.
    kept: bool,
    history: Vec<EpochStats>,
    images_per_second: f64,
    seconds: f64,
    /// Bytes that a step works on, and what is computed twice for it.
    memory: edgecut_train::plan::Memory,
}

/// Trains.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    args.data.validate().map_err(wrong)?;
    let mut model_settings = args.model.clone();
    model_settings.start = args.begin.clone().or(model_settings.start);
    model_settings.validate().map_err(wrong)?;
    args.train.validate().map_err(wrong)?;
    if !args.find_lr {
        files::check_writable(&args.files.out)?;
    }
    let data = data::open(&args.data, None)?;
    let job = Job {
        preprocessing: Some(&args.preprocessing),
        ..args.files.job(&data, &model_settings, &args.train)?
    };
    let mut start = prepare(&job)?;
    say_pictures(global, &data);
    say_assumed(global, &start);
    let float = args.integers.begin(global, &job, &mut start)?;
    if args.find_lr {
        return show_rates(&search_rate(global, &job, &start)?, global);
    }
    let teach = |float| {
        let alpha = DistillSettings::default().alpha;
        own_teacher(global, (float, &start.preprocess), alpha, &job.checkpoint)
    };
    let mut guide = float.map(teach).transpose()?;
    let outcome = train(global, &job, &start, guide.as_mut())?;
    deliver(global, &job, outcome, &args.files.out, "test accuracy")
}

/// The time between two checkpoints.
fn checkpoint_every(seconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|e| Failure::input(format!("--checkpoint-every {seconds}: {e}")))
}

/// A setting that is out of range, as an option.
pub fn wrong(w: Wrong) -> Failure {
    Failure::input(format!("--{} {}", w.field.replace('_', "-"), w.problem))
}

/// Says how many pictures there are.
pub fn say_pictures(global: &Global, data: &Data) {
    let (train, test) = (data.train.len(), data.test.len());
    progress::say(global, &format!("{train} training and {test} test pictures of {}", data.name));
}

/// Says where the input had to be guessed.
pub fn say_assumed(global: &Global, start: &Start) {
    if start.assumed {
        progress::say(
            global,
            "the model does not say how pictures become its input: they are normalised by the mean \
             and spread of the data; --preprocess torchvision, tf, caffe ... if it was trained so",
        );
    }
}

/// Writes the trained model and the report, and says so. `what` is the name of the accuracy.
pub fn deliver(
    global: &Global,
    job: &Job,
    outcome: TrainOutcome,
    out: &Path,
    what: &str,
) -> Result<()> {
    model::save(&outcome.graph, out)?;
    let (report, data) = (job.checkpoint.join("report.html"), job.data);
    let facts = trained::Facts {
        model: &out.file_stem().unwrap_or_default().to_string_lossy(),
        data: &data.name,
        note: data.note.as_deref(),
        pictures: [data.train.len(), data.test.len()],
        classes: data.train.classes(),
        settings: job.settings,
    };
    files::write(&report, trained::page(&outcome, &facts).as_bytes())?;
    let (sha256, file_bytes) = files::digest(out)?;
    let share = |found: &Option<Evaluation>| {
        let counts = found.as_ref().map(|found| &found.counts)?;
        Some(Share::of(counts.top1 as usize, counts.total as usize))
    };
    let output = Output {
        model: out.into(),
        report,
        sha256,
        file_bytes,
        data: data.name.clone(),
        note: data.note.clone(),
        ending: outcome.ending,
        accuracy: share(&outcome.validation),
        accuracy_before: share(&outcome.before),
        kept: outcome.kept,
        history: outcome.history,
        images_per_second: outcome.images_per_second,
        seconds: outcome.seconds,
        memory: outcome.memory,
    };
    if global.json {
        return files::print_json(&output);
    }
    show(&output, what);
    Ok(())
}

fn show(output: &Output, what: &str) {
    let seconds = Duration::from_secs_f64(output.seconds.clamp(0.0, 1e9));
    if let Some(a) = output.accuracy {
        files::print(&format!(
            "{what} {} (95 % interval {:.2} to {:.2}), {} epochs in {}",
            term::percent(a.percent),
            a.low,
            a.high,
            output.history.len(),
            term::duration(seconds)
        ));
    }
    if let Some(before) = output.accuracy_before {
        let verdict = match output.kept {
            true => "; training made it worse, so its weights are those from before",
            false => "",
        };
        files::print(&format!("it was {} before{verdict}", term::percent(before.percent)));
    }
    files::print(&format!(
        "{} written, {}",
        output.model.display(),
        term::bytes(output.file_bytes)
    ));
    files::print(&format!("{} shows how it went", output.report.display()));
    if let Some(note) = &output.note {
        files::print(note);
    }
}

/// The loss at some of the rates, and which is good.
fn show_rates(curve: &RateCurve, global: &Global) -> Result<()> {
    if global.json {
        return files::print_json(curve);
    }
    let losses = || curve.points.iter().map(|p| p.smoothed);
    let (low, high) = (losses().fold(f64::MAX, f64::min), losses().fold(0.0, f64::max));
    let bar = |loss: f64| {
        let share = (loss - low) / (high.min(2.0 * low) - low).max(1e-9);
        "█".repeat((30.0 * share.clamp(0.0, 1.0)).round() as usize)
    };
    let shown = curve.points.iter().step_by(curve.points.len().div_ceil(24).max(1));
    let rows: Vec<Vec<String>> = shown
        .map(|p| vec![format!("{:.1e}", p.lr), format!("{:.3}", p.smoothed), bar(p.smoothed)])
        .collect();
    files::print(&term::table(&["rate", "loss", ""], &[0, 1], &rows));
    files::print(&match curve.suggested {
        Some(rate) => {
            format!("the loss falls fastest at a rate of about {rate:.1e}: --lr {rate:.1e}")
        }
        None => "the loss fell at no rate: look at the data and the model first".into(),
    });
    Ok(())
}
