//! Digests that tell whether a checkpoint belongs to this training.

use edgecut_graph::{Data, Graph, Tensor};
use sha2::{Digest, Sha256};

use crate::config::TrainConfig;
use crate::data::{Dataset, Image, Preprocess};
use crate::error::Result;

/// A SHA-256 digest.
pub type Fingerprint = [u8; 32];

/// Samples of a data set whose pixels count; of the others only the label does.
const SAMPLES: usize = 64;

/// Digest of the settings that determine the result.
pub fn of_config(config: &TrainConfig) -> Fingerprint {
    Sha256::digest(format!("{config:?}")).into()
}

/// Digest of structure and constants of a graph, names and metadata left out.
pub fn of_graph(graph: &Graph) -> Fingerprint {
    let mut hash = Sha256::new();
    hash.update(format!("{:?} {:?}", graph.inputs, graph.outputs));
    for node in &graph.nodes {
        hash.update(format!("{:?} {:?} {:?}\n", node.op, node.inputs, node.outputs));
    }
    for value in graph.values() {
        hash.update(format!("{} {}\n", value.dtype, value.shape));
        if let Some(tensor) = &value.constant {
            add_tensor(&mut hash, tensor);
        }
    }
    hash.finalize().into()
}

fn add_tensor(hash: &mut Sha256, tensor: &Tensor) {
    match tensor.data() {
        Data::F32(d) => d.iter().for_each(|v| hash.update(v.to_le_bytes())),
        other => hash.update(format!("{other:?}")),
    }
}

/// Digest of a data set and of how its pictures are prepared: number, classes and labels of all
/// samples, pixels of some, evenly spread.
///
/// # Errors
/// Where one of them cannot be read.
pub fn of_data(set: &dyn Dataset, preprocess: &Preprocess) -> Result<Fingerprint> {
    let mut hash = Sha256::new();
    hash.update(format!("{preprocess:?} {} {:?}", set.len(), set.classes()));
    (0..set.len()).for_each(|i| hash.update(set.label(i).to_le_bytes()));
    let mut image = Image::default();
    for i in (0..set.len()).step_by(set.len().div_ceil(SAMPLES).max(1)) {
        set.read(i, &mut image)?;
        hash.update(format!("{} {} {}", image.h, image.w, image.c));
        hash.update(&image.pixels);
    }
    Ok(hash.finalize().into())
}

/// Digest of several digests.
pub fn combine(parts: &[Fingerprint]) -> Fingerprint {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}
