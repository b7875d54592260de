//! `config.toml` beside a model, all of it optional.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::error::{Result, ServeError, read_text};

/// Longest file, in bytes.
const MAX_BYTES: u64 = 1 << 16;

/// What a model's `config.toml` says. It stands in the folder of a version, or above for all
/// versions.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Shapes of inputs that the file leaves open, by name, such as `images = [1, 3, 640, 640]`.
    #[serde(default)]
    pub shapes: BTreeMap<String, Vec<usize>>,
    /// How pictures become the input: `torchvision`, `caffe`, `tf`, `lite0`, `cifar` or `pixels`.
    /// Without it as the file says, if it does.
    pub preprocess: Option<String>,
    /// Most pictures that are computed together.
    pub max_batch: Option<usize>,
    /// Longest wait for a batch to fill, in milliseconds.
    pub max_delay_ms: Option<f64>,
    /// Most requests that wait.
    pub max_queue: Option<usize>,
    /// How long a request may wait that says nothing about it, in milliseconds.
    pub timeout_ms: Option<f64>,
    /// Priority of requests that say nothing about it, 1 (first) to 7.
    pub priority: Option<u64>,
}

impl Config {
    /// The file at `path`.
    ///
    /// # Errors
    /// Where it is no such TOML, or a field is out of its range.
    pub fn read(path: &Path) -> Result<Config> {
        let text = read_text(path, MAX_BYTES)?;
        let config: Config = toml::from_str(&text).map_err(|e| ServeError::file(path, e))?;
        config.check().map_err(|problem| ServeError::file(path, problem))?;
        Ok(config)
    }

    fn check(&self) -> std::result::Result<(), String> {
        let within = |field: &str, value: Option<f64>, low: f64, high: f64| match value {
            Some(v) if !(low..=high).contains(&v) => {
                Err(format!("{field} = {v}: allowed is {low} to {high}"))
            }
            _ => Ok(()),
        };
        within("max_batch", self.max_batch.map(|n| n as f64), 1.0, 256.0)?;
        within("max_delay_ms", self.max_delay_ms, 0.0, 10_000.0)?;
        within("max_queue", self.max_queue.map(|n| n as f64), 1.0, 65_536.0)?;
        within("timeout_ms", self.timeout_ms, 0.0, 3_600_000.0)?;
        within("priority", self.priority.map(|n| n as f64), 1.0, 7.0)
    }
}
