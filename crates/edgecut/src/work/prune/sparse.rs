//! From a model and a share of zeros to a model with that many.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use edgecut_compress::Images;
use edgecut_compress::sparse::{
    Criterion, Pattern, Saliency, SparseConfig, SparseLayer, count_zeros, saliencies, sparsify,
};
use edgecut_graph::Graph;
use edgecut_kernels::Pool;
use serde::Serialize;

use super::journal::{Journal, StepRecord, show_steps};
use super::progressive::{Progressed, Progressive};
use super::{Goal, Measure, watched};
use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::stats::Share;
use crate::work::calibrate::Sample;
use crate::work::model;
use crate::{files, term};

/// Zeros to make.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sparsity {
    /// This share of all weights.
    Share(f64),
    /// As the pattern says.
    Neighbours(Pattern),
}

impl Sparsity {
    /// A share such as 0.8, or a pattern such as 2:4.
    pub fn parse(text: &str) -> std::result::Result<Sparsity, String> {
        if text.contains(':') {
            return text.parse().map(Sparsity::Neighbours);
        }
        let share = text.parse::<f64>().ok().filter(|share| *share > 0.0 && *share < 1.0);
        share.map(Sparsity::Share).ok_or("must be between 0 and 1, or N:M such as 2:4".into())
    }
}

/// What a single weight is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Its share in what its layer has left, so that no layer dies
    Lamp,
    /// Its size
    Magnitude,
    /// How much the loss changes without it, on pictures with classes (SNIP)
    Snip,
    /// Whether training moves it away from zero, on pictures with classes
    Movement,
}

impl By {
    /// What needs gradients.
    pub fn saliency(self) -> Option<Saliency> {
        match self {
            By::Lamp | By::Magnitude => None,
            By::Snip => Some(Saliency::Snip),
            By::Movement => Some(Saliency::Movement),
        }
    }
}

/// Options for zeros in place of channels.
#[derive(Args, Clone, Debug)]
pub struct SparseArgs {
    /// No channels go, but single weights of dense layers become zero: this share of all, such as 0.8,
    /// or all but N of each M neighbouring input channels, such as 2:4. The runtime leaves zeros out of
    /// float 1x1 convolutions where that is faster, from about 0.7 on; a file shrinks where zeros are
    /// coded (edgecut convert --coded)
    #[arg(long, value_name = "SHARE|N:M", value_parser = Sparsity::parse)]
    pub sparsity: Option<Sparsity>,
    /// With --sparsity SHARE: the weights to so many neighbouring output channels go together, such as
    /// 16
    #[arg(long, value_name = "N", requires = "sparsity")]
    pub block: Option<usize>,
    /// With --sparsity: which weights go first
    #[arg(long, value_enum, value_name = "HOW", default_value = "lamp")]
    pub by: By,
    /// With --sparsity: each layer loses the share, instead of all together
    #[arg(long, requires = "sparsity")]
    pub per_layer: bool,
    /// With --sparsity: a layer that stays dense, by its name; repeat for more
    #[arg(long, value_name = "NODE", requires = "sparsity")]
    pub dense: Vec<String>,
}

/// Which weights become zero.
#[derive(Clone, Debug, Serialize)]
pub struct WeightSettings {
    #[serde(flatten)]
    config: SparseConfig,
    by: By,
    /// Training pictures that gradients are taken on.
    images: usize,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Output<'a> {
    model: &'a Path,
    sha256: String,
    bytes: u64,
    settings: &'a WeightSettings,
    weights: usize,
    zeros: usize,
    /// Accuracy on the test pictures before, where there are any.
    accuracy_before: Option<Share>,
    steps: &'a [StepRecord],
    layers: Vec<SparseLayer>,
}

impl SparseArgs {
    /// The settings that the options mean.
    ///
    /// # Errors
    /// Options that do not go together.
    pub fn settings(&self, sparsity: Sparsity, images: usize) -> Result<WeightSettings> {
        let (share, pattern) = match (sparsity, self.block) {
            (Sparsity::Share(share), None) => (share, Pattern::Single),
            (Sparsity::Share(share), Some(outputs)) => (share, Pattern::Block { outputs }),
            (Sparsity::Neighbours(pattern), None) => (0.0, pattern),
            (Sparsity::Neighbours(_), Some(_)) => {
                return Err(Failure::input("--block goes with a share, not with N:M"));
            }
        };
        let criterion = match self.by {
            By::Magnitude => Criterion::Magnitude,
            By::Lamp | By::Snip | By::Movement => Criterion::Lamp,
        };
        let (per_layer, exclude) = (self.per_layer, self.dense.clone());
        let config = SparseConfig { share, pattern, criterion, per_layer, exclude };
        Ok(WeightSettings { config, by: self.by, images })
    }
}

