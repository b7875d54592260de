//! The folder with everything that both halves need, for every plan that is best for some link.

use std::path::Path;
use std::sync::Arc;

use edgecut_collab::partition::{Placement, Planner, Vertices};
use edgecut_edge::plans::{Cut, Plans};
use edgecut_edge::policy::{Candidate, MAX_SPLITS};
use edgecut_graph::{Graph, ValueId};
use edgecut_kernels::Pool;

use super::pictures::Pictures;
use super::wire::{Sent, Wire};
use crate::errors::Result;

/// Writes `folder`: the model of `planner` with its plans, calibrated on `images` pictures.
pub fn write(
    folder: &Path,
    model: &Path,
    graph: &Graph,
    (planner, vertices): (&Planner, &Vertices),
    pictures: &Pictures,
    (wire, images): (Wire, usize),
    pool: &Arc<Pool>,
) -> Result<Plans> {
    let (mut uncut, mut cuts) = (vec![], vec![]);
    let samples = pictures.training(images)?;
    for (mut times, decision) in Candidate::best(planner, MAX_SPLITS) {
        if times.placement != Placement::Split {
            if times.placement == Placement::Raw {
                times.bytes = plain_bytes(graph);
            }
            uncut.push(times);
            continue;
        }
        let device = vertices.nodes(&decision.device);
        let Sent { halves, codecs } = wire.prepare(graph, &device, &samples, pool)?;
        if halves.head.is_none() || halves.tail.is_none() {
            // Only nodes that cost nothing are on one of the sides.
            continue;
        }
        cuts.push(Cut { times, halves, codecs });
    }
    let mut whole = graph.clone();
    pictures.describe(&mut whole)?;
    Ok(Plans::write(folder, &name(model), &whole, &uncut, &cuts)?)
}

/// Bytes of the inputs as they are: what is sent where a request has no file of its picture.
fn plain_bytes(graph: &Graph) -> u64 {
    let bytes = |id: &ValueId| {
        let value = graph.value(*id);
        value.shape.with_symbols(1).iter().product::<usize>() * value.dtype.bytes()
    };
    graph.inputs.iter().map(bytes).sum::<usize>() as u64
}

/// The model's name on servers: that of its file.
fn name(model: &Path) -> String {
    let stem = model.file_stem().unwrap_or_default().to_string_lossy();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = stem.trim_start_matches('.').chars().map(plain).take(100).collect();
    if name.is_empty() { "model".into() } else { name }
}
