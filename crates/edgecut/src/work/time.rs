//! Latency: several models in turn, so that a disturbance hits all of them alike.

use std::sync::Arc;
use std::time::Instant;

use edgecut_graph::rng::Rng;
use edgecut_graph::{DType, Data, Graph, Tensor};
use edgecut_kernels::Pool;
use edgecut_runtime::{CompileOptions, Plan, Session, compile};

use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::profile::{Profiled, Roofs};
use crate::progress::Counter;
use crate::report::OperatorTime;
use crate::stats::Times;

/// A compiled model with its input filled.
pub struct Subject {
    plan: Arc<Plan>,
    session: Session,
}

impl Subject {
    /// Compiles `graph` for `batch` pictures; float inputs get noise in `[-1, 1)`, integers get
    /// any value of their type.
    pub fn new(graph: &Graph, batch: usize, pool: &Arc<Pool>) -> Result<Subject> {
        let plan =
            Arc::new(compile(graph, &CompileOptions { batch, ..CompileOptions::default() })?);
        Subject::of(Session::new(plan, pool.clone()))
    }

    /// As [`Subject::new`], of a session.
    pub fn of(mut session: Session) -> Result<Subject> {
        Subject::fill(&mut session)?;
        Ok(Subject { plan: Arc::clone(session.plan()), session })
    }

    /// Gives every input of a session something to compute with.
    pub fn fill(session: &mut Session) -> Result<()> {
        let plan = Arc::clone(session.plan());
        let mut rng = Rng::new(1);
        for (index, port) in plan.inputs().iter().enumerate() {
            session.set_input(index, &generated(port.dtype, &port.shape, &mut rng)?)?;
        }
        Ok(())
    }

    /// What it runs.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Runs both on their inputs, which are the same for the same ports: the largest difference of
    /// an output over the largest output of `exact`.
    pub fn difference(&mut self, exact: &mut Subject) -> Result<f64> {
        self.session.run()?;
        exact.session.run()?;
        let (mut largest, mut difference) = (0.0f64, 0.0f64);
        let outputs = exact.session.plan().outputs().iter().enumerate();
        for (index, _) in outputs.filter(|(_, port)| port.dtype == DType::F32) {
            let (a, b) = (self.session.output_f32(index)?, exact.session.output_f32(index)?);
            for (a, b) in a.iter().zip(b) {
                largest = largest.max(f64::from(b.abs()));
                difference = difference.max((f64::from(*a) - f64::from(*b)).abs());
            }
        }
        Ok(if largest > 0.0 { difference / largest } else { difference })
    }

    /// Pictures per run.
    pub fn batch(&self) -> usize {
        self.plan.batch()
    }

    /// Bytes of activations: the arena, and the scratch of `threads` threads.
    pub fn activation_bytes(&self, threads: usize) -> u64 {
        self.arena_bytes() + self.scratch_bytes(threads)
    }

    /// Bytes of the block of activations.
    pub fn arena_bytes(&self) -> u64 {
        self.plan.arena_bytes() as u64
    }

    /// Bytes that `threads` threads need beside it while they compute.
    pub fn scratch_bytes(&self, threads: usize) -> u64 {
        self.plan.scratch_bytes(threads) as u64
    }

    /// Bytes of packed weights.
    pub fn weight_bytes(&self) -> u64 {
        self.plan.weight_bytes() as u64
    }

    /// Median time of every step over `runs` runs.
    pub fn profile(&mut self, runs: usize) -> Result<Vec<OperatorTime>> {
        let profile = self.session.run_profiled(runs.max(1))?;
        let row = |step: edgecut_runtime::StepProfile| OperatorTime {
            name: step.info.name,
            kind: step.info.kind.to_string(),
            median_us: step.ns as f64 / 1e3,
            share: 100.0 * step.share,
            macs: step.info.macs,
        };
        Ok(profile.steps.into_iter().map(row).collect())
    }

    /// As [`Subject::profile`], beside what this machine can do at most.
    pub fn roofline(&mut self, runs: usize, roofs: &Roofs) -> Result<Profiled> {
        let profile = self.session.run_profiled(runs.max(1))?;
        Ok(Profiled::new(&self.plan, profile, roofs))
    }
}

/// Runs the subjects in turn, `warmup` rounds unmeasured, then `runs` rounds. The order within a
/// round is reversed every time, so that none always follows the same other. Several subjects each
/// run once more, unmeasured, before a measured run: it finds the caches as when it runs alone,
/// not as another left them.
pub fn in_turn(
    global: &Global,
    subjects: &mut [&mut Subject],
    warmup: usize,
    runs: usize,
) -> Result<Vec<Times>> {
    let mut samples = vec![Vec::with_capacity(runs); subjects.len()];
    let mut bar = Counter::new(global, "time", runs as u64);
    for round in 0..warmup + runs {
        let count = subjects.len();
        for turn in 0..count {
            let index = if round % 2 == 0 { turn } else { count - 1 - turn };
            if count > 1 {
                subjects[index].session.run()?;
            }
            let began = Instant::now();
            subjects[index].session.run()?;
            let elapsed = began.elapsed().as_secs_f64() * 1e3;
            if round >= warmup {
                samples[index].push(elapsed);
            }
        }
        bar.set(round.saturating_sub(warmup) as u64, || "runs".into());
    }
    Ok(samples.into_iter().map(Times::of).collect())
}

/// Noise in `[-1, 1)` for floats, any value of 8-bit integers, zeros for what may be a position.
pub fn generated(dtype: DType, shape: &[usize], rng: &mut Rng) -> Result<Tensor> {
    let len = edgecut_graph::checked_len(shape, "input")?;
    let data: Data = match dtype {
        DType::F32 => (0..len).map(|_| rng.range(-1.0, 1.0)).collect::<Vec<f32>>().into(),
        DType::U8 => (0..len).map(|_| rng.next_u64() as u8).collect::<Vec<u8>>().into(),
        DType::I8 => (0..len).map(|_| rng.next_u64() as i8).collect::<Vec<i8>>().into(),
        DType::I32 => vec![0i32; len].into(),
        DType::I64 => vec![0i64; len].into(),
        DType::Bool => vec![false; len].into(),
    };
    Tensor::new(shape.to_vec(), data).map_err(Failure::from)
}
