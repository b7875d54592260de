//! The winners of a search beside width-scaled networks of the papers, trained alike.

mod nets;

use std::path::{Path, PathBuf};

use edgecut_graph::file::Draft;
use edgecut_search::arch::ArchSpace;
use serde::{Deserialize, Serialize};

use super::found::Found;
use super::training::{Built, Effort, Pupil, Trainer};
use crate::cli::above_0;
use nets::{FAMILIES, Timer, family};

/// A rival may take so much longer than the winner: widths are multiples of something.
const TOLERANCE: f64 = 1.03;

/// Compare winners of a search with width-scaled networks of the papers, trained alike
///
/// Takes the winners that `edgecut search --out FOLDER` has found for DATA, and for each of them the widest
/// MobileNetV2, MobileNetV3, ShuffleNetV2 and SqueezeNet that are no slower as integers on this machine;
/// FOLDER/rivals/nets.json keeps which they are. Trains all from fresh weights by the recipe of the search
/// (SqueezeNet, which has no BatchNorm, at a tenth of the learning rate), quantises them, and trains them as
/// integers; nothing is chosen by the test pictures. Prints accuracies and latencies; a rival that is at
/// least as accurate as a winner that is no faster is an error. Interrupted, the same command goes on.
#[derive(clap::Args)]
#[command(after_help = "\
Example (the development profile measures small networks far too slow):
  cargo run --release -p xtask -- nas-rivals out/search fashion-mnist")]
pub struct Options {
    folder: PathBuf,
    data: String,
    /// Of the search
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = above_0::<usize>)]
    winners: usize,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = above_0::<u64>)]
    seeds: u64,
    /// Only measure how long the networks take
    #[arg(long)]
    measure: bool,
    #[command(flatten)]
    effort: Effort,
}

/// A network that takes part.
#[derive(Serialize, Deserialize)]
struct Entry {
    /// The winner that it is, or that it is compared with.
    winner: usize,
    /// Family and width of a rival.
    rival: Option<(String, f64)>,
    /// Least milliseconds as integers.
    ms: f64,
}

impl Entry {
    fn name(&self) -> String {
        match &self.rival {
            Some((family, width)) => format!("{family}-{width}"),
            None => format!("winner-{}", self.winner),
        }
    }

    /// Share of the recipe's learning rate.
    fn rate(&self) -> f64 {
        let family = self.rival.as_ref().and_then(|(name, _)| family(name).ok());
        family.map_or(1.0, |family| family.rate)
    }

    fn build(&self, found: &Found, space: &ArchSpace, seed: u64) -> Built {
        match &self.rival {
            Some((name, width)) => (family(name)?.build)(*width, found.input, seed),
            None => found.net(self.winner)?.build(space, seed),
        }
    }
}

/// Runs the task; an error where a rival is better.
pub fn run(root: &Path, options: &Options) -> Result<(), String> {
    let found = Found::read(&options.folder)?;
    let space = found.space()?;
    let work = options.folder.join("rivals");
    let entries = entries(&work, options.winners, (&found, &space))?;
    if options.measure {
        entries.iter().for_each(|entry| println!("{} {:.4} ms", entry.name(), entry.ms));
        return Ok(());
    }
    let trainer = Trainer::new(root, &found, work, &options.data, &options.effort)?;
    let each = entries.iter().flat_map(|entry| (1..=options.seeds).map(move |seed| (entry, seed)));
    let pupils = each.map(|(entry, seed)| Pupil {
        stem: format!("{}-{}-{seed}", entry.winner, entry.name()),
        seed,
        build: Box::new(|seed| entry.build(&found, &space, seed)),
        rate: entry.rate(),
        int8: true,
    });
    let accuracies = trainer.accuracies(&pupils.collect::<Vec<_>>())?;
    report(&entries, &accuracies.chunks(options.seeds as usize).collect::<Vec<_>>())
}

/// The first winners and their rivals, as measured in this run or an earlier one.
fn entries(
    work: &Path,
    winners: usize,
    (found, space): (&Found, &ArchSpace),
) -> Result<Vec<Entry>, String> {
    std::fs::create_dir_all(work).map_err(|e| format!("{}: {e}", work.display()))?;
    let path = work.join("nets.json");
    let wrong = |problem: String| format!("{}: {problem}", path.display());
    let mut entries: Vec<Entry> = match path.exists() {
        true => {
            let text = std::fs::read(&path).map_err(|e| wrong(e.to_string()))?;
            serde_json::from_slice(&text).map_err(|e| wrong(e.to_string()))?
        }
        false => vec![],
    };
    let winners: Vec<usize> = found.winners.iter().take(winners).map(|w| w.trial).collect();
    let timer = Timer::default();
    for &winner in &winners {
        if entries.iter().any(|entry| entry.winner == winner) {
            continue;
        }
        let ms = timer.int8_ms(&found.net(winner)?.build(space, 0)?)?;
        entries.push(Entry { winner, rival: None, ms });
        for family in &FAMILIES {
            let widest = timer.widest(family, found.input, ms * TOLERANCE)?;
            let rival =
                |(width, ms)| Entry { winner, rival: Some((family.name.into(), width)), ms };
            entries.extend(widest.map(rival));
        }
        let text = serde_json::to_vec_pretty(&entries).map_err(|e| e.to_string())?;
        let draft = Draft::new(&path, |out| out.write_all(&text));
        draft.and_then(Draft::publish).map_err(|e| e.to_string())?;
    }
    entries.retain(|entry| winners.contains(&entry.winner));
    Ok(entries)
}

/// `accuracies` are those of each seed.
fn report(entries: &[Entry], accuracies: &[&[f64]]) -> Result<(), String> {
    let mean = |each: &[f64]| each.iter().sum::<f64>() / each.len() as f64;
    println!("| network | beside | int8, ms | test accuracy, % | each seed |");
    println!("| --- | ---: | ---: | ---: | --- |");
    let (mut better, mut winners) = (vec![], 0.0);
    // Each winner stands before its rivals.
    for (entry, each) in entries.iter().zip(accuracies) {
        let seeds: Vec<String> = each.iter().map(|a| format!("{a:.2}")).collect();
        let (Entry { winner, rival, ms }, name) = (entry, entry.name());
        println!("| {name} | {winner} | {ms:.4} | {:.2} | {} |", mean(each), seeds.join(", "));
        match rival {
            None => winners = mean(each),
            Some(_) if mean(each) >= winners => better.push(name),
            Some(_) => {}
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
