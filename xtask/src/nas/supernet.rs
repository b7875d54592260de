//! Accuracies by shared weights beside those of networks that are trained alone.

use std::path::{Path, PathBuf};

use edgecut_search::rank::{kendall, spearman};

use super::found::{Found, Net};
use super::training::{Effort, Pupil, Trainer};
use crate::cli::above_0;

const LEAST_TAU: f64 = 0.65;

/// Compare accuracies by shared weights with those of networks that are trained alone
///
/// Takes the first networks that `edgecut search --out FOLDER` has judged for DATA (the default algorithm
/// begins with 30 random ones, unless it was told --warm), trains each from fresh weights by the recipe of the
/// search, and prints how far the orders of both accuracies agree (Kendall's tau must be at least 0.65).
/// By shared weights they are of the pictures held out, alone of the test part. Interrupted, the same
/// command goes on.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  cargo xtask nas-supernet out/search fashion-mnist --epochs 4 --jobs 2"
)]
pub struct Options {
    folder: PathBuf,
    /// Of the search
    data: String,
    /// Networks
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = above_0::<usize>)]
    subnets: usize,
    #[command(flatten)]
    effort: Effort,
}

/// Runs the task; an error where the orders agree too little.
pub fn run(root: &Path, options: &Options) -> Result<(), String> {
    let found = Found::read(&options.folder)?;
    let space = found.space()?;
    let nets: Vec<&Net> = found.trials.iter().take(options.subnets).collect();
    let work = options.folder.join("alone");
    let trainer = Trainer::new(root, &found, work, &options.data, &options.effort)?;
    let pupils = nets.iter().map(|net| Pupil {
        stem: net.trial.to_string(),
        seed: 1,
        build: Box::new(|seed| net.build(&space, seed)),
        rate: 1.0,
        int8: false,
    });
    report(&nets, &trainer.accuracies(&pupils.collect::<Vec<_>>())?)
}

fn report(nets: &[&Net], alone: &[f64]) -> Result<(), String> {
    println!("| network | predicted, ms | inherited, % | alone, % |");
    println!("| ---: | ---: | ---: | ---: |");
    for (Net { trial, ms, accuracy, .. }, alone) in nets.iter().zip(alone) {
        println!("| {trial} | {ms:.4} | {accuracy:.2} | {alone:.2} |");
    }
    let of = |f: fn(&Net) -> f64| nets.iter().map(|net| f(net)).collect::<Vec<f64>>();
    let (inherited, ms) = (of(|net| net.accuracy), of(|net| net.ms));
    let tau = kendall(&inherited, alone);
    println!(
        "Kendall's tau {tau:.3}, Spearman {:.3} over {} networks; tau of the latency {:.3}",
        spearman(&inherited, alone),
        nets.len(),
        kendall(&ms, alone)
    );
    match tau >= LEAST_TAU {
        true => Ok(()),
        false => Err(format!("Kendall's tau is below {LEAST_TAU}")),
    }
}
