//! The device's half: where each request is computed, and an answer to every one by its deadline.
//!
//! ```text
//! exchanges ─> Link, Load ─┐
//! Planner ─> Candidates ───┴─> Policy ─> Choice ─> Request ── events ──> one answer
//! ```
//!
//! What decides does nothing: time is passed in, so that minutes of a link are simulated in milliseconds
//! ([`simulate`]). What does things ([`Edge`]) asks it and obeys.
//!
//! | module | holds |
//! | --- | --- |
//! | [`clock`] | time that is passed in, and never goes back |
//! | [`estimate`] | round trip, rate and load, with how sure that is |
//! | [`breaker`] | a server that fails is left alone for a while |
//! | [`balance`] | which of several servers |
//! | [`policy`] | device, split or server for one request |
//! | [`request`] | one request's two ways to its one answer |
//! | `cascade` | a small model whose answer will do where it is sure, and the watch on that |
//! | [`ledger`] | the same id again gets the same answer |
//! | [`simulate`] | the policy on a recorded link |
//! | [`plans`] | a model with everything that both halves need, as a folder |
//! | [`engine`] | the device's processor |
//! | [`remote`] | a server |
//! | [`queue`], [`store`] | samples until a server takes them; on disk |
//! | `edge`, `drive`, `samples`, `upkeep` | all of it at work: requests, one request, what is stored and forwarded, what goes on beside |
//! | [`metrics`], `status` | what is counted, and shown |

pub mod balance;
pub mod breaker;
mod cascade;
pub mod clock;
mod drive;
mod edge;
pub mod engine;
mod error;
pub mod estimate;
pub mod ledger;
pub mod metrics;
mod picture;
pub mod plans;
pub mod policy;
pub mod queue;
pub mod remote;
pub mod request;
mod samples;
pub mod simulate;
mod status;
pub mod store;
mod upkeep;

pub use cascade::Small;
pub use edge::{Answer, Edge, Keep, Question, Settings, Tell};
pub use error::{EdgeError, Result};
pub use picture::Picture;
