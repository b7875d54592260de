//! Where to cut a model between a device and a server.
//!
//! The device holds the input and wants the output. What it computes itself is a *closed set* of
//! vertices: with a vertex, everything that the vertex depends on, so that nothing flows back from
//! the server but the answer. Every tensor that leaves the set is sent once, however many vertices
//! of the server read it. Local-only is the set of all, cloud-only the empty one.
//!
//! A plan costs, in nanoseconds unless said otherwise,
//!
//! ```text
//!   device   sum over its vertices
//! + send     sum over crossing tensors: coded bytes / bandwidth + encoding + decoding
//! + server   sum over the other vertices, times the server's slowdown
//! + fixed    round trip + wait in the server's queue, if anything is sent at all
//! ```
//!
//! The sum is linear in the sides of vertices and tensors, so that the best closed set is a minimum
//! s-t cut (Picard 1976; for neural networks: DADS, INFOCOM 2019), found exactly ([`Planner::least`])
//! and quickly, as networks are chains of small blocks; so is the device's energy. The slowest stage
//! of a pipeline (throughput) and limits on memory or latency are not linear, and NP-hard on general
//! graphs. Real networks are nearly chains and have few closed sets, though: those are all looked at
//! ([`Family`]), and where they are too many, the answer comes with a bound on what any other plan
//! could reach.
//!
//! All quantities are integers, so that ties are broken alike everywhere: of equally cheap cuts the
//! one with the fewest vertices on the device, and local-only before all of them.
//!
//! | file | holds |
//! | --- | --- |
//! | `problem` | vertices, tensors, closed sets and what they cost |
//! | `conditions` | link, load, radio |
//! | `blocks` | where a graph is so narrow that its parts have cuts of their own |
//! | `flow` | minimum cuts |
//! | `family` | plans to choose from where costs do not add up |
//! | `planner` | the decision |
//! | `vertices` | from the nodes of a graph and the steps of a plan to vertices |

mod blocks;
mod conditions;
mod family;
mod flow;
mod planner;
mod problem;
mod vertices;

pub use conditions::{Conditions, Radio};
pub use family::Family;
pub use planner::{Decision, Limits, Objective, Placement, Planner};
pub use problem::{Cost, Crossing, Problem, Transfer, Vertex};
pub use vertices::{Price, StepTime, Vertices};
