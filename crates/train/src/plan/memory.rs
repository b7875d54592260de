//! Where activations and gradients lie, and which activations are dropped so that they fit.
//!
//! Everything lies in one arena, by its life ([`assign`]). Where that is more than a limit, activations
//! are dropped one by one: of those that take most memory from the steps above the limit, the one
//! that takes most for the cost of computing it again (as Checkmate weighs them, Jain et al. 2020,
//! arXiv:1910.02653, but greedily). The excess over the limit is summed over all steps, so that a
//! chain that would come back all at once stops growing, and a new one begins behind an activation that
//! is kept, as in Chen et al. 2016 (arXiv:1604.06174).

use edgecut_kernels::arena::ALIGN;
use edgecut_runtime::memory::{Life, assign};
use serde::{Deserialize, Serialize};

use super::timeline::{Block, Schedule, Timeline};
use super::{Activation, Backward, Step};
use crate::error::TrainError;

/// Candidates that are compared for each activation that is dropped.
const COMPARED: usize = 32;

/// Limits that are tried where what fits by its sum does not fit by its places.
const ATTEMPTS: usize = 6;

/// Share of the forward pass that may be computed again where nobody asked for less memory: a
/// twenty-fifth of a step at most, since a backward pass costs two forward passes, and what is
/// dropped is chosen for being cheap and large.
const CHEAP: f64 = 0.125;

/// Eighths of the memory of all activations that are tried then, one after the other.
const EIGHTHS: [usize; 4] = [7, 6, 5, 4];

/// Halvings in the search for the smallest limit that can be kept.
const HALVINGS: usize = 10;

/// What a step of training may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes in all.
    pub bytes: usize,
    /// Arrays as long as the parameters that the caller keeps beside the plan: moments of the
    /// optimiser, averages.
    pub copies: usize,
    /// Threads of the engine, each of which has scratch memory.
    pub threads: usize,
}

/// Bytes that a step of training works on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Activations and their gradients.
    pub activations: usize,
    /// Scratch memory of the kernels.
    pub scratch: usize,
    /// Parameters, their gradients, running statistics, and weights packed for the kernels.
    pub parameters: usize,
    /// What the optimiser and averages of the weights take.
    pub beside: usize,
    /// Layers that are computed again in the backward pass.
    pub recomputed: usize,
    /// What that costs as a share of the forward pass, by the count of products and of memory moved.
    pub recomputation: f64,
}

impl Memory {
    /// All bytes.
    pub fn total(&self) -> usize {
        self.activations + self.scratch + self.parameters + self.beside
    }
}

/// A schedule with the place of each of its blocks, in bytes.
pub(super) struct Placed {
    pub schedule: Schedule,
    pub offsets: Vec<usize>,
    pub bytes: usize,
}

impl Placed {
    /// Writes the places into activations and backward pass; returns those of the gradient slots.
    pub fn settle(
        &self,
        steps: &[Step],
        activations: &mut [Activation],
        backward: &mut [Backward],
    ) -> Vec<usize> {
        let Placed { schedule, offsets, .. } = self;
        for (activation, &block) in activations.iter_mut().zip(&schedule.forward) {
            activation.place = offsets[block];
        }
        for (back, before) in backward.iter_mut().zip(&schedule.before) {
            let again = |&step: &usize| {
                let block = schedule.again[steps[step].output]?;
                Some((step, offsets[block]))
            };
            back.again = before.iter().filter_map(again).collect();
        }
        schedule.slots.iter().map(|&block| offsets[block]).collect()
    }
}

/// The error where `least` bytes of activations are the fewest, and `fixed` bytes come on top.
pub(super) fn too_little(
    budget: Option<Budget>,
    fixed: usize,
    least: usize,
    batch: usize,
) -> TrainError {
    let mb = |bytes: usize| format!("{} MB", bytes.div_ceil(1_000_000));
    let given = budget.map_or(0, |budget| budget.bytes);
    // What lies in the arena grows with the batch, all else hardly.
    let parts = (2..=batch / 2).find(|parts| fixed + least / parts <= given);
    let way = match parts {
        Some(parts) => format!(
            "; a batch in {parts} parts (accumulate) may fit, but then the statistics of BatchNorm \
             are those of a part"
        ),
        None => String::new(),
    };
    let (given, least) = (mb(given), mb(fixed + least));
    let problem = format!("{given} are too little: a batch of {batch} needs at least {least}{way}");
    TrainError::config("memory", problem)
}

