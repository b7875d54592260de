//! Another device over the network: a program there measures what is asked of it ([`server`]), one
//! here asks ([`client`]).
//!
//! Both are tied by a pass, a file that the agent writes and its user copies: address, certificate and
//! token. The client accepts no certificate but that one, and the agent nobody without the token. What
//! is said is JSON over HTTPS; models travel as the bytes of their file.

pub mod client;
mod keys;
pub mod server;

use serde::{Deserialize, Serialize};

use crate::host::Machine;
use crate::stats::Times;

pub use client::Agent;
pub use keys::{Keys, Pass};

/// What a device says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct About {
    /// The machine, with all its processors as threads.
    pub machine: Machine,
}

/// What to do with a model, as the query of a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// End of the file's name, which says what it is: onnx, tflite or ecut.
    pub kind: String,
    /// Threads to compute with; 0 is all processors.
    pub threads: u16,
    /// Pictures per run, where the model leaves it open.
    pub batch: u16,
    /// Unmeasured runs.
    pub warmup: u32,
    /// Measured runs.
    pub runs: u32,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ran {
    /// Where.
    pub machine: Machine,
    /// Pictures per run.
    pub batch: usize,
    /// From opening the file to a session that can run.
    pub load_ms: f64,
    /// Of runs.
    pub latency: Times,
    /// Inputs, outputs and everything in between, in one block.
    pub arena_bytes: u64,
    /// What all threads need beside it while they compute.
    pub scratch_bytes: u64,
    /// Packed.
    pub weight_bytes: u64,
    /// Of the file.
    pub file_bytes: u64,
}

/// Which networks of the table to measure, as the query of a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskProfile {
    /// Threads to compute with; 0 is all processors.
    pub threads: u16,
    /// Seconds for each network.
    pub each: f64,
    /// Parts of names, with commas between; of all networks where it is empty.
    pub nets: String,
}

/// How to run a network step by step, as the query of a request; the body is an ONNX file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskSample {
    /// Threads to compute with; 0 is all processors.
    pub threads: u16,
    /// How long to run it.
    pub seconds: f64,
}

/// Why the agent refuses.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// What is wrong.
    pub error: String,
    /// What to do.
    pub hint: Option<String>,
}
