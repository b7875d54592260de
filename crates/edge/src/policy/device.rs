//! How fast the device is now, beside the times that plans were made with.

use crate::clock::{MS, Time};

/// How much of a new value enters a running mean.
const QUICK: f64 = 0.1;

/// What a deadline leaves for threads to wake up.
const WAKE_NS: Time = MS;

/// Running mean and mean deviation of time taken over time planned.
#[derive(Clone, Copy, Debug)]
pub struct Device {
    /// How often it was measured.
    measured: u32,
    slowdown: f64,
    deviation: f64,
    decode_ns: f64,
}

impl Default for Device {
    fn default() -> Device {
        Device { measured: 0, slowdown: 1.0, deviation: 0.0, decode_ns: 0.0 }
    }
}

impl Device {
    /// Work that was planned with `planned_ns` took `taken_ns`.
    pub fn worked(&mut self, planned_ns: Time, taken_ns: Time) {
        if planned_ns == 0 {
            return;
        }
        let ratio = (taken_ns as f64 / planned_ns as f64).clamp(0.01, 100.0);
        // Plans may be of another machine: what was measured first counts, not what was planned.
        self.measured = self.measured.saturating_add(1);
        let weight = (1.0 / f64::from(self.measured)).max(QUICK);
        let from = if self.measured == 1 { ratio } else { self.slowdown };
        self.deviation += weight * ((ratio - from).abs() - self.deviation);
        self.slowdown += weight * (ratio - self.slowdown);
    }

    /// A picture's file was made the input in `ns`.
    pub fn decoded(&mut self, ns: Time) {
        let weight = if self.decode_ns == 0.0 { 1.0 } else { QUICK };
        self.decode_ns += weight * (ns as f64 - self.decode_ns);
    }

    /// What that takes on average; nothing before it was ever done.
    pub fn decode_ns(&self) -> Time {
        self.decode_ns as Time
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
