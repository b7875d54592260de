//! From a model to one with two thin layers in the place of each wide one.

use std::path::{Path, PathBuf};

use clap::Args;
use edgecut_compress::low_rank::{Keep, LowRankConfig, LowRankLayer, factorise};
use edgecut_graph::Graph;
use serde::Serialize;

use super::{Measure, Measures, watched};
use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::work::model;
use crate::{files, term};

/// Options for thin layers in place of fewer channels.
#[derive(Args, Clone, Debug)]
pub struct LowRankArgs {
    /// No channels go, but each 1x1 convolution and linear layer becomes two thinner ones where they are
    /// cheaper (truncated SVD): each keeps this share of its energy, such as 0.95, or all keep the
    /// same, as much as leaves the model this share of its multiply-adds, such as 0.6x
    #[arg(long, value_name = "ENERGY|AMOUNT", value_parser = keep)]
    pub low_rank: Option<Keep>,
    /// With --low-rank: a layer that stays one, by its name; repeat for more
    #[arg(long, value_name = "NODE", requires = "low_rank")]
    pub whole: Vec<String>,
}

/// A share of energy such as 0.95, or of multiply-adds such as 0.6x.
fn keep(text: &str) -> std::result::Result<Keep, String> {
    let number = |text: &str| text.trim().parse::<f64>().ok();
    let keep = match text.strip_suffix('x') {
        Some(text) => number(text).filter(|n| *n > 0.0 && *n < 1.0).map(Keep::Macs),
        None => number(text).filter(|n| *n > 0.0 && *n <= 1.0).map(Keep::Energy),
    };
    keep.ok_or("must be a share of energy such as 0.95, or of multiply-adds such as 0.6x".into())
}

/// What `--json` prints.
#[derive(Serialize)]
struct Output<'a> {
    model: &'a Path,
    sha256: String,
    bytes: u64,
    settings: LowRankConfig,
    /// Whether the target in multiply-adds is reached.
    met: bool,
    before: Measures,
    after: Measures,
    layers: Vec<LowRankLayer>,
}

impl LowRankArgs {
    /// Writes `graph`, which is the model at `path`, with thinner layers to `out`.
    pub fn run(
        &self,
        keep: Keep,
        graph: &Graph,
        (path, out): (&Path, &PathBuf),
        global: &Global,
    ) -> Result<()> {
        let settings = LowRankConfig { keep, exclude: self.whole.clone() };
        let thin = watched(global, "svd", graph.nodes.len() as u64, |control| {
            factorise(graph, &settings, control).map_err(|e| Failure::from(e).at(path))
        })?;
        model::save(&thin.graph, out)?;
        let (sha256, bytes) = files::digest(out)?;
        let [before, after] = Measures::both(global, [graph, &thin.graph], &global.pool())?;
        let (met, layers) = (thin.met, thin.layers);
        let output = Output { model: out, sha256, bytes, settings, met, before, after, layers };
        if global.json {
            files::print_json(&output)?;
        } else {
            show(&output, path);
        }
        match met {
            true => Ok(()),
            false => Err(Failure::not_met(
                "the target cannot be met: other layers have more than that, or rank 1 is too much",
            )),
        }
    }
}

fn show(output: &Output, path: &Path) {
    let row = |layer: &LowRankLayer| {
        vec![
            layer.name.clone(),
            format!("{} x {}", layer.outputs, layer.inputs),
            layer.rank.map_or("-".into(), |rank| rank.to_string()),
            format!("{:.2} %", 100.0 * layer.energy),
        ]
    };
    let rows: Vec<Vec<String>> = output.layers.iter().map(row).collect();
    files::print(&term::table(&["layer", "weights", "rank", "energy"], &[1, 2, 3], &rows));
    for measure in [Measure::Macs, Measure::Params, Measure::Latency] {
        let [old, new] = [&output.before, &output.after].map(|measures| measures.by(measure));
        let ratio = new / old.max(1e-9);
        let shown = [new, old].map(|value| measure.say(value));
        let name = format!("{measure:?}").to_lowercase();
        files::print(&format!("{name:<10} {:>10} of {:>10} ({ratio:.2}x)", shown[0], shown[1]));
    }
    let model = output.model.display();
    files::print(&format!("{model} written, {}", term::bytes(output.bytes)));
    files::print(&format!(
        "train it on: edgecut distill {model} {} --data DATA --out better.onnx",
        path.display()
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_energy_or_multiply_adds() {
        assert_eq!(keep("0.95"), Ok(Keep::Energy(0.95)));
        assert_eq!(keep("0.6x"), Ok(Keep::Macs(0.6)));
        for wrong in ["0", "1.1", "1x", "-0.5", "nan", "x", ""] {
            assert!(keep(wrong).is_err(), "{wrong}");
        }
    }
}
