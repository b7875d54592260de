//! Trains, quantises and tests networks by the command line, as anybody would, several at a time.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use edgecut_graph::{Graph, onnx};
use serde_json::{Map, Value};

use super::found::Found;
use crate::cli::{above_0, top1};

/// A network with fresh weights.
pub type Built = Result<Graph, String>;

/// Settings that are switches on the command line.
const SWITCHES: [&str; 3] = ["zero_points", "keep_zeros", "keep_palette"];

/// Highest learning rate where a search says nothing else, as `edgecut train` has it.
const RATE: f64 = 0.1;

/// Share of the loss that is the float network's while integers are trained, as in a search.
const ALPHA: &str = "0.5";

/// Settings of a search's training as options, without those that are not set, epochs, seed and rate.
fn recipe(training: &Map<String, Value>, epochs: Option<u64>) -> Recipe {
    let mut options = vec![];
    let usual = training.get("epochs").and_then(Value::as_u64).unwrap_or(20);
    for (key, value) in training {
        let name = format!("--{}", key.replace('_', "-"));
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match (SWITCHES.contains(&key.as_str()), key.as_str()) {
            (true, _) if text == "true" => options.push((name, None)),
            (true, _) | (_, "epochs" | "seed" | "lr") => {}
            _ => options.push((name, Some(text))),
        }
    }
    let rate = training.get("lr").and_then(Value::as_f64).unwrap_or(RATE);
    Recipe { options, epochs: epochs.unwrap_or(usual), rate }
}

/// How all networks are trained.
pub struct Recipe {
    /// Each with its value, if it has one.
    options: Vec<(String, Option<String>)>,
    epochs: u64,
    /// The highest learning rate.
    rate: f64,
}

/// How much of the machine trainings get.
#[derive(clap::Args)]
pub struct Effort {
    /// Instead of the search's
    #[arg(long, value_name = "N", value_parser = above_0::<u64>)]
    epochs: Option<u64>,
    /// Trainings at a time
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = above_0::<usize>)]
    jobs: usize,
    /// Of each training
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = above_0::<usize>)]
    threads: usize,
    /// An `edgecut` that is built already
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// A network to train.
pub struct Pupil<'a> {
    /// Of the names of its files.
    pub stem: String,
    pub seed: u64,
    /// With a seed.
    pub build: Box<dyn Fn(u64) -> Built + Sync + 'a>,
    /// Share of the recipe's learning rate.
    pub rate: f64,
    /// Whether it is tested as integers.
    pub int8: bool,
}

/// The command line at work.
pub struct Trainer<'a> {
    binary: PathBuf,
    /// Where models, checkpoints and logs lie.
    work: PathBuf,
    data: &'a str,
    recipe: Recipe,
    int8_epochs: u64,
    effort: &'a Effort,
}

