//! Networks that were measured, step by step and as a whole.

use std::sync::Arc;
use std::time::{Duration, Instant};

use edgecut_graph::DType;
use edgecut_graph::rng::Rng;
use edgecut_kernels::Pool;
use edgecut_runtime::{Plan, Session};
use serde::{Deserialize, Serialize};

use crate::{Result, Work};

/// Runs that warm caches and clocks up.
const WARM_UP: usize = 2;

/// Fewest runs that are timed, as a whole and step by step.
const LEAST_RUNS: usize = 5;

/// One network: what its steps took, and what a run took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Its steps in order.
    pub steps: Vec<Timed>,
    /// Microseconds of the fastest run.
    pub us: f64,
}

/// A step with its least time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timed {
    /// What it did.
    #[serde(flatten)]
    pub work: Work,
    /// Microseconds.
    pub us: f64,
}

impl Sample {
    /// Runs `plan` for about `time`, half of it step by step. Other programs, interrupts and clocks only
    /// ever make a run longer, so the least times count.
    ///
    /// # Errors
    /// Where the plan cannot be run.
    pub fn measure(plan: &Arc<Plan>, pool: &Arc<Pool>, time: Duration) -> Result<Sample> {
        let mut session = Session::new(Arc::clone(plan), Arc::clone(pool));
        fill(&mut session)?;
        for _ in 0..WARM_UP {
            session.run()?;
        }
        let (mut whole, mut each) = (f64::INFINITY, vec![u64::MAX; plan.steps().len()]);
        let (began, mut runs) = (Instant::now(), 0);
        // Taken in turns, so that what disturbs one disturbs the other.
        while runs < LEAST_RUNS || began.elapsed() < time {
            let start = Instant::now();
            session.run()?;
            whole = whole.min(start.elapsed().as_secs_f64() * 1e6);
            let profile = session.run_profiled(1)?;
            each.iter_mut().zip(&profile.steps).for_each(|(least, s)| *least = s.ns.min(*least));
            runs += 1;
        }
        // A step below the clock's resolution still takes some time.
        let timed = |(work, ns): (Work, u64)| Timed { work, us: (ns as f64 / 1e3).max(1e-3) };
        Ok(Sample { steps: Work::of(plan).into_iter().zip(each).map(timed).collect(), us: whole })
    }

    /// The least times of two measurements of one network; this one where they are of different ones.
    pub fn least(mut self, other: Sample) -> Sample {
        let works =
            |sample: &Sample| sample.steps.iter().map(|s| s.work.clone()).collect::<Vec<_>>();
        if works(&self) == works(&other) {
            self.us = self.us.min(other.us);
            self.steps.iter_mut().zip(&other.steps).for_each(|(a, b)| a.us = a.us.min(b.us));
        }
        self
    }

    /// Whether products are of integers.
    pub fn int8(&self) -> bool {
        self.steps.iter().any(|step| step.work.kind.ends_with(INT8))
    }
}

const INT8: &str = "int8";

/// Whether a network of these steps is quantised.
pub(super) fn is_int8(work: &[Work]) -> bool {
    work.iter().any(|step| step.kind.ends_with(INT8))
}

/// Noise: time must not depend on zeros or denormals.
fn fill(session: &mut Session) -> Result<()> {
    let mut rng = Rng::new(1);
    for port in 0..session.plan().inputs().len() {
        match session.plan().inputs()[port].dtype {
            DType::U8 => session.input_u8_mut(port)?.fill_with(|| rng.below(256) as u8),
            _ => session.input_mut(port)?.fill_with(|| rng.range(-1.0, 1.0)),
        }
    }
    Ok(())
}
