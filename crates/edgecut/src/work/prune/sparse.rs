//! From a model and a share of zeros to a model with that many.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use edgecut_compress::sparse::{Criterion, Pattern, SparseConfig, SparseLayer, sparsify};
use edgecut_graph::Graph;
use serde::Serialize;

use crate::cli::Global;
use crate::errors::{Failure, Result};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// Its share in what its layer has left, so that no layer dies
    Lamp,
    /// Its size
    Magnitude,
}

/// Options for zeros in place of channels.
#[derive(Args, Clone, Debug)]
pub struct SparseArgs {
    /// No channels go, but single weights of dense layers become zero: this share of all, such as 0.8,
    /// or all but N of each M neighbouring input channels, such as 2:4. The model runs as before; its
    /// file shrinks where zeros are coded (edgecut convert --coded)
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

/// What `--json` prints.
#[derive(Serialize)]
struct Output<'a> {
    model: &'a Path,
    sha256: String,
    bytes: u64,
    settings: SparseConfig,
    weights: usize,
    zeros: usize,
    layers: Vec<SparseLayer>,
}

impl SparseArgs {
    fn config(&self, sparsity: Sparsity) -> Result<SparseConfig> {
        let (share, pattern) = match (sparsity, self.block) {
            (Sparsity::Share(share), None) => (share, Pattern::Single),
            (Sparsity::Share(share), Some(outputs)) => (share, Pattern::Block { outputs }),
            (Sparsity::Neighbours(pattern), None) => (0.0, pattern),
            (Sparsity::Neighbours(_), Some(_)) => {
                return Err(Failure::input("--block goes with a share, not with N:M"));
            }
        };
        let criterion = match self.by {
            By::Lamp => Criterion::Lamp,
            By::Magnitude => Criterion::Magnitude,
        };
        let (per_layer, exclude) = (self.per_layer, self.dense.clone());
        Ok(SparseConfig { share, pattern, criterion, per_layer, exclude })
    }

    /// Writes `graph`, which is the model at `path`, with zeros to `out`.
    pub fn run(
        &self,
        sparsity: Sparsity,
        graph: &Graph,
        (path, out): (&Path, &PathBuf),
        global: &Global,
    ) -> Result<()> {
        let settings = self.config(sparsity)?;
        let sparse = sparsify(graph, &settings, &BTreeMap::new());
        let (graph, layers) = sparse.map_err(|e| Failure::from(e).at(path))?;
        model::save(&graph, out)?;
        let (sha256, bytes) = files::digest(out)?;
        let sum = |of: fn(&SparseLayer) -> usize| layers.iter().map(of).sum::<usize>();
        let (weights, zeros) = (sum(|layer| layer.weights), sum(|layer| layer.zeros));
        let output = Output { model: out, sha256, bytes, settings, weights, zeros, layers };
        if global.json {
            return files::print_json(&output);
        }
        show(&output, path);
        Ok(())
    }
}

fn show(output: &Output, path: &Path) {
    let share = |zeros: usize, of: usize| format!("{:.1} %", 100.0 * zeros as f64 / of as f64);
    let row = |layer: &SparseLayer| {
        let counts = [layer.weights, layer.zeros].map(|n| term::count(n as u64));
        let [weights, zeros] = counts;
        vec![layer.name.clone(), weights, zeros, share(layer.zeros, layer.weights)]
    };
    let rows: Vec<Vec<String>> = output.layers.iter().map(row).collect();
    files::print(&term::table(&["layer", "weights", "zeros", "share"], &[1, 2, 3], &rows));
    files::print(&format!(
        "{} of {} weights are zero ({}); {} written, {}",
        term::count(output.zeros as u64),
        term::count(output.weights as u64),
        share(output.zeros, output.weights),
        output.model.display(),
        term::bytes(output.bytes)
    ));
    files::print(&format!(
        "train it on: edgecut distill {} {} --data DATA --keep-zeros --out better.onnx",
        output.model.display(),
        path.display()
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
