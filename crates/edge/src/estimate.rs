//! What is known of the way to a server and of its load, from requests that went there.
//!
//! An exchange of `n` bytes takes `rtt + n / rate`, beside what the server says that it took itself.
//! The round trip is learnt from exchanges that are nearly nothing but round trip, the rate from the
//! others, each trusted as far as its transfer outweighs the jitter of the round trip.
//!
//! The logarithm of the rate is followed by a Kalman filter. Between exchanges it drifts back to the
//! link's long-term mean and becomes as uncertain as the link is variable (an Ornstein-Uhlenbeck
//! process), so that what was not seen for long counts little, and one exchange settles it again.

use crate::clock::{SECOND, Time};

/// How fast what is known of the rate fades.
const FADES_NS: f64 = 15.0 * SECOND as f64;

/// How fast the long-term mean and spread follow.
const SLOW: f64 = 0.02;

/// Spread of the logarithm of the rate before anything is known, and its least and largest.
const SPREAD: f64 = 1.0;
const SPREADS: std::ops::RangeInclusive<f64> = 0.3..=1.5;

/// Deviation of a measured rate in logarithms, when its transfer takes long.
const NOISE: f64 = 0.1;

/// Rates that are believed, in bits per second.
const RATES: std::ops::RangeInclusive<f64> = 1e3..=1e11;

/// How much of a new value enters a running mean.
const QUICK: f64 = 0.25;

/// The way to a server.
#[derive(Clone, Debug)]
pub struct Link {
    rtt_ns: Option<f64>,
    jitter_ns: f64,
    log_rate: f64,
    variance: f64,
    mean: f64,
    spread: f64,
    seen: Option<Time>,
}

impl Default for Link {
    fn default() -> Link {
        // Until something is measured: 5 Mbit/s, give or take a factor of e.
        let mean = 5e6f64.ln();
        Link {
            rtt_ns: None,
            jitter_ns: 0.0,
            log_rate: mean,
            variance: SPREAD * SPREAD,
            mean,
            spread: SPREAD,
            seen: None,
        }
    }
}

/// The rate at one time, as a distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Mean of the natural logarithm of bits per second.
    pub log_mean: f64,
    /// Its standard deviation.
    pub log_deviation: f64,
}

impl Rate {
    /// Bits per second, so many standard deviations above the median.
    pub fn at(&self, deviations: f64) -> f64 {
        let rate = (self.log_mean + deviations * self.log_deviation).exp();
        rate.clamp(*RATES.start(), *RATES.end())
    }
}

impl Link {
    /// The round-trip time; `otherwise` where none was measured yet.
    pub fn rtt_or(&self, otherwise: Time) -> Time {
        self.rtt_ns.map_or(otherwise, |ns| ns as Time)
    }

    /// When something was last measured.
    pub fn seen(&self) -> Option<Time> {
        self.seen
    }

    /// The rate at `now`.
    pub fn rate(&self, now: Time) -> Rate {
        let (log_mean, variance) = self.faded(now);
        Rate { log_mean, log_deviation: variance.sqrt() }
    }

    /// An exchange that sent `bytes` and ended at `now`, `elapsed_ns` after it began, without what the
    /// server took.
    pub fn exchanged(&mut self, now: Time, bytes: u64, elapsed_ns: Time) {
        let elapsed = elapsed_ns as f64;
        let expected = bytes as f64 * 8e9 / self.rate(now).at(0.0);
        let rtt = self.rtt_ns.unwrap_or(elapsed / 2.0);
        if bytes == 0 || expected < rtt / 8.0 {
            self.round_trip((elapsed - expected.min(elapsed / 2.0)).max(0.0));
            return;
        }
        if self.rtt_ns.is_none_or(|known| elapsed < known) {
            // The round trip is at most the whole.
            self.rtt_ns = Some(elapsed / 2.0);
        }
        let transfer = (elapsed - self.rtt_ns.unwrap_or(0.0)).max(elapsed / 16.0).max(1.0);
        let jitter = (self.jitter_ns + elapsed / 64.0) / transfer;
        self.measured(now, bytes as f64 * 8e9 / transfer, NOISE * NOISE + jitter * jitter);
    }

    /// An exchange of `bytes` that has not ended after `elapsed_ns`, if it is given up: the rate is at
    /// most what this allows.
    pub fn given_up(&mut self, now: Time, bytes: u64, elapsed_ns: Time) {
        let transfer = elapsed_ns as f64 - self.rtt_ns.unwrap_or(0.0);
        if bytes == 0 || transfer <= 0.0 {
            return;
        }
        let most = bytes as f64 * 8e9 / transfer;
        if most.ln() < self.faded(now).0 {
            let jitter = (self.jitter_ns + elapsed_ns as f64 / 64.0) / transfer;
            self.measured(now, most, 4.0 * NOISE * NOISE + jitter * jitter);
        }
    }

    fn round_trip(&mut self, ns: f64) {
        let known = *self.rtt_ns.get_or_insert(ns);
        // Falls at once and rises slowly: what is above the least is a queue, or jitter.
        let weight = if ns < known { 0.5 } else { QUICK / 2.0 };
        self.jitter_ns += QUICK * ((ns - known).abs() - self.jitter_ns);
        self.rtt_ns = Some(known + weight * (ns - known));
    }

    /// Logarithm and variance, as old as they are.
    fn faded(&self, now: Time) -> (f64, f64) {
        let Some(seen) = self.seen else { return (self.log_rate, self.variance) };
        let kept = (-(now.saturating_sub(seen) as f64) / FADES_NS).exp();
        let log = self.mean + kept * (self.log_rate - self.mean);
        let variance =
            kept * kept * self.variance + (1.0 - kept * kept) * self.spread * self.spread;
        (log, variance)
    }