impl WeightSettings {
    /// Makes `share` of the weights of `graph` zero, or what the pattern says: the graph, and the share
    /// and number of its zeros.
    pub fn sparsify(
        &self,
        global: &Global,
        graph: &Graph,
        share: f64,
        sample: Option<&Sample>,
        pool: &Arc<Pool>,
    ) -> Result<(Graph, f64, usize)> {
        let mut scores = BTreeMap::new();
        if let Some(saliency) = self.by.saliency() {
            let sample = sample.ok_or_else(super::no_pictures)?;
            scores = watched(global, "gradients", sample.len() as u64, |control| {
                Ok(saliencies(graph, saliency, sample, pool.threads(), control)?)
            })?;
        }
        let config = SparseConfig { share, ..self.config.clone() };
        let (graph, layers) = sparsify(graph, &config, &scores)?;
        let sum = |of: fn(&SparseLayer) -> usize| layers.iter().map(of).sum::<usize>();
        let (weights, zeros) = (sum(|layer| layer.weights), sum(|layer| layer.zeros));
        Ok((graph, zeros as f64 / weights.max(1) as f64, zeros))
    }

    /// Whether pictures are looked at.
    pub fn needs_images(&self) -> bool {
        self.by.saliency().is_some()
    }

    /// Training pictures that gradients are taken on.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Writes `graph`, which is the model at `path`, with zeros to `out`.
    pub fn run(
        &self,
        progressive: &Progressive,
        graph: &Graph,
        (path, out): (&Path, &PathBuf),
    ) -> Result<()> {
        let (global, recover) = (progressive.global, progressive.recover);
        let pattern = matches!(self.config.pattern, Pattern::Neighbours { .. });
        if pattern && recover.steps > 1 {
            return Err(Failure::input("--steps goes with a share, not with N:M"));
        }
        let goal = Goal { measure: Measure::Zeros, at_most: self.config.share, before: 0.0 };
        let made = match recover.steps > 1 || recover.trains() {
            true => progressive.run(graph, goal, "zeros"),
            false => progressive.once(graph, goal),
        };
        let Progressed { graph, journal } = made.map_err(|e| e.at(path))?;
        model::save(&graph, out)?;
        let output = self.output(&graph, &journal, out)?;
        if global.json {
            return files::print_json(&output);
        }
        show(&output, &journal);
        if !recover.trains() {
            let (out, path) = (out.display(), path.display());
            files::print(&format!(
                "train it on: edgecut distill {out} {path} --data DATA --keep-zeros --out better.onnx"
            ));
        }
        Ok(())
    }

    fn output<'a>(
        &'a self,
        graph: &Graph,
        journal: &'a Journal,
        model: &'a Path,
    ) -> Result<Output<'a>> {
        let (sha256, bytes) = files::digest(model)?;
        let layers = count_zeros(graph, &self.config.exclude)?;
        let sum = |of: fn(&SparseLayer) -> usize| layers.iter().map(of).sum::<usize>();
        let (weights, zeros) = (sum(|layer| layer.weights), sum(|layer| layer.zeros));
        let (accuracy_before, steps) = (journal.accuracy_before, &journal.steps[..]);
        let settings = self;
        Ok(Output {
            model,
            sha256,
            bytes,
            settings,
            weights,
            zeros,
            accuracy_before,
            steps,
            layers,
        })
    }
}

fn show(output: &Output, journal: &Journal) {
    let share = |zeros: usize, of: usize| format!("{:.1} %", 100.0 * zeros as f64 / of as f64);
    let row = |layer: &SparseLayer| {
        let counts = [layer.weights, layer.zeros].map(|n| term::count(n as u64));
        let [weights, zeros] = counts;
        vec![layer.name.clone(), weights, zeros, share(layer.zeros, layer.weights)]
    };
    let rows: Vec<Vec<String>> = output.layers.iter().map(row).collect();
    files::print(&term::table(&["layer", "weights", "zeros", "share"], &[1, 2, 3], &rows));
    show_steps(journal);
    files::print(&format!(
        "{} of {} weights are zero ({}); {} written, {}",
        term::count(output.zeros as u64),
        term::count(output.weights as u64),
        share(output.zeros, output.weights),
        output.model.display(),
        term::bytes(output.bytes)
    ));
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparsity_is_a_share_or_a_pattern() {
        assert_eq!(Sparsity::parse("0.8"), Ok(Sparsity::Share(0.8)));
        let pattern = Pattern::Neighbours { keep: 2, of: 4 };
        assert_eq!(Sparsity::parse("2:4"), Ok(Sparsity::Neighbours(pattern)));
        for wrong in ["0", "1", "-0.5", "nan", "4:2", "x", ""] {
            assert!(Sparsity::parse(wrong).is_err(), "{wrong}");
        }
    }
}
