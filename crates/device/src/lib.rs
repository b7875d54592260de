//! What a device can do, measured on it once and kept in a file: its roofs, and a table of what
//! steps of the runtime took. From it follow predictions for a network that was never run there.
//!
//! ```text
//! nets ── compile, run ──> Entry: kind, shape, work, time of each step ┐
//! Peaks ─────────────────> Roofs                                       ├─> DeviceProfile (JSON)
//! whole runs ────────────> Fit: what the sum of steps is worth         ┘        │
//!                                             Plan of another net ── predict ──>│──> Prediction
//! ```
//!
//! For a search among networks of one family, [`cost::CostModel`] predicts more narrowly, from runs of
//! some of them.
//!
//! A prediction is labelled as one, has an interval, and is refused where a step is of a kind that
//! was never measured. Energy is measured where the processor counts it ([`energy::Rapl`]), and is a
//! model with stated constants elsewhere ([`energy::EnergyModel`]).

pub mod cost;
pub mod energy;
mod error;
mod fit;
mod machine;
mod measure;
mod nets;
mod predict;
mod profile;
mod roof;
mod work;

pub use error::{DeviceError, Result};
pub use fit::Fit;
pub use machine::Machine;
pub use measure::{Progress, measure};
pub use nets::{Subject, chosen, quantised, quantised_with, subjects};
pub use predict::{Prediction, StepPrediction};
pub use profile::{DeviceProfile, Entry, Whole};
pub use roof::{Bound, Roofs};
pub use work::Work;
