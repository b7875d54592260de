//! Architecture search for one task and one device.
//!
//! A [`Space`] lists genes, a [`Problem`] judges genomes, an [`Algorithm`] says what to evaluate next
//! as a function of the [`History`], and a [`Search`] runs it with a [`Journal`] as its only state.

mod algorithm;
pub mod arch;
mod engine;
mod error;
mod history;
mod journal;
pub mod pareto;
mod problem;
pub mod proxy;
pub mod rank;
pub mod regress;
mod space;
mod subnets;
pub mod supernet;
mod warm;

pub use algorithm::{
    ALGORITHMS, Algorithm, Batch, Context, Ehvi, Evolution, Halving, Nsga2, Predictor, Random,
    algorithm,
};
pub use engine::{Done, End, Event, Search, Task, Threads, Workers, evaluate, restore};
pub use error::{Result, SearchError};
pub use history::{History, Outcome, Trial, bounds};
pub use journal::{FileJournal, Header, Journal, NoJournal, Record};
pub use problem::{Direction, Objective, Problem, Proposal};
pub use space::{Condition, Gene, Genome, MAX_CHOICES, MAX_GENES, Space};
pub use subnets::{Cost, Costs, Subnets};
pub use warm::{best_quarter, warm_start};