    fn measured(&mut self, now: Time, rate: f64, noise: f64) {
        let log = rate.clamp(*RATES.start(), *RATES.end()).ln();
        let (known, variance) = self.faded(now);
        let gain = variance / (variance + noise);
        self.log_rate = known + gain * (log - known);
        self.variance = (1.0 - gain) * variance;
        match self.seen {
            None => self.mean = log,
            Some(_) => self.mean += SLOW * (log - self.mean),
        }
        let deviation = (log - self.mean).abs();
        self.spread += SLOW * (1.25 * deviation - self.spread);
        self.spread = self.spread.clamp(*SPREADS.start(), *SPREADS.end());
        self.seen = Some(now);
    }
}

/// A server's load.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    queue_ns: f64,
    /// None before it was measured: plans may be of another machine.
    slowdown: Option<f64>,
    seen: Time,
}

impl Default for Load {
    fn default() -> Load {
        Load { queue_ns: 0.0, slowdown: None, seen: 0 }
    }
}

impl Load {
    /// Wait in the queue at `now`. Queues empty: what was seen long ago is half forgotten after 5 s.
    pub fn queue_ns(&self, now: Time) -> Time {
        let age = now.saturating_sub(self.seen) as f64 / (5.0 * SECOND as f64);
        (self.queue_ns * (-age * std::f64::consts::LN_2).exp()) as Time
    }

    /// What `ns` of an idle server take.
    pub fn loaded_ns(&self, ns: Time) -> Time {
        (ns as f64 * self.slowdown.unwrap_or(1.0)) as Time
    }

    /// What the server said: its queue, and how long work took it that was expected to take
    /// `expected_ns`.
    pub fn reported(&mut self, now: Time, queue_ns: Time, service_ns: Time, expected_ns: Time) {
        let queue = self.queue_ns(now) as f64;
        self.queue_ns = queue + 0.5 * (queue_ns as f64 - queue);
        self.seen = now;
        if expected_ns > 0 {
            let ratio = (service_ns as f64 / expected_ns as f64).clamp(0.01, 1000.0);
            let known = self.slowdown.unwrap_or(ratio);
            self.slowdown = Some(known + QUICK * (ratio - known));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MS;

    fn elapsed(bytes: u64, rtt: Time, rate: f64) -> Time {
        rtt + (bytes as f64 * 8e9 / rate) as Time
    }

    #[test]
    fn rate_and_round_trip_are_told_apart() {
        let mut link = Link::default();
        let (rtt, rate) = (40 * MS, 8e6);
        for i in 0..40u64 {
            let bytes = [0, 20_000, 300, 60_000][i as usize % 4];
            link.exchanged(i * 100 * MS, bytes, elapsed(bytes, rtt, rate));
        }
        let now = 4 * SECOND;
        assert!((link.rtt_or(0) as f64 / rtt as f64 - 1.0).abs() < 0.05, "{}", link.rtt_or(0));
        assert!((link.rate(now).at(0.0) / rate - 1.0).abs() < 0.1, "{}", link.rate(now).at(0.0));
    }

    #[test]
    fn small_payloads_hardly_move_the_rate() {
        let mut link = Link::default();
        for i in 0..20 {
            link.exchanged(i * 100 * MS, 50_000, elapsed(50_000, 50 * MS, 10e6));
            link.exchanged(i * 100 * MS + 1, 0, 50 * MS);
        }
        let before = link.rate(2 * SECOND).at(0.0);
        link.exchanged(2 * SECOND, 200, 95 * MS);
        assert!((link.rate(2 * SECOND).at(0.0) / before - 1.0).abs() < 0.05);
    }

    #[test]
    fn what_was_not_seen_for_long_is_uncertain() {
        let mut link = Link::default();
        link.exchanged(0, 0, 20 * MS);
        link.exchanged(0, 100_000, elapsed(100_000, 20 * MS, 4e6));
        let [soon, late] = [SECOND, 60 * SECOND].map(|now| link.rate(now).log_deviation);
        assert!(soon < 0.4 && late > 0.9, "{soon} {late}");
        link.exchanged(60 * SECOND, 100_000, elapsed(100_000, 20 * MS, 1e6));
        assert!((link.rate(60 * SECOND).at(0.0) / 1e6 - 1.0).abs() < 0.2);
    }

    #[test]
    fn what_is_given_up_lowers_the_rate_only() {
        let mut link = Link::default();
        link.exchanged(0, 0, 20 * MS);
        link.exchanged(0, 100_000, elapsed(100_000, 20 * MS, 4e6));
        let before = link.rate(0).at(0.0);
        link.given_up(0, 1_000, 21 * MS);
        link.given_up(0, 100_000, 40 * MS);
        assert_eq!(link.rate(0).at(0.0), before);
        link.given_up(0, 100_000, 2 * SECOND);
        assert!(link.rate(0).at(0.0) < before);
    }

    #[test]
    fn a_queue_is_forgotten_and_a_slowdown_is_not() {
        let mut load = Load::default();
        (0..20).for_each(|i| load.reported(i, 80 * MS, 30 * MS, 10 * MS));
        assert!(load.queue_ns(20) > 75 * MS && load.queue_ns(30 * SECOND) < 2 * MS);
        assert!((load.loaded_ns(10 * MS) as f64 / (30.0 * MS as f64) - 1.0).abs() < 0.02);
    }
}
