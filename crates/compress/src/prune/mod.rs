//! Structured pruning: channels go, and with them the rows and columns that made and read them.
//!
//! ```text
//! graph ── flow ─────> classes of indices that live and die together, pins, grids
//!       ── channels ─> Channels: coupled groups of channels, each with its weights
//!       ── importance ─> what each channel is worth ── rank ─> the order in which they go
//!       ── target ───> how many of them, for a size, a number of operations, a time
//!       ── shrink ───> a smaller graph, for a Plan: numbers of channels by group
//! ```
//!
//! [`depth`] removes whole layers instead: branches of residual blocks.

mod channels;
mod closure;
pub mod depth;
mod flow;
mod importance;
mod lasso;
mod rank;
mod shrink;
mod target;

pub use channels::{Channel, Channels, Group, Pinned};
pub use flow::{Member, Role};
pub use importance::{Evidence, Importance};
pub use rank::{Bounds, Order, Ranking};
pub use shrink::Plan;
pub use target::{Aim, Cut};
