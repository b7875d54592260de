//! How fast the device is now, beside the times that plans were made with.

use crate::clock::{MS, Time};

/// How much of a new value enters a running mean.
const QUICK: f64 = 0.1;

/// What a deadline leaves for threads to wake up.
const WAKE_NS: Time = MS;

/// Running mean and mean deviation of time taken over time planned.
#[derive(Clone, Copy, Debug)]
pub struct Device {
    slowdown: f64,
    deviation: f64,
}

impl Default for Device {
    fn default() -> Device {
        Device { slowdown: 1.0, deviation: 0.0 }
    }
}

impl Device {
    /// Work that was planned with `planned_ns` took `taken_ns`.
    pub fn worked(&mut self, planned_ns: Time, taken_ns: Time) {
        if planned_ns == 0 {
            return;
        }
        let ratio = (taken_ns as f64 / planned_ns as f64).clamp(0.01, 100.0);
        self.deviation += QUICK * ((ratio - self.slowdown).abs() - self.deviation);
        self.slowdown += QUICK * (ratio - self.slowdown);
    }

    /// What work that was planned with `ns` takes on average.
    pub fn expected_ns(&self, ns: Time) -> Time {
        (ns as f64 * self.slowdown) as Time
    }

    /// What it nearly surely does not exceed.
    pub fn surely_ns(&self, ns: Time) -> Time {
        if ns == 0 {
            return 0;
        }
        (ns as f64 * (self.slowdown + 3.0 * self.deviation)) as Time + WAKE_NS
    }
}
