//! A whole training, and its first epochs by the same recipe in PyTorch.

use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::Arc;

use edgecut_graph::onnx;
use edgecut_train::data::{Augment, Data, Loader, LoaderOptions, OpenOptions, Preprocess, open};
use edgecut_zoo::{Options, build};
use serde::Deserialize;
use serde_json::json;

use crate::cli::above_0;

const BATCH: usize = 128;
const RATE: f32 = 0.2;
const SMOOTHING: f32 = 0.05;
const WEIGHT_DECAY: f32 = 0.0005;
const EMA: f32 = 0.995;
const CROP: usize = 4;
const SEED: u64 = 1;
/// Width and height of the pictures.
const SIDE: usize = 32;

/// Train a network, and its first epochs in PyTorch, by the same recipe
///
/// Trains a network of the zoo by `edgecut train`, then from the same weights, by the same recipe and on
/// the same pictures, in the same order and varied alike, its first epochs in PyTorch, and prints the test
/// accuracy of both behind each epoch. Interrupted, edgecut's part goes on.
///
/// Python is EDGECUT_PYTHON, with torch and onnx.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  cargo xtask train-beside ./cifar10-jpeg --epochs 20")]
pub struct Settings {
    /// A folder with train/CLASS/*.jpg and test/CLASS/*.jpg of 32x32 pixels, such as the unpacked archives
    /// sets/cifar10-jpeg-{train,test} of EDGECUT_DATA
    data: PathBuf,
    /// Of edgecut's training
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = above_0::<usize>)]
    epochs: usize,
    /// Epochs in PyTorch
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = above_0::<usize>)]
    stop: usize,
    #[arg(long, value_name = "NAME", default_value = "mobilenet-v2-s32")]
    arch: String,
    #[arg(long, value_name = "X", default_value_t = 0.42)]
    width: f32,
    /// In which both compute a batch of 128 pictures, one after the other: BatchNorm sees parts
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = above_0::<usize>)]
    parts: usize,
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = above_0::<usize>)]
    threads: usize,
    /// One part alone
    #[arg(long, value_name = "WHICH")]
    only: Option<Side>,
    /// An `edgecut` that is built already
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq)]
enum Side {
    Edgecut,
    Pytorch,
}

/// What a training says behind an epoch.
#[derive(Deserialize)]
struct Epoch {
    epoch: f64,
    #[serde(default)]
    test_accuracy: Option<f64>,
}

/// Runs the task.
pub fn run(root: &Path, settings: &Settings) -> Result<(), String> {
    let work = root.join("target/train-beside");
    std::fs::create_dir_all(&work).map_err(|e| format!("{}: {e}", work.display()))?;
    let width = Some(settings.width);
    let options = Options { width, classes: Some(10), ..Options::default() };
    let graph = build(&settings.arch, &options).map_err(|e| e.to_string())?;
    let start = work.join("start.onnx");
    onnx::export(&graph, &start).map_err(|e| e.to_string())?;
    let runs = |side| settings.only.is_none_or(|only| only == side);
    let trained = work.join("trained.onnx");
    let ours =
        runs(Side::Edgecut).then(|| edgecut(root, settings, &start, &trained)).transpose()?;
    let theirs = runs(Side::Pytorch).then(|| pytorch(root, settings, &start)).transpose()?;
    print!("{}", table(&ours.unwrap_or_default(), &theirs.unwrap_or_default()));
    Ok(())
}

fn edgecut(
    root: &Path,
    settings: &Settings,
    start: &Path,
    out: &Path,
) -> Result<Vec<Epoch>, String> {
    let mut command = Command::new(crate::program(root, settings.program.as_deref())?);
    command.arg("train").arg(start).arg("--data").arg(&settings.data).arg("--out").arg(out);
    command.args(["--preprocess", "cifar", "--optimizer", "sgd", "--schedule", "cosine"]);
    command.args(["--warmup-epochs", "1", "--momentum", "0.9", "--flip", "true"]);
    let numbers = [
        ("--epochs", settings.epochs.to_string()),
        ("--threads", settings.threads.to_string()),
        ("--batch", BATCH.to_string()),
        ("--accumulate", settings.parts.to_string()),
        ("--lr", RATE.to_string()),
        ("--weight-decay", WEIGHT_DECAY.to_string()),
        ("--label-smoothing", SMOOTHING.to_string()),
        ("--ema-decay", EMA.to_string()),
        ("--crop", CROP.to_string()),
        ("--seed", SEED.to_string()),
    ];
    command.args(numbers.iter().flat_map(|(name, value)| [name.to_string(), value.clone()]));
    match command.status() {
        Ok(status) if status.success() => {}
        _ => return Err(format!("failed: {command:?}")),
    }
    let metrics = out.with_added_extension("work").join("metrics.jsonl");
    let text = std::fs::read(&metrics).map_err(|e| format!("{}: {e}", metrics.display()))?;
    epochs(&text)
}

