//! Accuracies by shared weights beside those of networks that are trained alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use edgecut_graph::Graph;
use edgecut_graph::cost::cost;
use edgecut_graph::rng::Rng;
use edgecut_kernels::Isa;
use edgecut_search::arch::{ArchSpace, SpaceFile};
use edgecut_search::rank::{kendall, spearman};
use edgecut_search::supernet::{Family, Judge, Pictures, Sandwich, SharedWeights, train};
use edgecut_train::config::{CheckpointOptions, RunOptions, TrainConfig};
use edgecut_train::data::{self, Augment, Dataset, OpenOptions, Part, Preprocess, split};
use edgecut_train::{Control, fit};
use serde::{Deserialize, Serialize};

use crate::cli::above_0;

const LEAST_TAU: f64 = 0.65;
/// Pictures that are held out, and those that BatchNorm's statistics are taken from.
const HELD_OUT: usize = 5000;
const CALIBRATION: usize = 1024;
/// Lines about the training of shared weights.
const TELL: u64 = 40;

/// Compare accuracies by shared weights with those of networks that are trained alone
///
/// Trains the shared weights of a space, judges random networks of it by them, trains the same networks
/// alone, and prints both accuracies and how far their orders agree (Kendall's tau must be at least 0.65).
/// Both are accuracies on pictures held out of the training part; the test part is not looked at.
/// Interrupted, the same command goes on.
#[derive(clap::Args, Serialize)]
#[command(after_help = "Example:\n  cargo xtask nas-supernet fashion-mnist")]
pub struct Settings {
    /// What `edgecut train --data` takes
    data: String,
    /// A space that comes along, or a TOML file
    #[arg(long, value_name = "NAME", default_value = "mobile")]
    space: String,
    /// Pixels of the pictures
    #[arg(long, value_name = "N", default_value_t = 28, value_parser = above_0::<usize>)]
    side: usize,
    /// Of the pictures: 1 or 3
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = above_0::<usize>)]
    channels: usize,
    /// Of the shared weights
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = above_0::<usize>)]
    epochs: usize,
    /// Epochs of each network alone
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = above_0::<usize>)]
    alone: usize,
    /// Networks
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = above_0::<usize>)]
    subnets: usize,
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = above_0::<usize>)]
    batch: usize,
    /// In which a batch is computed
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = above_0::<usize>)]
    parts: usize,
    #[arg(long, value_name = "X", default_value_t = 0.2, value_parser = above_0::<f32>)]
    lr: f32,
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = above_0::<usize>)]
    #[serde(skip)]
    threads: usize,
}

/// A network, by both ways of knowing it.
#[derive(Clone, Serialize, Deserialize)]
struct Compared {
    macs: u64,
    inherited: f64,
    alone: f64,
}

struct Bench<'a> {
    settings: &'a Settings,
    space: ArchSpace,
    preprocess: Preprocess,
    learned: Arc<dyn Dataset>,
    held_out: Arc<dyn Dataset>,
    work: PathBuf,
}

/// Runs the task.
pub fn run(root: &Path, settings: &Settings) -> Result<(), String> {
    let bench = Bench::new(root, settings)?;
    let (space, words) = (&bench.space, |e: edgecut_search::SearchError| e.to_string());
    let macs = |graph: &Graph| cost(graph, 1).map(|c| c.macs as f64 / 1e6);
    let largest = space.largest().map_err(words)?;
    let smallest = macs(&space.smallest().map_err(words)?).map_err(|e| e.to_string())?;
    let most = macs(&largest[0]).map_err(|e| e.to_string())?;
    let size = space.space().size().map_err(words)?;
    println!("{size} networks of {smallest:.2} to {most:.2} M multiply-adds");
    let weights = bench.weights()?;
    let compared = bench.compare(&weights)?;
    bench.report(&compared)
}