/// Places what `timeline` needs for `batch` images: within `limit` bytes, or without a limit in
/// less than it could take where that is cheap. The error is the least that was found to suffice where it does
/// not fit.
pub(super) fn place(
    timeline: &Timeline,
    batch: usize,
    limit: Option<usize>,
) -> Result<Placed, usize> {
    let search = Search { timeline, candidates: timeline.candidates(), batch };
    let whole = search.put(timeline.schedule(&search.nothing()));
    match limit {
        Some(limit) if whole.bytes > limit => {
            search.within(limit).ok_or_else(|| search.least(whole.bytes))
        }
        Some(_) => Ok(whole),
        None => Ok(search.cheaply(whole)),
    }
}

struct Search<'a> {
    timeline: &'a Timeline<'a>,
    candidates: Vec<usize>,
    batch: usize,
}

impl Search<'_> {
    /// Drops nothing.
    fn nothing(&self) -> Vec<bool> {
        vec![false; self.timeline.activations()]
    }

    fn bytes(&self, len: usize) -> usize {
        (len * self.batch * size_of::<f32>()).next_multiple_of(ALIGN)
    }

    fn put(&self, schedule: Schedule) -> Placed {
        let life = |block: &Block| Life {
            bytes: self.bytes(block.len),
            first: block.first,
            last: block.last,
        };
        let lives: Vec<Life> = schedule.blocks.iter().map(life).collect();
        let (offsets, bytes) = assign(&lives);
        Placed { schedule, offsets, bytes }
    }

    /// The smallest of some schedules that compute no more than [`CHEAP`] again; `whole` drops
    /// nothing.
    fn cheaply(&self, whole: Placed) -> Placed {
        let most = CHEAP * self.timeline.forward_cost();
        let part = |eighths: usize| self.within(whole.bytes / 8 * eighths);
        let cheap = |placed: &Placed| placed.schedule.cost <= most;
        let smaller = EIGHTHS.into_iter().map_while(|eighths| part(eighths).filter(cheap));
        smaller.last().unwrap_or(whole)
    }

    fn within(&self, limit: usize) -> Option<Placed> {
        let mut aim = limit;
        for attempt in 1..=ATTEMPTS {
            let placed = self.put(self.drop_to(aim)?);
            if placed.bytes <= limit {
                return Some(placed);
            }
            aim = aim.checked_sub(attempt * (placed.bytes - limit))?;
        }
        None
    }

    /// The smallest limit that is found to be enough, where `most` is.
    fn least(&self, most: usize) -> usize {
        let (mut low, mut high) = (0usize, most);
        for _ in 0..HALVINGS {
            let middle = low.midpoint(high);
            match self.within(middle) {
                Some(placed) => high = placed.bytes,
                None => low = middle,
            }
        }
        high
    }

    /// A schedule that needs at most `limit` bytes at once.
    fn drop_to(&self, limit: usize) -> Option<Schedule> {
        let mut dropped = self.nothing();
        let mut schedule = self.timeline.schedule(&dropped);
        let mut left = self.candidates.clone();
        while self.excess(&schedule, limit) > 0 {
            let excess = self.excess(&schedule, limit);
            let mut gain = |a: usize| {
                dropped[a] = true;
                let next = self.timeline.schedule(&dropped);
                dropped[a] = false;
                let less = excess.saturating_sub(self.excess(&next, limit)) as f64;
                less / (next.cost - schedule.cost).max(1.0)
            };
            let best = left.chunks(COMPARED).find_map(|some| {
                let gains = some.iter().map(|&a| (a, gain(a)));
                gains.filter(|(_, gain)| *gain > 0.0).max_by(|x, y| x.1.total_cmp(&y.1))
            });
            let (best, _) = best?;
            dropped[best] = true;
            left.retain(|&a| a != best);
            schedule = self.timeline.schedule(&dropped);
        }
        // Some that were dropped early are no longer in the way.
        for &a in self.candidates.iter().rev() {
            if std::mem::take(&mut dropped[a]) {
                let kept = self.timeline.schedule(&dropped);
                match self.excess(&kept, limit) {
                    0 => schedule = kept,
                    _ => dropped[a] = true,
                }
            }
        }
        Some(schedule)
    }

    /// Bytes over the limit, summed over all steps.
    fn excess(&self, schedule: &Schedule, limit: usize) -> usize {
        let stages = schedule.stages(|len| self.bytes(len));
        stages.iter().map(|&bytes| bytes.saturating_sub(limit)).sum()
    }
}
