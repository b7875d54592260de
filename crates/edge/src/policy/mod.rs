//! Where a request is computed: on the device, on a server, or on both.
//!
//! What crosses the link may come back late or never, so that a plan with a server always has a
//! *reserve*: the device computes on from where it was when it sent. Whichever answers first, answers.
//! The latency of a plan at one rate of the link is therefore the smaller of
//!
//! ```text
//!   remote   own part + round trip + bytes / rate + queue + server
//!   reserve  begin of the reserve + rest of the model
//! ```
//!
//! and the plan is chosen whose mean over the rates that the link may have is least. That mean knows
//! what a guess is worth: where the rate is uncertain and the reserve costs little, trying the link is
//! cheaper than not knowing, and so the estimate comes to be renewed. No plan is taken whose reserve
//! misses a deadline that the device alone would keep.
//!
//! | file | holds |
//! | --- | --- |
//! | `candidate` | the plans to choose from |
//! | `device` | how fast the device is now |
//! | `inertia` | what a change of plan costs, and whether it is worth it |

mod candidate;
mod device;
mod inertia;

use edgecut_collab::partition::Placement;

pub use candidate::{Candidate, MAX_SPLITS};
pub use device::Device;
pub use inertia::Inertia;

use crate::clock::{MS, SECOND, Time};
use crate::estimate::{Link, Load, Rate};

/// Deviations and weights that stand for a normal distribution (Gauss-Hermite, five points).
const RATES: [(f64, f64); 5] = [
    (-2.856_970, 0.011_257),
    (-1.355_626, 0.222_076),
    (0.0, 0.533_333),
    (1.355_626, 0.222_076),
    (2.856_970, 0.011_257),
];

/// The round trip before any was measured.
const UNKNOWN_RTT: Time = 50 * MS;

/// Once the rate was not measured for so long, the next try has its reserve at once: what was learnt of
/// an outage must not be believed for ever.
const STALE_NS: Time = 5 * SECOND;

/// What a plan with a server must save, as a share of the device's own time: else nothing is sent.
const WORTH_SENDING: f64 = 0.005;

/// What a reserve may save at most, as a share of the mean latency, where it begins when the answer is
/// overdue and not at once: on a processor that computes, what is sent and received waits.
const HELD_UP: f64 = 0.01;

/// Share of requests with a server that the device may answer after all, so that its reserve still waits
/// for the answer to be overdue: what breaks about as often as one time in twenty shows in the 95th percentile.
const BREAKS: f64 = 0.02;

/// How much of a new value enters that running mean.
const SLOW: f64 = 0.05;

/// How the reserve begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reserve {
    /// As soon as the device has sent, unless it would hardly ever answer first: where energy does not
    /// matter. Its processor would only wait.
    #[default]
    AtOnce,
    /// When the answer is overdue, or at the last moment that keeps the deadline.
    Late,
    /// Not at all: to see what a plan does alone.
    Never,
}

/// What a request finds.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// Now.
    pub now: Time,
    /// Time that is left until the deadline.
    pub left_ns: Time,
    /// Work of other requests that the device does first.
    pub wait_ns: Time,
    /// The server that would get it; none where none can be used.
    pub server: Option<(&'a Link, &'a Load)>,
    /// Bytes of the file, where the request has a picture as one, of which the device makes the input
    /// only when it needs it.
    pub picture: Option<u64>,
    /// Candidates that the server does not have in the right version, a bit each.
    pub without: u64,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Which of the candidates.
    pub candidate: usize,
    /// Expected latency.
    pub expected_ns: Time,
    /// When the reserve begins at the latest, from now; none for local plans.
    pub reserve_ns: Option<Time>,
    /// How it begins.
    pub reserve: Reserve,
}

/// Chooses among candidates.
#[derive(Clone, Debug)]
pub struct Policy {
    candidates: Vec<Candidate>,
    local: usize,
    reserve: Reserve,
    only: Option<usize>,
    breaks: f64,
    /// How fast the device is now.
    pub device: Device,
    /// What changes of plan cost.
    pub inertia: Inertia,
}

impl Policy {
    /// A policy over `candidates`; none where local-only is not one of them.
    pub fn new(candidates: Vec<Candidate>, reserve: Reserve) -> Option<Policy> {
        let local = candidates.iter().position(|c| c.placement == Placement::Local)?;
        let inertia = Inertia::new(local);
        let device = Device::default();
        Some(Policy { candidates, local, reserve, only: None, breaks: 0.0, device, inertia })
    }

    /// From now on takes candidate `at` for every request, whatever link and deadline say, and without a
    /// reserve: what measurements compare with.
    pub fn fix(&mut self, at: usize) {
        self.only = Some(at);
    }

    /// Whether it takes the same for every request.
    pub fn is_fixed(&self) -> bool {
        self.only.is_some()
    }

    /// A request with a server has its answer, from the device where `broken`.
    pub fn ended(&mut self, broken: bool) {
        self.breaks += SLOW * (f64::from(u8::from(broken)) - self.breaks);
    }

