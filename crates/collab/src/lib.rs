//! Edge and cloud as one: which part of a model runs on the device, which behind the link, and what
//! crosses it.
//!
//! ```text
//! Graph + times of both sides ─> Problem ─> Planner ── link, load, objective ──> Decision
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | [`partition`] | the best cut of a graph for a link, a load and an objective |
//! | [`Halves`] | a graph in two, each an ordinary model |
//! | [`Trace`] | recorded links |
//! | [`bottleneck`] | a narrow place in a graph, for codes that are trained |
//! | [`exits`] | answers on the way through a network |
//! | [`codec`] | a tensor in few bytes, of which any prefix is an answer |
//! | [`certify`](mod@certify) | when a small model's answer will do, with a guarantee |
//! | [`drift`] | whether it still holds |
//! | [`privacy`] | how much of a picture is left in what crosses |

pub mod bottleneck;
pub mod certify;
pub mod codec;
mod digest;
pub mod drift;
mod error;
pub mod exits;
mod graft;
mod halves;
pub mod partition;
pub mod privacy;
mod trace;

pub use digest::{digest, files_digest, hex};
pub use error::{CollabError, Result};
pub use halves::{Halves, SPLIT_KEY, Source};
pub use trace::Trace;
