//! From a model to one whose layers have few different weights, and what it answers.

use std::path::Path;

use edgecut_compress::palette::{PaletteConfig, PaletteLayer, share_weights};
use edgecut_graph::Graph;
use edgecut_train::data::{Data, Preprocess};
use serde::Serialize;

use super::classify::classify;
use super::model::Model;
use super::sizes::Sizes;
use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::stats::Share;
use crate::{files, term};

/// What `--json` prints.
#[derive(Serialize)]
pub struct Output<'a> {
    /// What was written.
    pub model: &'a Path,
    /// Of the file.
    pub sha256: String,
    /// Of the model before.
    pub float_bytes: u64,
    /// Of the file.
    pub bytes: u64,
    /// What was written, counted in several ways.
    pub sizes: Sizes,
    /// How the weights were clustered.
    pub settings: PaletteConfig,
    /// What came of it.
    #[serde(flatten)]
    pub found: Found,
}

/// Layers with palettes, and the answers on the test pictures.
#[derive(Serialize)]
pub struct Found {
    /// Pictures.
    pub images: usize,
    /// Right answers before.
    pub accuracy_before: Share,
    /// Right answers.
    pub accuracy: Share,
    /// Answers as before.
    pub agreement: Share,
    /// Each layer.
    pub layers: Vec<PaletteLayer>,
}

/// Clusters the weights of `model` and compares both networks on the test part of `data`.
pub fn share(
    global: &Global,
    model: &Model,
    settings: &PaletteConfig,
    (data, preprocess): (&Data, &Preprocess),
) -> Result<(Graph, Found)> {
    let (graph, layers) = share_weights(&model.graph, settings)?;
    let (pool, offset) = (global.pool(), model.card().label_offset()?);
    let answers = |name: &str, graph: &Graph| {
        classify(global, name, graph, &pool, &data.test, preprocess, offset)
    };
    let (before, after) = (answers("before", &model.graph)?, answers("after", &graph)?);
    let found = Found {
        images: data.test.len(),
        accuracy_before: before.accuracy(),
        accuracy: after.accuracy(),
        agreement: after.agreement(&before),
        layers,
    };
    Ok((graph, found))
}

impl Output<'_> {
    /// In the terminal.
    pub fn show(&self, model: &Path, source: &str) {
        let row = |layer: &PaletteLayer| {
            vec![
                layer.name.clone(),
                term::count(layer.weights as u64),
                format!("{:.1} %", 100.0 * layer.zeros as f64 / layer.weights.max(1) as f64),
                layer.values.to_string(),
                format!("{:.1}", layer.sqnr_db),
                format!("{:.2}", layer.entropy),
            ]
        };
        let rows: Vec<Vec<String>> = self.found.layers.iter().map(row).collect();
        let header = ["layer", "weights", "zeros", "values", "dB", "bits"];
        files::print(&term::table(&header, &[1, 2, 3, 4, 5], &rows));
        let percent = |share: &Share| term::percent(share.percent);
        let Found { accuracy_before, accuracy, agreement, images, .. } = &self.found;
        files::print(&format!(
            "accuracy {}, before {}; {} of {images} answers as before",
            percent(accuracy),
            percent(accuracy_before),
            percent(agreement)
        ));
        let out = self.model.display();
        files::print(&format!("{out} written, {}", term::bytes(self.bytes)));
        files::print(&self.sizes.remark());
        files::print(&format!(
            "train its values: edgecut distill {out} {} --data {source} --keep-palette --out better.onnx",
            model.display()
        ));
        files::print(&format!("pack it: edgecut convert {out} small.ecut --coded"));
    }
}

/// The settings that `--palette BITS` states.
pub fn settings(bits: u8, exclude: &[String]) -> Result<PaletteConfig> {
    match bits {
        1..=8 => Ok(PaletteConfig { bits, exclude: exclude.to_vec() }),
        _ => Err(Failure::input(format!("--palette is {bits}, must be 1 to 8 bits"))),
    }
}
