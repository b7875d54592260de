//! A circuit breaker: a server that fails is left alone, and asked again after a while.

use edgecut_graph::rng::Rng;

use crate::clock::{MS, SECOND, Time};

/// Failures in a row that open it.
const FAILURES: u32 = 3;

/// First and longest time that it stays open. The time doubles with each trial that fails.
const FIRST_NS: Time = 200 * MS;
const LONGEST_NS: Time = 10 * SECOND;

/// A trial that has given no result for so long counts as failed.
const TRIAL_NS: Time = 5 * SECOND;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Time, trials: u32 },
    HalfOpen { since: Time, trials: u32 },
}

/// Whether a server is used.
#[derive(Clone, Debug)]
pub struct Breaker {
    state: State,
    rng: Rng,
    opened: u64,
}

impl Breaker {
    /// A closed one. `seed` spreads the trials of many devices.
    pub fn new(seed: u64) -> Breaker {
        let state = State::Closed { failures: 0 };
        Breaker { state, rng: Rng::keyed(&[seed, 0x6272_6561_6b65_7200]), opened: 0 }
    }

    /// Whether requests may be sent as usual.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// Its state in a word.
    pub fn word(&self) -> &'static str {
        match self.state {
            State::Closed { .. } => "closed",
            State::Open { .. } => "open",
            State::HalfOpen { .. } => "half-open",
        }
    }

    /// Whether a trial is due at `now`; the caller makes it then, and says how it ended.
    pub fn try_now(&mut self, now: Time) -> bool {
        match self.state {
            State::Open { until, trials } if now >= until => {
                self.state = State::HalfOpen { since: now, trials: trials + 1 };
                true
            }
            State::HalfOpen { since, trials } if now.saturating_sub(since) >= TRIAL_NS => {
                self.open(now, trials);
                false
            }
            _ => false,
        }
    }

    /// Something came back. While it is open that is a late answer, which proves nothing of now.
    pub fn succeeded(&mut self) {
        if !matches!(self.state, State::Open { .. }) {
            self.state = State::Closed { failures: 0 };
        }
    }

    /// Something failed: no connection, no answer in time, a refusal to work.
    pub fn failed(&mut self, now: Time) {
        match self.state {
            State::Closed { failures } if failures + 1 < FAILURES => {
                self.state = State::Closed { failures: failures + 1 };
            }
            State::Closed { .. } => self.open(now, 0),
            State::HalfOpen { trials, .. } => self.open(now, trials),
            State::Open { .. } => {}
        }
    }

    /// How often it has opened.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    fn open(&mut self, now: Time, trials: u32) {
        let longest = (FIRST_NS << trials.min(16)).min(LONGEST_NS);
        // Half of it is certain; the rest is drawn, so that devices do not come back together.
        let wait = longest / 2 + (longest as f64 / 2.0 * f64::from(self.rng.uniform())) as Time;
        self.opened += u64::from(trials == 0);
        self.state = State::Open { until: now.saturating_add(wait), trials };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(seed: u64) -> Breaker {
        let mut breaker = Breaker::new(seed);
        (0..FAILURES).for_each(|_| breaker.failed(0));
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_trial_closes_it() {
        let mut breaker = Breaker::new(1);
        breaker.failed(0);
        breaker.failed(0);
        breaker.succeeded();
        breaker.failed(0);
        breaker.failed(0);
        assert!(breaker.is_closed());
        breaker.failed(0);
        assert!(!breaker.is_closed() && !breaker.try_now(FIRST_NS / 2 - 1));
        breaker.succeeded();
        assert!(!breaker.is_closed(), "a late answer proves nothing");
        assert!(breaker.try_now(FIRST_NS) && !breaker.try_now(FIRST_NS), "one trial at a time");
        breaker.succeeded();
        assert!(breaker.is_closed());
        assert_eq!(breaker.opened(), 1);
    }

    #[test]
    fn trials_become_rarer_and_never_stop() {
        let mut breaker = opened(2);
        let (mut now, mut last, mut waits) = (0, 0, vec![]);
        while waits.len() < 12 {
            now += MS;
            if breaker.try_now(now) {
                waits.push(now - last);
                last = now;
                breaker.failed(now);
            }
        }
        assert!(waits[0] <= FIRST_NS + MS && waits[11] > LONGEST_NS / 2 - MS);
        assert!(waits.iter().all(|&wait| wait <= LONGEST_NS + MS));
    }

    #[test]
    fn a_trial_without_an_end_counts_as_failed() {
        let mut breaker = opened(3);
        assert!(breaker.try_now(SECOND));
        assert!(!breaker.try_now(SECOND + TRIAL_NS));
        assert!(breaker.try_now(2 * SECOND + TRIAL_NS));
    }

    #[test]
    fn the_same_seed_waits_alike_and_another_differs() {
        let when = |seed| {
            let mut breaker = opened(seed);
            (0..).find(|&us| breaker.try_now(us * 1000)).unwrap()
        };
        assert_eq!(when(5), when(5));
        assert_ne!(when(5), when(6));
    }
}
