//! A change of plan costs something: caches are cold, and the estimate that asks for it may be noise.

use crate::clock::Time;

/// How much of a new value enters a running mean, and one of noisy values.
const QUICK: f64 = 0.2;
const SLOW: f64 = 0.05;

/// The plan of the last request, and whether another one is worth a change.
#[derive(Clone, Copy, Debug)]
pub struct Inertia {
    current: usize,
    changed: bool,
    /// Measured: how much longer than expected the first request of a plan takes, and how often.
    switch_ns: f64,
    switches: u32,
    /// Requests between changes, the running mean and since the last one.
    stay: f64,
    since: u32,
    changes: u32,
}

impl Inertia {
    /// With `current` as the plan.
    pub fn new(current: usize) -> Inertia {
        Inertia {
            current,
            changed: false,
            switch_ns: 0.0,
            switches: 0,
            stay: 1.0,
            since: 0,
            changes: 0,
        }
    }

    /// The plan of the last request.
    pub fn current(&self) -> usize {
        self.current
    }

    /// How often the plan has changed.
    pub fn changes(&self) -> u32 {
        self.changes
    }

    /// What a change costs.
    pub fn switch_ns(&self) -> Time {
        self.switch_ns.max(0.0) as Time
    }

    /// Whether the current plan stays, although another is expected to take `best_ns` and it
    /// `current_ns`: what is saved until the next change must pay for this one.
    pub fn holds(&self, best_ns: Time, current_ns: Time) -> bool {
        current_ns.saturating_sub(best_ns) as f64 * self.stay <= self.switch_ns.max(0.0)
    }

    /// A plan was chosen.
    pub fn chose(&mut self, candidate: usize) {
        self.changed = candidate != self.current;
        if self.changed {
            self.stay += QUICK * (f64::from(self.since) - self.stay);
            self.stay = self.stay.max(1.0);
            self.since = 0;
            self.changes = self.changes.saturating_add(1);
        }
        self.current = candidate;
        self.since = self.since.saturating_add(1);
    }

    /// The device's part of the last request that was chosen took `taken_ns` where `expected_ns` were
    /// expected.
    pub fn took(&mut self, expected_ns: Time, taken_ns: Time) {
        if std::mem::take(&mut self.changed) {
            // Also less than expected, or noise would look like a cost.
            let more = taken_ns as f64 - expected_ns as f64;
            self.switches = self.switches.saturating_add(1);
            let weight = (1.0 / f64::from(self.switches)).max(SLOW);
            self.switch_ns += weight * (more - self.switch_ns);
        }
    }
}
