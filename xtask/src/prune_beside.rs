//! Networks pruned by edgecut and by Torch-Pruning, trained alike.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde::Deserialize;

use crate::cli::{output, top1};

const HELP: &str = "\
Usage: cargo xtask prune-beside MODEL DATA [--share X] [--epochs N] [--steps N] [--seeds N,..]
                                          [--lr X] [--batch N] [--parts N] [--round N] [--threads N]
                                          [--program FILE]

Removes channels from MODEL until the share X of its multiply-adds is left: by Torch-Pruning's
group-norm pruner, by `edgecut prune` at once, and by `edgecut prune` in steps with training in between.
What is left is trained by the same `edgecut distill`, taught by MODEL, for as many epochs in all, with
each seed. Prints the test accuracy of all. Interrupted, the same command goes on.

DATA is what `edgecut train --data` takes.

  --share X     of the multiply-adds (default 0.476: 2.1 times fewer)
  --epochs N    of training, all steps together (default 12)
  --steps N     of the way in steps (default 3); 0 leaves that way out
  --seeds N,..  which (default 1,2)
  --lr X        (default 0.05)
  --batch N     (default 128)
  --parts N     in which a batch is computed (default 8)
  --round N     channels that are left are a multiple of this, in edgecut (default 4)
  --threads N   (default 2)
  --program F   an `edgecut` that is built already

Python is EDGECUT_PYTHON, with torch, torch-pruning and onnx.

Example:
  cargo xtask prune-beside resnet20.onnx ./cifar10-jpeg --epochs 12
";

struct Settings {
    model: PathBuf,
    data: String,
    share: f64,
    epochs: usize,
    steps: usize,
    seeds: Vec<usize>,
    lr: f64,
    batch: usize,
    parts: usize,
    round: usize,
    threads: usize,
    program: Option<PathBuf>,
}

/// `cargo xtask prune-beside ARGS`: exit code 2 where they are wrong, 1 where a part of it fails.
pub fn main(root: &Path, args: &[&str]) -> ExitCode {
    crate::with_options("prune-beside", HELP, args, parse, |settings| run(root, settings))
}

fn parse(args: &[&str]) -> Result<Settings, String> {
    let mut settings = Settings {
        model: PathBuf::new(),
        data: String::new(),
        share: 0.476,
        epochs: 12,
        steps: 3,
        seeds: vec![1, 2],
        lr: 0.05,
        batch: 128,
        parts: 8,
        round: 4,
        threads: 2,
        program: None,
    };
    let mut places = vec![];
    let mut rest = args.iter();
    while let Some(&arg) = rest.next() {
        if !arg.starts_with('-') {
            places.push(arg);
            continue;
        }
        let text = rest.next().copied().unwrap_or_default();
        let wrong = || format!("{arg}: '{text}' is no value of it");
        let number_from = |least| text.parse().ok().filter(|&n| n >= least).ok_or_else(wrong);
        let count = || number_from(1);
        let number = || text.parse().ok().filter(|&x| x > 0.0).ok_or_else(wrong);
        match arg {
            "--share" => settings.share = number()?,
            "--lr" => settings.lr = number()?,
            "--epochs" => settings.epochs = count()?,
            "--steps" => settings.steps = number_from(0)?,
            "--seeds" => {
                let seeds = text.split(',').map(|n| n.parse().ok()).collect::<Option<_>>();
                settings.seeds = seeds.ok_or_else(wrong)?;
            }
            "--batch" => settings.batch = count()?,
            "--parts" => settings.parts = count()?,
            "--round" => settings.round = count()?,
            "--threads" => settings.threads = count()?,
            "--program" => settings.program = Some(text.into()),
            _ => return Err(format!("no option is called '{arg}'")),
        }
    }
    let [model, data] = places.as_slice() else {
        return Err("give MODEL and DATA".into());
    };
    if settings.steps > 0 && !settings.epochs.is_multiple_of(settings.steps) {
        let (epochs, steps) = (settings.epochs, settings.steps);
        return Err(format!("{steps} steps share {epochs} epochs unevenly"));
    }
    (settings.model, settings.data) = (model.into(), data.to_string());
    Ok(settings)
}

fn run(root: &Path, settings: &Settings) -> Result<(), String> {
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

    #[test]
    fn epochs_must_divide_into_steps() {
        let given = ["m.onnx", "d", "--epochs", "12", "--steps", "5"];
        assert!(parse(&given).is_err_and(|e| e.contains("unevenly")));
        assert!(parse(&["m.onnx", "d", "--steps", "0"]).is_ok());
        assert!(parse(&given[..4]).is_ok() && parse(&["m.onnx"]).is_err());
        assert!(parse(&["m.onnx", "d", "--lr", "fast"]).is_err());
    }
}
