//! What a pruned network is measured by.

use std::sync::Arc;

use edgecut_graph::cost::cost;
use edgecut_graph::{Graph, onnx};
use edgecut_kernels::Pool;
use edgecut_runtime::{CompileOptions, compile};
use serde::{Deserialize, Serialize};

use crate::cli::Global;
use crate::errors::Result;
use crate::term;
use crate::work::time::{Subject, in_turn};

/// Milliseconds of measured runs for one candidate, and the least and most of them.
const BUDGET_MS: f64 = 500.0;
const RUNS: (usize, usize) = (15, 200);

/// What is to become small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// Share of the channels that go.
    Ratio,
    /// Multiply-adds.
    Macs,
    /// Parameters.
    Params,
    /// Bytes of the ONNX file.
    Size,
    /// Bytes of activations in this runtime.
    Memory,
    /// Milliseconds for a picture on this machine.
    Latency,
    /// Share of the weights that are zero.
    Zeros,
    /// Residual blocks that go.
    Blocks,
}

/// A measure and its bound.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    /// What is bounded.
    pub measure: Measure,
    /// The bound, in its unit.
    pub at_most: f64,
    /// What it is of the network to begin with; 1 of a share, 0 of what only pruning brings.
    pub before: f64,
}

/// Measures a graph.
type Meter<'a> = Box<dyn FnMut(&Graph) -> Result<f64> + 'a>;

impl Measure {
    /// `value` in words.
    pub fn say(self, value: f64) -> String {
        match self {
            Measure::Ratio => format!("{value:.3}"),
            Measure::Zeros => term::percent(100.0 * value),
            Measure::Blocks => format!("{value:.0} blocks"),
            Measure::Macs | Measure::Params => term::short_count(value as u64),
            Measure::Size | Measure::Memory => term::bytes(value as u64),
            Measure::Latency => format!("{value:.3} ms"),
        }
    }
}

impl Goal {
    /// Measures graphs by it, times in turn with `whole`, the network to begin with, and in units of
    /// what that took then: a disturbance hits both alike.
    pub fn meter<'a>(
        &self,
        global: &'a Global,
        whole: &Graph,
        pool: &'a Arc<Pool>,
    ) -> Result<Meter<'a>> {
        let Goal { measure, before, .. } = *self;
        if measure == Measure::Latency {
            let mut first = Subject::new(whole, 1, pool)?;
            return Ok(Box::new(move |graph| {
                let mut next = Subject::new(graph, 1, pool)?;
                let times = pace(global, &mut [&mut first, &mut next])?;
                Ok(before * times[1] / times[0].max(1e-9))
            }));
        }
        Ok(Box::new(move |graph| of(graph, measure)))
    }

    /// How far below the bound is near enough, relative to it: times are measured anew each time, and
    /// differ by this much.
    pub fn slack(&self) -> f64 {
        match self.measure {
            Measure::Latency => 0.02,
            _ => 0.0,
        }
    }
}

/// What does not depend on the moment.
fn of(graph: &Graph, measure: Measure) -> Result<f64> {
    Ok(match measure {
        Measure::Macs => cost(graph, 1)?.macs as f64,
        Measure::Params => cost(graph, 1)?.parameters as f64,
        Measure::Size => onnx::to_bytes(graph)?.len() as f64,
        Measure::Memory => compile(graph, &CompileOptions::default())?.arena_bytes() as f64,
        Measure::Ratio | Measure::Latency | Measure::Zeros | Measure::Blocks => 0.0,
    })
}

/// Least times of the subjects, run in turn: other work on the machine slows down whatever streams
/// many weights more than the rest, and so would change the ratio of medians.
fn pace(global: &Global, subjects: &mut [&mut Subject]) -> Result<Vec<f64>> {
    let silent = Global { quiet: true, ..global.clone() };
    let trial = in_turn(&silent, subjects, 1, 2)?;
    let round: f64 = trial.iter().map(|times| times.min_ms).sum();
    let runs = ((BUDGET_MS / round.max(1e-3)) as usize).clamp(RUNS.0, RUNS.1);
    let times = in_turn(&silent, subjects, 0, runs)?;
    Ok(times.iter().map(|times| times.min_ms).collect())
}

/// Everything that a network is measured by.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Measures {
    /// Multiply-adds.
    pub macs: u64,
    /// Parameters.
    pub params: u64,
    /// Bytes of the ONNX file.
    pub size: u64,
    /// Bytes of activations in this runtime.
    pub memory: u64,
    /// Least milliseconds for a picture on this machine.
    pub latency_ms: f64,
}

impl Measures {
    /// Of both graphs, timed in turn.
    pub fn both(global: &Global, graphs: [&Graph; 2], pool: &Arc<Pool>) -> Result<[Measures; 2]> {
        let [a, b] = graphs;
        let (mut first, mut second) = (Subject::new(a, 1, pool)?, Subject::new(b, 1, pool)?);
        let times = pace(global, &mut [&mut first, &mut second])?;
        let of = |graph: &Graph, latency_ms: f64| -> Result<Measures> {
            let count = |measure| -> Result<u64> { Ok(of(graph, measure)? as u64) };
            Ok(Measures {
                macs: count(Measure::Macs)?,
                params: count(Measure::Params)?,
                size: count(Measure::Size)?,
                memory: count(Measure::Memory)?,
                latency_ms,
            })
        };
        Ok([of(a, times[0])?, of(b, times[1])?])
    }

    /// By the measure of a goal.
    pub fn by(&self, measure: Measure) -> f64 {
        match measure {
            Measure::Ratio | Measure::Zeros | Measure::Blocks => 1.0,
            Measure::Macs => self.macs as f64,
            Measure::Params => self.params as f64,
            Measure::Size => self.size as f64,
            Measure::Memory => self.memory as f64,
            Measure::Latency => self.latency_ms,
        }
    }
}
