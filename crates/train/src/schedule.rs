//! The learning rate at each step.
//!
//! The rate is a function of the step alone, so a resumed training needs no state, and its cosine
//! is computed here rather than by the platform's library, so that the bits do not depend on it.

use serde::{Deserialize, Serialize};

/// How the rate falls behind the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// Half a cosine down to zero (Loshchilov and Hutter, SGDR, 2017, without restarts).
    #[default]
    Cosine,
    /// One cycle (Smith and Topin, 2018): up from a 25th along half a cosine over the warm-up, which
    /// is 30 % of all steps where none is given, then down to a 250,000th along another.
    OneCycle,
    /// Straight down to zero.
    Linear,
    /// Not at all.
    Constant,
}

/// Peak over first rate of a cycle, and over its last one, as PyTorch's `OneCycleLR` has them.
const CYCLE: [f64; 2] = [25.0, 25.0 * 1e4];

/// A learning rate for every step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// How it falls.
    pub decay: Decay,
    /// Largest rate, reached at the end of the warm-up.
    pub peak: f32,
    /// Steps of warm-up; but for a cycle they are linear, and the first has the rate
    /// `peak / warmup`.
    pub warmup: u64,
    /// Steps in all, warm-up included.
    pub total: u64,
}

impl Schedule {
    /// The rate of step `step`, counted from 0. Steps beyond the end have rate 0.
    pub fn rate(&self, step: u64) -> f32 {
        if step >= self.total && (step >= self.warmup || self.decay == Decay::OneCycle) {
            return 0.0;
        }
        let share = match self.decay {
            Decay::OneCycle => self.cycle(step),
            _ if step < self.warmup => (step + 1) as f64 / self.warmup as f64,
            decay => {
                let done = (step - self.warmup) as f64 / (self.total - self.warmup) as f64;
                match decay {
                    Decay::Cosine => 0.5 * (1.0 + cos_pi(done)),
                    Decay::Linear => 1.0 - done,
                    Decay::Constant | Decay::OneCycle => 1.0,
                }
            }
        };
        (f64::from(self.peak) * share) as f32
    }

    /// The share of the peak. Both ends of a slope are steps of their own, as in PyTorch.
    fn cycle(&self, step: u64) -> f64 {
        let up = match self.warmup {
            0 => 0.3 * self.total as f64 - 1.0,
            steps => steps as f64 - 1.0,
        };
        let last = self.total as f64 - 1.0;
        let at = step as f64;
        let between = |from: f64, to: f64, done: f64| to + (from - to) * 0.5 * (1.0 + cos_pi(done));
        match at <= up {
            true if up <= 0.0 => 1.0,
            true => between(1.0 / CYCLE[0], 1.0, at / up),
            false => between(1.0, 1.0 / CYCLE[1], ((at - up) / (last - up)).min(1.0)),
        }
    }
}

/// cos(pi * x) for x in `[0, 1]`, as the Taylor series of sin(pi * (1/2 - x)): the argument is at
/// most pi/2, where the first term left out, (pi/2)^21 / 21!, is below 3e-16.
fn cos_pi(x: f64) -> f64 {
    let a = std::f64::consts::PI * (0.5 - x);
    let (mut term, mut sum) = (a, a);
    for k in 1..=9u32 {
        term *= -a * a / f64::from(2 * k * (2 * k + 1));
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_agrees_with_the_library() {
        for i in 0..=1000 {
            let x = f64::from(i) / 1000.0;
            assert!((cos_pi(x) - (std::f64::consts::PI * x).cos()).abs() < 1e-15, "{x}");
        }
    }

    #[test]
    fn rises_linearly_then_falls_to_zero() {
        let s = Schedule { decay: Decay::Cosine, peak: 0.4, warmup: 10, total: 110 };
        assert_eq!(s.rate(0), 0.04);
        assert_eq!(s.rate(9), 0.4);
        assert_eq!(s.rate(10), 0.4);
        assert!((s.rate(60) - 0.2).abs() < 1e-6);
        assert!((10..109).all(|t| s.rate(t + 1) < s.rate(t)));
        assert!(s.rate(109) > 0.0);
        assert_eq!(s.rate(110), 0.0);
    }

    #[test]
    fn works_without_warm_up_and_with_nothing_else() {
        for decay in [Decay::Cosine, Decay::Linear, Decay::Constant] {
            let schedule = |warmup| Schedule { decay, peak: 1.0, warmup, total: 4 };
            assert_eq!(schedule(0).rate(0), 1.0);
            assert_eq!(schedule(4).rate(3), 1.0);
            assert_eq!(schedule(4).rate(4), 0.0);
        }
    }

    #[test]
    fn lines_fall_evenly_and_constants_do_not() {
        let rates = |decay| {
            let s = Schedule { decay, peak: 1.0, warmup: 0, total: 4 };
            [0, 1, 2, 3].map(|step| s.rate(step))
        };
        assert_eq!(rates(Decay::Linear), [1.0, 0.75, 0.5, 0.25]);
        assert_eq!(rates(Decay::Constant), [1.0; 4]);
    }

    /// `torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=20)`.
    #[test]
    fn a_cycle_is_pytorchs() {
        let s = Schedule { decay: Decay::OneCycle, peak: 0.2, warmup: 0, total: 20 };
        let expected = [
            (0, 0.008),
            (1, 0.0263344),
            (3, 0.1336656),
            (5, 0.2),
            (6, 0.1974928),
            (12, 0.1000004),
            (18, 0.002508),
        ];
        for (step, rate) in expected {
            assert!((s.rate(step) - rate).abs() < 1e-6, "{step}: {}, not {rate}", s.rate(step));
        }
        assert!((s.rate(19) - 8e-7).abs() < 1e-9 && s.rate(20) == 0.0);
        let warm = Schedule { warmup: 11, ..s };
        assert!((warm.rate(10) - 0.2).abs() < 1e-7);
    }
}
