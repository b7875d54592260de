//! Trains, quantises and tests a network by the command line, as anybody would.

use std::path::{Path, PathBuf};
use std::process::Command;

use edgecut_graph::onnx;
use serde_json::{Map, Value};

use super::nets::Built;
use crate::cli::{output, top1};

/// Settings that are switches on the command line.
const SWITCHES: [&str; 3] = ["zero_points", "keep_zeros", "keep_palette"];

/// Share of the loss that is the float network's while integers are trained, as in a search.
const ALPHA: &str = "0.5";

/// Settings of a search's training as options, without those that are not set, epochs and seed.
pub fn recipe(training: &Map<String, Value>, epochs: Option<u64>) -> Recipe {
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
            (true, _) | (_, "epochs" | "seed") => {}
            _ => options.push((name, Some(text))),
        }
    }
    Recipe { options, epochs: epochs.unwrap_or(usual) }
}

/// How all networks are trained.
pub struct Recipe {
    /// Each with its value, if it has one.
    options: Vec<(String, Option<String>)>,
    epochs: u64,
}

/// The command line at work.
pub struct Trainer<'a> {
    pub binary: PathBuf,
    /// Where models and checkpoints lie.
    pub work: PathBuf,
    pub data: &'a str,
    pub recipe: Recipe,
    pub int8_epochs: u64,
    pub threads: usize,
}

impl Trainer<'_> {
    /// Test accuracy of a network as integers, percent, trained from fresh weights; as far as files of
    /// that stem are there already, they are taken.
    pub fn accuracy(
        &self,
        stem: &str,
        seed: u64,
        build: &dyn Fn(u64) -> Built,
    ) -> Result<f64, String> {
        std::fs::create_dir_all(&self.work).map_err(|e| format!("{}: {e}", self.work.display()))?;
        let file = |part: &str| self.work.join(format!("{stem}-{part}.onnx"));
        let [fresh, float, int8] = [file("fresh"), file("float"), file("int8")];
        if !float.exists() {
            onnx::export(&build(seed)?, &fresh).map_err(|e| e.to_string())?;
            let mut command = self.edgecut("train");
            command.arg(&fresh).args(self.options(self.recipe.epochs, seed, &[]));
            command.arg("--out").arg(&float);
            output(command)?;
        }
        if !int8.exists() {
            let mut command = self.edgecut("distill");
            command.args([&float, &float]).args(["--bits", "8", "--alpha", ALPHA]);
            // Integers have a learning rate of their own.
            command.args(self.options(self.int8_epochs.max(1), seed, &["--lr"]));
            command.arg("--out").arg(&int8);
            output(command)?;
        }
        self.score(&int8)
    }

    /// Options of one training, without those named.
    fn options(&self, epochs: u64, seed: u64, without: &[&str]) -> Vec<String> {
        let kept = self.recipe.options.iter().filter(|(name, _)| !without.contains(&name.as_str()));
        let recipe = kept.flat_map(|(name, value)| [Some(name.clone()), value.clone()]).flatten();
        let own = ["--epochs".into(), epochs.to_string(), "--seed".into(), seed.to_string()];
        recipe.chain(own).collect()
    }

    fn edgecut(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command.args([verb, "--data", self.data, "--threads", &self.threads.to_string()]);
        command
    }

    fn score(&self, model: &Path) -> Result<f64, String> {
        let mut command = self.edgecut("eval");
        command.arg(model);
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
        assert_eq!(found.epochs, 7);
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
