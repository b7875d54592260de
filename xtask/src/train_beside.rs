//! A whole training, and its first epochs by the same recipe in PyTorch.

use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, ExitCode, Stdio};
use std::sync::Arc;

use edgecut_graph::onnx;
use edgecut_train::data::{Augment, Data, Loader, LoaderOptions, OpenOptions, Preprocess, open};
use edgecut_zoo::{Options, build};
use serde::Deserialize;
use serde_json::json;

const HELP: &str = "\
Usage: cargo xtask train-beside DATA [--epochs N] [--stop N] [--arch NAME] [--width X]
                                    [--parts N] [--threads N] [--only WHICH]
                                    [--program FILE]

Trains a network of the zoo by `edgecut train`, then from the same weights, by the same recipe and on
the same pictures, in the same order and varied alike, its first epochs in PyTorch, and prints the test
accuracy of both behind each epoch. Interrupted, edgecut's part goes on.

DATA has train/CLASS/*.jpg and test/CLASS/*.jpg of 32x32 pixels, such as the unpacked archives
sets/cifar10-jpeg-{train,test} of EDGECUT_DATA.

  --epochs N    of edgecut's training (default 20)
  --stop N      epochs in PyTorch (default 5)
  --arch NAME   (default mobilenet-v2-s32)
  --width X     (default 0.42)
  --parts N     in which both compute a batch of 128 pictures, one after the other: BatchNorm sees
                parts (default 8)
  --threads N   (default 2)
  --program F   an `edgecut` that is built already
  --only WHICH  edgecut or pytorch: that part alone

Python is EDGECUT_PYTHON, with torch and onnx.

Example:
  cargo xtask train-beside ./cifar10-jpeg --epochs 20
";

const BATCH: usize = 128;
const RATE: f32 = 0.2;
const SMOOTHING: f32 = 0.05;
const WEIGHT_DECAY: f32 = 0.0005;
const EMA: f32 = 0.995;
const CROP: usize = 4;
const SEED: u64 = 1;
/// Width and height of the pictures.
const SIDE: usize = 32;

struct Settings {
    data: PathBuf,
    epochs: usize,
    stop: usize,
    arch: String,
    width: f32,
    parts: usize,
    threads: usize,
    /// Whether edgecut's part runs, and PyTorch's.
    run: [bool; 2],
    program: Option<PathBuf>,
}

/// `cargo xtask train-beside ARGS`: exit code 2 where they are wrong, 1 where a training fails.
pub fn main(root: &Path, args: &[&str]) -> ExitCode {
    crate::with_options("train-beside", HELP, args, parse, |settings| run(root, settings))
}

fn parse(args: &[&str]) -> Result<Settings, String> {
    let mut data = None;
    let mut settings = Settings {
        data: PathBuf::new(),
        epochs: 20,
        stop: 5,
        arch: "mobilenet-v2-s32".into(),
        width: 0.42,
        parts: 8,
        threads: 2,
        run: [true; 2],
        program: None,
    };
    let mut rest = args.iter();
    while let Some(&arg) = rest.next() {
        if !arg.starts_with('-') {
            data = Some(PathBuf::from(arg));
            continue;
        }
        let text = rest.next().copied().unwrap_or_default();
        let wrong = || format!("{arg}: '{text}' is no value of it");
        let number = || text.parse().ok().filter(|&n| n > 0).ok_or_else(wrong);
        match arg {
            "--epochs" => settings.epochs = number()?,
            "--stop" => settings.stop = number()?,
            "--parts" => settings.parts = number()?,
            "--threads" => settings.threads = number()?,
            "--width" => settings.width = text.parse().map_err(|_| wrong())?,
            "--arch" => settings.arch = text.into(),
            "--program" => settings.program = Some(text.into()),
            "--only" => match text {
                "edgecut" => settings.run = [true, false],
                "pytorch" => settings.run = [false, true],
                _ => return Err(wrong()),
            },
            _ => return Err(format!("no option is called '{arg}'")),
        }
    }
    settings.data = data.ok_or("DATA is missing")?;
    settings.stop = settings.stop.min(settings.epochs);
    Ok(settings)
}

/// What a training says behind an epoch.
#[derive(Deserialize)]
struct Epoch {
    epoch: f64,
    #[serde(default)]
    test_accuracy: Option<f64>,
}

fn run(root: &Path, settings: &Settings) -> Result<(), String> {
    let work = root.join("target/train-beside");
    std::fs::create_dir_all(&work).map_err(|e| format!("{}: {e}", work.display()))?;
    let width = Some(settings.width);
    let options = Options { width, classes: Some(10), ..Options::default() };
    let graph = build(&settings.arch, &options).map_err(|e| e.to_string())?;
    let start = work.join("start.onnx");
    onnx::export(&graph, &start).map_err(|e| e.to_string())?;
    let [own, peer] = settings.run;
    let trained = work.join("trained.onnx");
    let ours = own.then(|| edgecut(root, settings, &start, &trained)).transpose()?;
    let theirs = peer.then(|| pytorch(root, settings, &start)).transpose()?;
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
    let recipe = json!({
        "epochs": settings.epochs, "stop": settings.stop, "steps": data.train.len() / BATCH,
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
    let fed = feed(&data, settings.stop, input);
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

    #[test]
    fn epochs_stand_side_by_side() {
        let ours = b"{\"epoch\":0.5}\n{\"epoch\":1.0,\"test_accuracy\":0.5}\n\
            {\"epoch\":2.0,\"test_accuracy\":0.625}\n";
        let theirs = b"{\"epoch\":1,\"test_accuracy\":0.25}\n";
        let text = table(&epochs(ours).unwrap(), &epochs(theirs).unwrap());
        assert!(text.ends_with("| 1 | 50.00 | 25.00 | +25.00 |\n| 2 | 62.50 |  |  |\n"), "{text}");
        assert!(parse(&["data", "--width", "wide"]).is_err() && parse(&[]).is_err());
    }
}
