//! How long the alternatives take.

use std::sync::Arc;
use std::time::{Duration, Instant};

use edgecut_kernels::{Isa, Pool};

use crate::compile::place;
use crate::fuse::{Part, Run};
use crate::lower::Lowered;
use crate::plan::{Buffer, Plan, Slot};
use crate::{Result, Session};

/// Who says how long the steps of a run take, split in one way or another.
pub(super) trait Measure: Send {
    /// Nanoseconds of each of `splits`, which all fit the run.
    fn times(&mut self, run: &Run, isa: Isa, splits: &[&[Part]]) -> Result<Vec<u64>>;
}

/// Turns that each alternative takes: other programs seldom disturb all of them.
const TURNS: usize = 4;

/// Runs in a turn. Before the first one the data of the others is in the caches, not its own.
const BURST: usize = 3;

/// A turn ends after the run in which it becomes longer than this: disturbances are short.
const LONG_TURN: Duration = Duration::from_millis(20);

/// Measures.
pub(super) struct Stopwatch {
    pool: Arc<Pool>,
}

impl Stopwatch {
    pub fn new(pool: Arc<Pool>) -> Stopwatch {
        Stopwatch { pool }
    }
}

impl Measure for Stopwatch {
    /// Minima over short bursts, in turn.
    fn times(&mut self, run: &Run, isa: Isa, splits: &[&[Part]]) -> Result<Vec<u64>> {
        let mut sessions = vec![];
        for split in splits {
            sessions.push(session(run, split, isa, &self.pool)?);
        }
        let mut times = vec![u64::MAX; splits.len()];
        for _ in 0..TURNS {
            let best = times.iter().copied().min().unwrap_or(u64::MAX);
            for (session, time) in sessions.iter_mut().zip(&mut times) {
                // What takes a quarter longer than the best has lost.
                let is_open = *time == u64::MAX || *time / 5 * 4 <= best;
                if is_open {
                    *time = (*time).min(burst(session)?);
                }
            }
        }
        Ok(times)
    }
}

/// The fastest of a few runs.
fn burst(session: &mut Session) -> Result<u64> {
    let began = Instant::now();
    let mut fastest = u64::MAX;
    for _ in 0..BURST {
        let start = Instant::now();
        session.run()?;
        fastest = fastest.min(start.elapsed().as_nanos() as u64);
        if began.elapsed() > LONG_TURN {
            break;
        }
    }
    Ok(fastest)
}

/// A session of nothing but these steps, on data of no meaning.
fn session(run: &Run, split: &[Part], isa: Isa, pool: &Arc<Pool>) -> Result<Session> {
    let steps = run.joined(split).expect("only layers are tried as chains");
    let written = |slot: Slot| steps.iter().any(|step| step.writes.contains(&slot));
    let reads = steps.iter().flat_map(|step| step.reads.iter().copied());
    let mut inputs: Vec<Slot> = reads.filter(|&slot| !written(slot)).collect();
    inputs.sort();
    inputs.dedup();
    let buffer = |buffer: &Buffer| Buffer { constant: buffer.constant.clone(), ..*buffer };
    let buffers = run.lowered.buffers.iter().map(buffer).collect();
    let mut lowered = Lowered { buffers, steps, inputs, outputs: vec![] };
    let (places, arena_bytes) = place(&mut lowered)?;
    let (steps, infos) = lowered.steps.into_iter().map(|e| (e.step, e.info)).unzip();
    let (inputs, outputs) = (vec![], vec![]);
    let plan = Plan { steps, infos, places, inputs, outputs, arena_bytes, isa };
    let mut session = Session::new(Arc::new(plan), Arc::clone(pool));
    session.fill(FILLING);
    Ok(session)
}

/// Every byte of the data: 0.75 in float32, 63 in 8 bits. Untouched memory would be one page of
/// zeros, which no cache misses.
const FILLING: u8 = 0x3f;
