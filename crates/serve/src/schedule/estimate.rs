//! How long a model takes for one of its rows, as measured lately.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A moving average of times, to be read and written by several threads.
#[derive(Debug, Default)]
pub struct Estimate(AtomicU64);

/// Weight of a new measurement: the average follows some ten of them.
const WEIGHT: f64 = 0.1;

impl Estimate {
    /// An estimate that begins with `time`.
    pub fn new(time: Duration) -> Estimate {
        Estimate(AtomicU64::new(time.as_nanos() as u64))
    }

    /// Takes in that `rows` took `time`.
    pub fn add(&self, time: Duration, rows: usize) {
        let measured = time.as_nanos() as f64 / rows.max(1) as f64;
        let before = self.0.load(Ordering::Relaxed) as f64;
        let after = if before == 0.0 { measured } else { before + WEIGHT * (measured - before) };
        // Another thread's measurement may be lost in between; the next ones make up for it.
        self.0.store(after as u64, Ordering::Relaxed);
    }

    /// Expected time of `rows`.
    pub fn of(&self, rows: usize) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed).saturating_mul(rows as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_what_is_measured() {
        let estimate = Estimate::new(Duration::from_millis(10));
        assert_eq!(estimate.of(3), Duration::from_millis(30));
        for _ in 0..100 {
            estimate.add(Duration::from_millis(40), 2);
        }
        let now = estimate.of(1).as_secs_f64();
        assert!((now - 0.02).abs() < 1e-3, "{now}");
    }
}
