//! Whether integers are faster than floats on this machine, and where.

use std::sync::Arc;

use edgecut_graph::Graph;
use edgecut_kernels::Pool;
use serde::Serialize;

use super::time::{Subject, in_turn};
use crate::cli::Global;
use crate::errors::Result;
use crate::report::OperatorTime;
use crate::stats::Times;

/// Milliseconds that the comparison may take, and the least and most runs of it.
const BUDGET_MS: f64 = 1500.0;
const RUNS: (usize, usize) = (5, 50);

/// The float model and the quantised one, in turn, one picture at a time.
#[derive(Clone, Debug, Serialize)]
pub struct Speed {
    /// Latency of the float model.
    pub float: Times,
    /// Latency of the quantised model.
    pub int8: Times,
    /// Median time of each step of the float model.
    pub float_steps: Vec<OperatorTime>,
    /// Median time of each step of the quantised model.
    pub int8_steps: Vec<OperatorTime>,
}

impl Speed {
    /// Measures both models.
    pub fn measure(
        global: &Global,
        float: &Graph,
        int8: &Graph,
        pool: &Arc<Pool>,
    ) -> Result<Speed> {
        let (mut float, mut int8) = (Subject::new(float, 1, pool)?, Subject::new(int8, 1, pool)?);
        let trial = in_turn(global, &mut [&mut float, &mut int8], 1, 2)?;
        let round: f64 = trial.iter().map(|times| times.median_ms).sum();
        let runs = ((BUDGET_MS / round.max(1e-3)) as usize).clamp(RUNS.0, RUNS.1);
        let times = in_turn(global, &mut [&mut float, &mut int8], 1, runs)?;
        Ok(Speed {
            float: times[0].clone(),
            int8: times[1].clone(),
            float_steps: float.profile(RUNS.0)?,
            int8_steps: int8.profile(RUNS.0)?,
        })
    }

    /// In a line, warning where integers do not pay.
    pub fn remark(&self) -> String {
        let (float, int8) = (self.float.median_ms, self.int8.median_ms);
        let times = format!("float {float:.2} ms, quantised {int8:.2} ms");
        match int8 < float {
            true => format!("{times}: {:.2} times as fast here", float / int8.max(1e-9)),
            false => format!("{times}: the quantised model is NOT faster on this machine"),
        }
    }
}
