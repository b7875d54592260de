//! The winners of a search beside width-scaled networks of the papers, trained alike.

mod nets;
mod training;

use std::path::{Path, PathBuf};

use edgecut_search::Genome;
use edgecut_search::arch::{ArchSpace, SpaceFile};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::cli::above_0;
use nets::{FAMILIES, Timer};
use training::Trainer;

/// A rival may take so much longer than the winner: widths are multiples of something.
const TOLERANCE: f64 = 1.03;

/// Compare winners of a search with width-scaled networks of the papers, trained alike
///
/// Takes the winners that `edgecut search --out FOLDER` has found for DATA, and for each of them the widest
/// MobileNetV2, MobileNetV3, ShuffleNetV2 and SqueezeNet that are no slower as integers on this machine.
/// Trains all from fresh weights by the recipe of the search, quantises them, trains them as integers, and
/// looks at the test pictures once. Prints accuracies and latencies; a rival that is at least as accurate
/// as a winner that is no faster is an error. Interrupted, the same command goes on.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  cargo xtask nas-rivals out/search fashion-mnist")]
pub struct Options {
    folder: PathBuf,
    data: String,
    /// Of the search
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = above_0::<usize>)]
    winners: usize,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = above_0::<u64>)]
    seeds: u64,
    /// Instead of the search's
    #[arg(long, value_name = "N", value_parser = above_0::<u64>)]
    epochs: Option<u64>,
    /// Of training
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = above_0::<usize>)]
    threads: usize,
    /// An `edgecut` that is built already
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// What is needed of `search.json`.
#[derive(Deserialize)]
struct Found {
    settings: Map<String, Value>,
    training: Map<String, Value>,
    searched: SpaceFile,
    input: [usize; 3],
    trials: Vec<Net>,
    winners: Vec<Winner>,
}

#[derive(Deserialize)]
struct Net {
    trial: usize,
    genome: Genome,
}

#[derive(Deserialize)]
struct Winner {
    trial: usize,
}

/// A network and what became of it.
struct Row {
    name: String,
    /// The winner that it is, or that it is compared with.
    winner: usize,
    is_winner: bool,
    ms: f64,
    /// Test accuracy of each seed, percent.
    accuracies: Vec<f64>,
}

impl Row {
    fn mean(&self) -> f64 {
        self.accuracies.iter().sum::<f64>() / self.accuracies.len().max(1) as f64
    }
}

/// Runs the task; an error where a rival is better.
pub fn run(root: &Path, options: &Options) -> Result<(), String> {
    let path = options.folder.join("search.json");
    let text = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let found: Found =
        serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    let [channels, side, classes] = found.input;
    let space = ArchSpace::new(found.searched.clone(), [channels, side], classes)
        .map_err(|e| e.to_string())?;
    let trainer = Trainer {
        binary: crate::program(root, options.program.as_deref())?,
        work: options.folder.join("rivals"),
        data: &options.data,
        recipe: training::recipe(&found.training, options.epochs),
        int8_epochs: found.settings.get("int8_epochs").and_then(Value::as_u64).unwrap_or(0),
        threads: options.threads,
    };
    let timer = Timer::default();
    let mut rows = vec![];
    for winner in found.winners.iter().take(options.winners) {
        let net = found.trials.iter().find(|net| net.trial == winner.trial);
        let genome = &net.ok_or("a winner is none of the trials")?.genome;
        let build = |seed: u64| space.graph(genome, seed).map_err(|e| e.to_string());
        let ms = timer.int8_ms(&build(0)?)?;
        let mut row = |name: String, is_winner, ms, build: &dyn Fn(u64) -> nets::Built| {
            let mut accuracies = vec![];
            for seed in 1..=options.seeds {
                let stem = format!("{}-{name}-{seed}", winner.trial);
                accuracies.push(trainer.accuracy(&stem, seed, build)?);
            }
            rows.push(Row { name, winner: winner.trial, is_winner, ms, accuracies });
            Ok::<(), String>(())
        };
        row(format!("winner-{}", winner.trial), true, ms, &build)?;
        for family in &FAMILIES {
            let Some((width, ms)) = timer.widest(family, found.input, ms * TOLERANCE)? else {
                continue;
            };
            let build = |seed| (family.build)(width, found.input, seed);
            row(format!("{}-{width}", family.name), false, ms, &build)?;
        }
    }
    report(&rows)
}

fn report(rows: &[Row]) -> Result<(), String> {
    println!("| network | beside | int8, ms | test accuracy, % | each seed |");
    println!("| --- | ---: | ---: | ---: | --- |");
    let mut better = vec![];
    for row in rows {
        let each: Vec<String> = row.accuracies.iter().map(|a| format!("{a:.2}")).collect();
        let Row { name, winner, ms, .. } = row;
        println!("| {name} | {winner} | {ms:.4} | {:.2} | {} |", row.mean(), each.join(", "));
        let own = rows.iter().find(|other| other.is_winner && other.winner == row.winner);
        if !row.is_winner && own.is_some_and(|own| row.mean() >= own.mean()) {
            better.push(name.clone());
        }
    }
    match better.is_empty() {
        true => Ok(()),
        false => Err(format!("no worse than the winner: {}", better.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parsed;

    #[test]
    fn a_folder_and_data_are_needed() {
        assert!(parsed::<Options>(&["out"]).is_err());
        let options: Options = parsed(&["out", "data", "--seeds", "3"]).unwrap();
        assert_eq!((options.seeds, options.winners), (3, 2));
        assert!(parsed::<Options>(&["out", "data", "--seeds", "0"]).is_err());
    }
}
