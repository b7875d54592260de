//! Time as everything that decides sees it: nanoseconds since some moment, passed in by the caller.

use std::time::Instant;

/// Nanoseconds since an arbitrary moment.
pub type Time = u64;

/// A millisecond.
pub const MS: Time = 1_000_000;

/// A second.
pub const SECOND: Time = 1_000_000_000;

/// Where a caller's time comes from.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Time;
}

/// The machine's monotonic clock.
pub struct Monotonic(Instant);

impl Default for Monotonic {
    fn default() -> Monotonic {
        Monotonic(Instant::now())
    }
}

impl Clock for Monotonic {
    fn now(&self) -> Time {
        // 584 years.
        self.0.elapsed().as_nanos() as Time
    }
}

/// Time that never goes back, whatever a clock does. When the clock jumps back, time stands still for
/// that one reading and goes on from there; a jump ahead is time that has passed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Steady {
    last_reading: Time,
    now: Time,
}

impl Steady {
    /// Time at this reading of the clock.
    pub fn at(&mut self, reading: Time) -> Time {
        self.now = self.now.saturating_add(reading.saturating_sub(self.last_reading));
        self.last_reading = reading;
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_after_a_jump_back() {
        let mut steady = Steady::default();
        let times = [5, 9, 2, 4, 4, 100].map(|reading| steady.at(reading));
        assert_eq!(times, [5, 9, 9, 11, 11, 107]);
    }
}