impl<'a> Trainer<'a> {
    /// Trains as `found` does, in a folder of `work` that is named after the epochs: models that are there
    /// already are taken.
    pub fn new(
        root: &Path,
        found: &Found,
        work: PathBuf,
        data: &'a str,
        effort: &'a Effort,
    ) -> Result<Trainer<'a>, String> {
        let recipe = recipe(&found.training, effort.epochs);
        let work = work.join(format!("{}-epochs", recipe.epochs));
        std::fs::create_dir_all(&work).map_err(|e| format!("{}: {e}", work.display()))?;
        Ok(Trainer {
            binary: crate::program(root, effort.program.as_deref())?,
            work,
            data,
            recipe,
            int8_epochs: found.settings.get("int8_epochs").and_then(Value::as_u64).unwrap_or(0),
            effort,
        })
    }

    /// Test accuracies of all, percent, each trained from its fresh weights.
    pub fn accuracies(&self, pupils: &[Pupil]) -> Result<Vec<f64>, String> {
        let next = AtomicUsize::new(0);
        let work = || -> Result<Vec<(usize, f64)>, String> {
            let mut done = vec![];
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(pupil) = pupils.get(at) else { return Ok(done) };
                let accuracy = self.accuracy(pupil).inspect_err(|_| {
                    // The others end what they are at, and begin nothing.
                    next.store(pupils.len(), Ordering::Relaxed);
                })?;
                eprintln!("{}: {accuracy:.2} %", pupil.stem);
                done.push((at, accuracy));
            }
        };
        let found = thread::scope(|scope| {
            let workers: Vec<_> = (0..self.effort.jobs).map(|_| scope.spawn(work)).collect();
            let joined = workers.into_iter().map(|w| w.join().map_err(|_| "a worker panicked")?);
            joined.collect::<Result<Vec<_>, String>>()
        })?;
        let mut accuracies = vec![f64::NAN; pupils.len()];
        found.into_iter().flatten().for_each(|(at, accuracy)| accuracies[at] = accuracy);
        Ok(accuracies)
    }

    fn accuracy(&self, pupil: &Pupil) -> Result<f64, String> {
        let file = |part: &str| self.work.join(format!("{}-{part}.onnx", pupil.stem));
        let [fresh, float, int8] = [file("fresh"), file("float"), file("int8")];
        if !float.exists() {
            onnx::export(&(pupil.build)(pupil.seed)?, &fresh).map_err(|e| e.to_string())?;
            let mut command = self.edgecut("train");
            command.arg(&fresh).args(self.options(self.recipe.epochs, pupil.seed));
            command.args(["--lr", &(self.recipe.rate * pupil.rate).to_string()]);
            self.train(command, &float)?;
        }
        if !pupil.int8 {
            return self.score(&float);
        }
        if !int8.exists() {
            let mut command = self.edgecut("distill");
            command.args([&float, &float]).args(["--bits", "8", "--alpha", ALPHA]);
            // Integers have a learning rate of their own, which is small.
            command.args(self.options(self.int8_epochs.max(1), pupil.seed));
            self.train(command, &int8)?;
        }
        self.score(&int8)
    }

    /// Runs a training whose lines go to a file beside `out`: several are at work.
    fn train(&self, mut command: Command, out: &Path) -> Result<(), String> {
        let log = out.with_extension("log");
        let lines = File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
        command.arg("--out").arg(out).stdout(Stdio::null()).stderr(lines);
        match command.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err(format!("failed, see {}: {command:?}", log.display())),
            Err(e) => Err(format!("{command:?}: {e}")),
        }
    }

    /// Options of one training, without its learning rate.
    fn options(&self, epochs: u64, seed: u64) -> Vec<String> {
        let all = self.recipe.options.iter();
        let recipe = all.flat_map(|(name, value)| [Some(name.clone()), value.clone()]).flatten();
        let own = ["--epochs".into(), epochs.to_string(), "--seed".into(), seed.to_string()];
        recipe.chain(own).collect()
    }

    fn edgecut(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command.args([verb, "--data", self.data, "--threads", &self.effort.threads.to_string()]);
        command
    }

    fn score(&self, model: &Path) -> Result<f64, String> {
        let mut command = self.edgecut("eval");
        command.arg("--quiet").arg(model);
        top1(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_become_options() {
        let training = serde_json::json!({
            "epochs": 7, "seed": 3, "weight_decay": 0.0005, "flip": false, "zero_points": true,
            "keep_zeros": false, "lr": null, "schedule": "cosine",
        });
        let Value::Object(training) = training else { panic!("is an object") };
        let found = recipe(&training, None);
        assert_eq!((found.epochs, found.rate), (7, RATE));
        let spell = |(name, value): &(String, Option<String>)| match value {
            Some(value) => format!("{name} {value}"),
            None => name.clone(),
        };
        let mut options = found.options.iter().map(spell).collect::<Vec<_>>().join(" ");
        for part in ["--weight-decay 0.0005", "--flip false", "--zero-points", "--schedule cosine"]
        {
            assert!(options.contains(part), "{part} in {options}");
            options = options.replace(part, "");
        }
        assert_eq!(options.trim(), "");
    }
}
