//! What `edgecut search` has found, as its folder tells it.

use std::path::Path;

use edgecut_search::Genome;
use edgecut_search::arch::{ArchSpace, SpaceFile};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::training::Built;

/// What is needed of `search.json`.
#[derive(Deserialize)]
pub struct Found {
    pub settings: Map<String, Value>,
    pub training: Map<String, Value>,
    searched: SpaceFile,
    /// Channels, side and classes.
    pub input: [usize; 3],
    pub trials: Vec<Net>,
    pub winners: Vec<Winner>,
}

/// A network that was judged.
#[derive(Deserialize)]
pub struct Net {
    pub trial: usize,
    genome: Genome,
    /// By the shared weights, of the pictures held out, percent.
    pub accuracy: f64,
    /// Predicted milliseconds on the device.
    pub ms: f64,
}

#[derive(Deserialize)]
pub struct Winner {
    pub trial: usize,
}

impl Found {
    /// Reads the folder of a search.
    pub fn read(folder: &Path) -> Result<Found, String> {
        let path = folder.join("search.json");
        let words = |problem: String| format!("{}: {problem}", path.display());
        let text = std::fs::read(&path).map_err(|e| words(e.to_string()))?;
        serde_json::from_slice(&text).map_err(|e| words(e.to_string()))
    }

    /// The space in which it searched.
    pub fn space(&self) -> Result<ArchSpace, String> {
        let [channels, side, classes] = self.input;
        ArchSpace::new(self.searched.clone(), [channels, side], classes).map_err(|e| e.to_string())
    }

    pub fn net(&self, trial: usize) -> Result<&Net, String> {
        let net = self.trials.iter().find(|net| net.trial == trial);
        net.ok_or_else(|| format!("network {trial} is none of the trials"))
    }
}

impl Net {
    /// The network with fresh weights of a seed.
    pub fn build(&self, space: &ArchSpace, seed: u64) -> Built {
        space.graph(&self.genome, seed).map_err(|e| e.to_string())
    }
}