impl Bench<'_> {
    fn new<'a>(root: &Path, settings: &'a Settings) -> Result<Bench<'a>, String> {
        let file = SpaceFile::open(&settings.space).map_err(|e| e.to_string())?;
        let data =
            data::open(&settings.data, &OpenOptions::default()).map_err(|e| e.to_string())?;
        let classes = data.train.classes().len();
        let input = [settings.channels, settings.side];
        let space = ArchSpace::new(file, input, classes).map_err(|e| e.to_string())?;
        let half = vec![0.5; settings.channels];
        let side = space.side();
        let preprocess = Preprocess::plain([side, side, settings.channels], half.clone(), half);
        let part = Part::Count(HELD_OUT.min(data.train.len() / 5));
        let (learned, held_out) = split(data.train, 0, part).map_err(|e| e.to_string())?;
        let folder = settings.data.replace(|c: char| !c.is_alphanumeric(), "-");
        let work = root.join("target/nas-supernet").join(folder);
        std::fs::create_dir_all(&work).map_err(|e| format!("{}: {e}", work.display()))?;
        let (learned, held_out) = (Arc::new(learned), Arc::new(held_out));
        Ok(Bench { settings, space, preprocess, learned, held_out, work })
    }

    fn config(&self, epochs: usize) -> TrainConfig {
        let Settings { batch, parts, lr, seed, .. } = *self.settings;
        let augment = Augment::crop_and_flip(2);
        let (accumulate, weight_decay) = (parts, 3e-4);
        TrainConfig {
            epochs,
            batch,
            accumulate,
            lr,
            seed,
            augment,
            weight_decay,
            ..TrainConfig::default()
        }
    }

    fn options(&self, name: &str) -> RunOptions {
        let checkpoint = CheckpointOptions::new(self.work.join(name));
        let threads = self.settings.threads;
        RunOptions { threads, checkpoint: Some(checkpoint), ..RunOptions::default() }
    }

    fn weights(&self) -> Result<SharedWeights, String> {
        let config = TrainConfig { ema_decay: None, ..self.config(self.settings.epochs) };
        let sandwich = Sandwich { config, random: 2 };
        let (began, mut said) = (Instant::now(), 0);
        let (weights, _) = train(
            &self.space,
            (&self.learned, &self.preprocess),
            &sandwich,
            &self.options("shared.checkpoint"),
            &mut |progress| {
                let [step, all] = progress.steps;
                if step * TELL / all > said {
                    said = step * TELL / all;
                    let [loss, small] = progress.losses;
                    eprintln!(
                        "step {step} of {all}: losses {loss:.3}, {small:.3}; {:.0} pictures/s",
                        progress.images_per_second
                    );
                }
                Control::Continue
            },
        )
        .map_err(|e| e.to_string())?;
        println!("shared weights: {:.0} s of training in this run", began.elapsed().as_secs_f64());
        Ok(weights)
    }

    fn compare(&self, weights: &SharedWeights) -> Result<Vec<Compared>, String> {
        let path = self.work.join("compared.json");
        let settings = serde_json::to_value(self.settings).map_err(|e| e.to_string())?;
        let known = std::fs::read(&path).ok();
        let known: Option<(serde_json::Value, Vec<Compared>)> =
            known.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let mut compared = known.filter(|(of, _)| *of == settings).map_or(vec![], |(_, all)| all);
        let prepare = |set: &Arc<dyn Dataset>, most: usize| {
            Pictures::prepare(set, &self.preprocess, 256, most).map_err(|e| e.to_string())
        };
        let calibration = prepare(&self.learned, CALIBRATION)?;
        let pictures = prepare(&self.held_out, usize::MAX)?;
        let machine = (self.settings.threads, Isa::detect());
        let judge = Judge { weights, calibration: &calibration, pictures: &pictures, machine };
        for number in compared.len()..self.settings.subnets {
            let mut rng = Rng::keyed(&[self.settings.seed, number as u64]);
            let genome = self.space.draw(&mut rng).map_err(|e| e.to_string())?;
            let graph = self.space.graph(&genome, 1).map_err(|e| e.to_string())?;
            let macs = cost(&graph, 1).map_err(|e| e.to_string())?.macs;
            let counts = judge.judge(graph.clone().into()).map_err(|e| e.to_string())?;
            let inherited = 100.0 * counts.accuracy();
            let alone = self.alone(&graph, number)?;
            eprintln!("network {number}: {inherited:.2} % inherited, {alone:.2} % alone");
            compared.push(Compared { macs, inherited, alone });
            let text = serde_json::to_vec(&(&settings, &compared)).map_err(|e| e.to_string())?;
            let draft = path.with_extension("tmp");
            std::fs::write(&draft, text).map_err(|e| format!("{}: {e}", draft.display()))?;
            std::fs::rename(&draft, &path).map_err(|e| format!("{}: {e}", path.display()))?;
        }
        Ok(compared)
    }

    /// Accuracy of `graph` trained from its fresh weights, percent.
    fn alone(&self, graph: &Graph, number: usize) -> Result<f64, String> {
        let [_, _, height, width] = graph.value(graph.inputs[0]).shape.with_symbols(1)[..] else {
            return Err("the network takes no pictures".into());
        };
        let preprocess = Preprocess { height, width, ..self.preprocess.clone() };
        let checkpoint = format!("alone-{number}.checkpoint");
        let options = self.options(&checkpoint);
        let (learned, held_out) = (self.learned.clone(), Some(self.held_out.clone()));
        let config = self.config(self.settings.alone);
        let observe = &mut |_: &edgecut_train::Progress| Control::Continue;
        let outcome = fit(graph, learned, held_out, &preprocess, &config, &options, observe);
        let found =
            outcome.map_err(|e| e.to_string())?.validation.ok_or("nothing was validated")?;
        let _ = std::fs::remove_file(self.work.join(checkpoint));
        Ok(100.0 * found.counts.accuracy())
    }

    fn report(&self, compared: &[Compared]) -> Result<(), String> {
        println!("| M multiply-adds | inherited, % | alone, % |\n| ---: | ---: | ---: |");
        for Compared { macs, inherited, alone } in compared {
            println!("| {:.2} | {inherited:.2} | {alone:.2} |", *macs as f64 / 1e6);
        }
        let of = |f: fn(&Compared) -> f64| compared.iter().map(f).collect::<Vec<f64>>();
        let (inherited, alone) = (of(|c| c.inherited), of(|c| c.alone));
        let tau = kendall(&inherited, &alone);
        let by_macs = kendall(&of(|c| c.macs as f64), &alone);
        println!(
            "Kendall's tau {tau:.3}, Spearman {:.3} over {} networks; tau of multiply-adds {by_macs:.3}",
            spearman(&inherited, &alone),
            compared.len()
        );
        match tau >= LEAST_TAU {
            true => Ok(()),
            false => Err(format!("Kendall's tau is below {LEAST_TAU}")),
        }
    }
}
