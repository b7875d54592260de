//! Data sets, and training of image classifiers: reverse-mode differentiation over a
//! [`Graph`](edgecut_graph::Graph), with the kernels that the runtime uses.
//!
//! ```text
//! Graph ──TrainPlan──> steps over NHWC ──Engine──> logits, loss, gradients
//!                                          │            │
//!   data ──Loader──> batches ──────────────┘        Optimizer, Ema ──> fit ──> Graph
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | [`data`] | readers, preprocessing, augmentation, batches |
//! | [`plan`] | graph to layers and buffers, parameters in the kernels' layout |
//! | [`engine`] | forward and backward pass |
//! | [`targets`] | labels to what the network should answer |
//! | [`fine_tune`](mod@fine_tune) | a new head on an old net, frozen layers, rates of layers |
//! | [`optim`], [`schedule`], [`ema`] | what a step does with gradients |
//! | [`qat`] | quantised graphs that learn |
//! | [`distill`] | learning from trained networks |
//! | [`inversion`] | an attacker who draws pictures from inner values |
//! | [`trainer`], [`progress`] | the loop: validation, stopping, resuming, what it reports |
//! | [`checkpoint`], [`fingerprint`] | state that survives a kill, and what it belongs to |
//! | [`evaluate`](mod@evaluate), [`metrics`] | accuracy, confusions, intervals |
//!
//! The result of a training is a function of graph, data, [`TrainConfig`] and seed: neither
//! threads nor instruction set nor interruptions change a byte of it.

pub mod checkpoint;
pub mod config;
pub mod data;
pub mod distill;
pub mod ema;
pub mod engine;
pub mod error;
pub mod evaluate;
pub mod fine_tune;
pub mod fingerprint;
mod grad;
pub mod inversion;
pub mod metrics;
pub mod optim;
pub mod params;
pub mod plan;
pub mod progress;
pub mod qat;
pub mod schedule;
pub mod targets;
pub mod trainer;

pub use config::{CheckpointOptions, ClassWeights, Precision, RunOptions, TrainConfig};
pub use error::{Result, TrainError};
pub use evaluate::{Evaluation, evaluate};
pub use fine_tune::FineTune;
pub use optim::Optimizer;
pub use progress::{Control, EpochStats, Event, Progress};
pub use trainer::{Ending, RateCurve, RatePoint, TrainOutcome, find_rate, fit, fit_guided};