fn pytorch(root: &Path, settings: &Settings, start: &Path) -> Result<Vec<Epoch>, String> {
    let data = open(&settings.data.to_string_lossy(), &OpenOptions::default());
    let data = data.map_err(|e| e.to_string())?;
    let stop = settings.stop.min(settings.epochs);
    let recipe = json!({
        "epochs": settings.epochs, "stop": stop, "steps": data.train.len() / BATCH,
        "parts": settings.parts,
        "lr": RATE, "momentum": 0.9, "weight_decay": WEIGHT_DECAY, "warmup_epochs": 1,
        "label_smoothing": SMOOTHING, "ema_decay": EMA,
    });
    let python = std::env::var("EDGECUT_PYTHON").unwrap_or_else(|_| "python3".into());
    let mut command = Command::new(&python);
    command.arg(root.join("xtask/peers/train_beside.py")).arg(start);
    command.arg(settings.threads.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|e| format!("{python}: {e}"))?;
    let mut input = child.stdin.take().ok_or("no input of the child")?;
    writeln!(input, "{recipe}").map_err(|e| e.to_string())?;
    // What it prints fits into a pipe, so that it need not be read meanwhile.
    let fed = feed(&data, stop, input);
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    match output.status.success() {
        true => fed.and_then(|()| epochs(&output.stdout)),
        false => Err(format!("failed: {command:?}")),
    }
}

/// Writes what edgecut trains on: the test pictures, then batch by batch the training pictures. Each
/// time a count, as many labels, and `[n, h, w, c]` elements, all little-endian 32 bits wide.
fn feed(data: &Data, epochs: usize, input: ChildStdin) -> Result<(), String> {
    let mut input = BufWriter::new(input);
    let preprocess = Preprocess::cifar(SIDE);
    let tests = LoaderOptions::evaluation(data.test.len());
    let variations = Augment::crop_and_flip(CROP);
    let mut training = LoaderOptions::training(BATCH, SEED, Some(variations));
    training.end_epoch = Some(epochs as u64);
    for (set, options) in [(&data.test, tests), (&data.train, training)] {
        let mut loader =
            Loader::new(Arc::clone(set), &preprocess, &options).map_err(|e| e.to_string())?;
        while let Some(batch) = loader.next_batch().map_err(|e| e.to_string())? {
            let count = u32::try_from(batch.n).map_err(|e| e.to_string())?;
            let labels = std::iter::once(count).chain(batch.labels.iter().copied());
            let elements = batch.x.iter().map(|x| x.to_bits());
            let bytes: Vec<u8> = labels.chain(elements).flat_map(u32::to_le_bytes).collect();
            input.write_all(&bytes).map_err(|e| e.to_string())?;
        }
    }
    input.flush().map_err(|e| e.to_string())
}

/// The lines of whole epochs.
fn epochs(lines: &[u8]) -> Result<Vec<Epoch>, String> {
    let lines = lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let all = lines.map(|line| serde_json::from_slice(line).map_err(|e| e.to_string()));
    let all = all.collect::<Result<Vec<Epoch>, String>>()?;
    Ok(all.into_iter().filter(|said| said.test_accuracy.is_some()).collect())
}

/// A row for each epoch that either has.
fn table(ours: &[Epoch], theirs: &[Epoch]) -> String {
    let mut text = String::from("| epoch | edgecut, % | PyTorch, % | difference, points |\n");
    text.push_str("| ---: | ---: | ---: | ---: |\n");
    let at = |epochs: &[Epoch], n: usize| {
        epochs.iter().find(|e| e.epoch == n as f64).and_then(|e| e.test_accuracy)
    };
    for n in 1..=ours.len().max(theirs.len()) {
        let (a, b) = (at(ours, n), at(theirs, n));
        let percent =
            |share: Option<f64>| share.map_or(String::new(), |x| format!("{:.2}", 100.0 * x));
        let both = a.zip(b).map_or(String::new(), |(a, b)| format!("{:+.2}", 100.0 * (a - b)));
        let _ = writeln!(text, "| {n} | {} | {} | {both} |", percent(a), percent(b));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parsed;

    #[test]
    fn epochs_stand_side_by_side() {
        let ours = b"{\"epoch\":0.5}\n{\"epoch\":1.0,\"test_accuracy\":0.5}\n\
            {\"epoch\":2.0,\"test_accuracy\":0.625}\n";
        let theirs = b"{\"epoch\":1,\"test_accuracy\":0.25}\n";
        let text = table(&epochs(ours).unwrap(), &epochs(theirs).unwrap());
        assert!(text.ends_with("| 1 | 50.00 | 25.00 | +25.00 |\n| 2 | 62.50 |  |  |\n"), "{text}");
        let odd = [&["data", "--width", "wide"][..], &["data", "--only", "jax"], &[]];
        assert!(odd.iter().all(|args| parsed::<Settings>(args).is_err()));
    }
}