    /// The candidates.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// The candidate that is local-only.
    pub fn local(&self) -> usize {
        self.local
    }

    /// The choice for a request. Takes microseconds.
    pub fn choose(&mut self, situation: &Situation) -> Choice {
        if let Some(candidate) = self.only {
            let expected_ns = self.device.expected_ns(self.candidates[candidate].own_ns);
            return Choice { candidate, expected_ns, reserve_ns: None, reserve: Reserve::Never };
        }
        let choices = (0..self.candidates.len()).filter_map(|at| self.consider(at, situation));
        let choices: Vec<Choice> = choices.collect();
        let best = choices.iter().min_by_key(|choice| choice.expected_ns);
        let kept = choices.iter().find(|choice| choice.candidate == self.inertia.current());
        let chosen = match (best, kept) {
            (Some(best), Some(kept)) if self.inertia.holds(best.expected_ns, kept.expected_ns) => {
                *kept
            }
            (Some(best), _) => *best,
            (None, _) => self.alone(situation),
        };
        self.inertia.chose(chosen.candidate);
        chosen
    }

    /// The device alone, whatever comes.
    fn alone(&self, situation: &Situation) -> Choice {
        let local = self.candidates[self.local].own_ns;
        let ready = situation.wait_ns + self.decode_ns(situation);
        let expected_ns = ready + self.device.expected_ns(local);
        Choice { candidate: self.local, expected_ns, reserve_ns: None, reserve: self.reserve }
    }

    /// What comes before everything that the device computes.
    fn decode_ns(&self, situation: &Situation) -> Time {
        situation.picture.map_or(0, |_| self.device.decode_ns())
    }

    fn consider(&self, at: usize, situation: &Situation) -> Option<Choice> {
        let candidate = &self.candidates[at];
        if candidate.placement == Placement::Local {
            return Some(self.alone(situation));
        }
        let (link, load) = situation.server?;
        let absent = situation.without >> at.min(63) & 1 == 1;
        if absent || candidate.placement == Placement::Picture && situation.picture.is_none() {
            return None;
        }
        let Situation { now, left_ns, wait_ns, .. } = *situation;
        let ready = wait_ns + self.decode_ns(situation);
        let own = self.device.expected_ns(candidate.own_ns);
        let (sent, bytes) = match (candidate.placement, situation.picture) {
            // A file leaves while the device is busy with others.
            (Placement::Picture, Some(bytes)) => (own, bytes),
            _ => (ready + own, candidate.bytes),
        };
        let rest = self.device.expected_ns(candidate.rest_ns);
        let surely = |ns: Time| self.device.surely_ns(ns);
        let alone_keeps = ready + surely(self.candidates[self.local].own_ns) <= left_ns;
        let work = candidate.own_ns + candidate.rest_ns;
        if alone_keeps && ready + surely(work) > left_ns {
            return None;
        }
        let back = sent
            + link.rtt_or(UNKNOWN_RTT)
            + load.queue_ns(now)
            + load.loaded_ns(candidate.server_ns);
        let rate = link.rate(now);
        let remote = |deviations: f64| back + send_ns(bytes, &rate, deviations);
        let stale = link.seen().is_none_or(|seen| now.saturating_sub(seen) >= STALE_NS);
        // Behind a cut the input has been made; else that is the reserve's beginning.
        let (free, decode) = match candidate.placement {
            Placement::Split => (sent, 0),
            _ => (wait_ns.max(sent), self.decode_ns(situation)),
        };
        let rest = decode + rest;
        let last = left_ns.saturating_sub(surely(candidate.rest_ns) + decode);
        let overdue = last.min(remote(-2.0)).max(free);
        let mean = |begin: Time| -> f64 {
            let latency = |deviations: f64| {
                let ns = remote(deviations).min(begin.saturating_add(rest));
                // Nobody waits for what comes behind the deadline.
                if ns > left_ns { left_ns.saturating_mul(2).max(ns) } else { ns }
            };
            RATES.iter().map(|&(at, weight)| weight * latency(at) as f64).sum()
        };
        let steady = !stale && self.breaks < BREAKS;
        let idle = steady && mean(overdue) <= (1.0 + HELD_UP) * mean(free);
        let (reserve, begin) = match self.reserve {
            Reserve::AtOnce if idle => (Reserve::Late, overdue),
            Reserve::Late if !stale => (Reserve::Late, overdue),
            Reserve::AtOnce | Reserve::Late => (Reserve::AtOnce, free),
            Reserve::Never => (Reserve::Never, Time::MAX),
        };
        let mean = mean(begin);
        let expected_ns = mean as Time;
        let alone = self.alone(situation).expected_ns;
        if alone <= left_ns && mean > alone as f64 * (1.0 - WORTH_SENDING) {
            return None;
        }
        Some(Choice { candidate: at, expected_ns, reserve_ns: Some(begin), reserve })
    }
}

fn send_ns(bytes: u64, rate: &Rate, deviations: f64) -> Time {
    (bytes as f64 * 8e9 / rate.at(deviations)) as Time
}

#[cfg(test)]
mod tests;
