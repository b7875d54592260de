//! Networks pruned by edgecut and by Torch-Pruning, trained alike.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::cli::{above_0, output, top1};

/// Prune a network by edgecut and by Torch-Pruning, and train them alike
///
/// Removes channels from MODEL until a share of its multiply-adds is left: by Torch-Pruning's group-norm
/// pruner, by `edgecut prune` at once, and by `edgecut prune` in steps with training in between. What is
/// left is trained by the same `edgecut distill`, taught by MODEL, for as many epochs in all, with each
/// seed. Prints the test accuracy of all. Interrupted, the same command goes on.
///
/// Python is EDGECUT_PYTHON, with torch, torch-pruning and onnx.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  cargo xtask prune-beside resnet20.onnx ./cifar10-jpeg --epochs 12"
)]
pub struct Settings {
    model: PathBuf,
    /// What `edgecut train --data` takes
    data: String,
    /// Of the multiply-adds; 2.1 times fewer unless another one is named
    #[arg(long, value_name = "X", default_value_t = 0.476, value_parser = above_0::<f64>)]
    share: f64,
    /// Of training, all steps together
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = above_0::<usize>)]
    epochs: usize,
    /// Of the way in steps; 0 leaves that way out
    #[arg(long, value_name = "N", default_value_t = 3)]
    steps: usize,
    /// Which
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_values_t = [1, 2])]
    seeds: Vec<usize>,
    #[arg(long, value_name = "X", default_value_t = 0.05, value_parser = above_0::<f64>)]
    lr: f64,
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = above_0::<usize>)]
    batch: usize,
    /// In which a batch is computed
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = above_0::<usize>)]
    parts: usize,
    /// What `edgecut prune` compares channels with
    #[arg(long, value_name = "WITH", default_value = "auto")]
    rank: String,
    /// Channels that are left are a multiple of this, in edgecut
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = above_0::<usize>)]
    round: usize,
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = above_0::<usize>)]
    threads: usize,
    /// An `edgecut` that is built already
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// Runs the task.
pub fn run(root: &Path, settings: &Settings) -> Result<(), String> {
    let (epochs, steps) = (settings.epochs, settings.steps);
    if steps > 0 && !epochs.is_multiple_of(steps) {
        return Err(format!("{steps} steps share {epochs} epochs unevenly"));
    }
    let stem = settings.model.file_stem().unwrap_or_default();
    let work = root.join("target/prune-beside").join(stem);
    std::fs::create_dir_all(&work).map_err(|e| format!("{}: {e}", work.display()))?;
    let binary = crate::program(root, settings.program.as_deref())?;
    let bench = Bench { root, settings, binary, work };
    bench.run()
}

struct Bench<'a> {
    root: &'a Path,
    settings: &'a Settings,
    binary: PathBuf,
    work: PathBuf,
}

/// What `torch_prune.py` says.
#[derive(Deserialize)]
struct Left {
    macs: f64,
}

impl Bench<'_> {
    fn run(&self) -> Result<(), String> {
        let theirs = self.work.join("torch-pruning.onnx");
        let left = self.torch_prune(&theirs)?;
        let ours = self.work.join("edgecut.onnx");
        // As many as theirs, which overshoot the share by a step.
        let share = format!("{left:.4}x");
        self.prune(&ours, &share, &[])?;
        println!("{:.2} % before; {left:.3} of the multiply-adds are left\n", self.score(None)?);
        println!("| pruned by | seed | test accuracy, % |\n| --- | ---: | ---: |");
        for &seed in &self.settings.seeds {
            for (name, start) in [("Torch-Pruning", &theirs), ("edgecut, at once", &ours)] {
                let trained = start.with_extension(format!("{seed}.onnx"));
                self.distill(start, &trained, seed)?;
                println!("| {name} | {seed} | {:.2} |", self.score(Some(&trained))?);
            }
            if self.settings.steps == 0 {
                continue;
            }
            let stepped = self.work.join(format!("steps.{seed}.onnx"));
            self.prune(&stepped, &share, &self.in_steps(seed))?;
            println!("| edgecut, in steps | {seed} | {:.2} |", self.score(Some(&stepped))?);
        }
        Ok(())
    }

    /// Prunes by Torch-Pruning; the share of multiply-adds that is left.
    fn torch_prune(&self, out: &Path) -> Result<f64, String> {
        let python = std::env::var("EDGECUT_PYTHON").unwrap_or_else(|_| "python3".into());
        let mut command = Command::new(python);
        command.arg(self.root.join("xtask/peers/torch_prune.py")).arg(&self.settings.model);
        command.arg(self.settings.share.to_string()).arg(out);
        let left: Left = serde_json::from_slice(&output(command)?).map_err(|e| e.to_string())?;
        Ok(left.macs)
    }

    fn edgecut(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command.args([verb, "--threads", &self.settings.threads.to_string()]);
        command.arg("--data").arg(&self.settings.data);
        command
    }

    fn prune(&self, out: &Path, macs: &str, more: &[String]) -> Result<(), String> {
        let round = self.settings.round.to_string();
        let mut command = self.edgecut("prune");
        command.arg(&self.settings.model).args(["--macs", macs]).args(more);
        command.args(["--rank", &self.settings.rank, "--images", "512"]);
        command.args(["--round", &round, "--min-channels", &round]).arg("--out").arg(out);
        output(command).map(drop)
    }

    fn distill(&self, student: &Path, out: &Path, seed: usize) -> Result<(), String> {
        let mut command = self.edgecut("distill");
        command
            .arg(student)
            .arg(&self.settings.model)
            .args(self.recipe(self.settings.epochs, seed));
        // As `prune` trains.
        command.args(["--label-smoothing", "0", "--ema-decay", "0.99", "--warmup-epochs", "0.2"]);
        command.arg("--out").arg(out);
        output(command).map(drop)
    }

    /// Options that both ways of training have.
    fn recipe(&self, epochs: usize, seed: usize) -> Vec<String> {
        let Settings { lr, batch, parts, .. } = self.settings;
        let text = format!(
            "--epochs {epochs} --lr {lr} --batch {batch} --accumulate {parts} --crop 4 --seed {seed}"
        );
        text.split(' ').map(String::from).collect()
    }

    fn in_steps(&self, seed: usize) -> Vec<String> {
        let Settings { epochs, steps, .. } = *self.settings;
        let mut options = vec!["--steps".into(), steps.to_string()];
        options.extend(self.recipe(epochs / steps, seed));
        options
    }

    /// Test accuracy of a network, of the one to begin with where none is named.
    fn score(&self, model: Option<&Path>) -> Result<f64, String> {
        let mut command = self.edgecut("eval");
        command.arg(model.unwrap_or(&self.settings.model));
        top1(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parsed;

    #[test]
    fn epochs_must_divide_into_steps() {
        let given = ["m.onnx", "d", "--epochs", "12", "--steps", "5"];
        let uneven = run(Path::new("."), &parsed(&given).unwrap());
        assert!(uneven.is_err_and(|e| e.contains("unevenly")));
        assert!(parsed::<Settings>(&["m.onnx", "d", "--steps", "0", "--seeds", "3,4"]).is_ok());
        assert!(parsed::<Settings>(&["m.onnx"]).is_err());
        assert!(parsed::<Settings>(&["m.onnx", "d", "--lr", "fast"]).is_err());
    }
}
