//! The learning rate at each step: linear warm-up, then half a cosine down to zero
//! (Loshchilov and Hutter, SGDR, 2017, without restarts).
//!
//! The rate is a function of the step alone, so a resumed training needs no state, and its cosine
//! is computed here rather than by the platform's library, so that the bits do not depend on it.

/// A learning rate for every step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Largest rate, reached at the end of the warm-up.
    pub peak: f32,
    /// Steps of warm-up; the first has the rate `peak / warmup`.
    pub warmup: u64,
    /// Steps in all, warm-up included.
    pub total: u64,
}

impl Schedule {
    /// The rate of step `step`, counted from 0. Steps beyond the end have rate 0.
    pub fn rate(&self, step: u64) -> f32 {
        if step < self.warmup {
            return (f64::from(self.peak) * (step + 1) as f64 / self.warmup as f64) as f32;
        }
        if step >= self.total {
            return 0.0;
        }
        let done = (step - self.warmup) as f64 / (self.total - self.warmup) as f64;
        (f64::from(self.peak) * 0.5 * (1.0 + cos_pi(done))) as f32
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
        let s = Schedule { peak: 0.4, warmup: 10, total: 110 };
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
        assert_eq!(Schedule { peak: 1.0, warmup: 0, total: 4 }.rate(0), 1.0);
        assert_eq!(Schedule { peak: 1.0, warmup: 4, total: 4 }.rate(3), 1.0);
        assert_eq!(Schedule { peak: 1.0, warmup: 4, total: 4 }.rate(4), 0.0);
    }
}
