//! The binomial distribution, to the last digits in both tails.

/// Terms below this share of the largest change no sum.
const NEGLIGIBLE: f64 = 1e-20;

/// Steps of a bisection: to some 1e-13.
const STEPS: usize = 44;

/// The number of successes in `n` independent trials of probability `p`.
#[derive(Clone, Copy, Debug)]
pub struct Binomial {
    /// Trials.
    pub n: u64,
    /// Probability of each, 0 to 1.
    pub p: f64,
}

impl Binomial {
    /// Probability of exactly `k`.
    pub fn mass(&self, k: u64) -> f64 {
        let Binomial { n, p } = *self;
        if k > n {
            return 0.0;
        }
        // The logarithms below are infinite here.
        if p <= 0.0 || p >= 1.0 {
            return f64::from(u8::from(k == if p <= 0.0 { 0 } else { n }));
        }
        let factorial = |k: u64| libm::lgamma(k as f64 + 1.0);
        let ways = factorial(n) - factorial(k) - factorial(n - k);
        libm::exp(ways + k as f64 * libm::log(p) + (n - k) as f64 * libm::log1p(-p))
    }

    /// Probability of `k` or less: the terms of the tail that ends sooner, each from the one before.
    pub fn at_most(&self, k: u64) -> f64 {
        let Binomial { n, p } = *self;
        if k >= n || p <= 0.0 {
            return 1.0;
        }
        if p >= 1.0 {
            return 0.0;
        }
        let odds = p / (1.0 - p);
        match (k as f64) < n as f64 * p {
            true => {
                let ratio = |j: u64| j as f64 / ((n - j + 1) as f64 * odds);
                tail(self.mass(k), (1..=k).rev().map(ratio))
            }
            false => {
                let ratio = |j: u64| (n - j + 1) as f64 * odds / j as f64;
                1.0 - tail(self.mass(k + 1), (k + 2..=n).map(ratio))
            }
        }
    }
}

/// `first` and what follows, each term a ratio of the one before.
fn tail(first: f64, ratios: impl Iterator<Item = f64>) -> f64 {
    let (mut term, mut sum) = (first, first);
    for ratio in ratios {
        term *= ratio;
        sum += term;
        if term <= NEGLIGIBLE * sum {
            break;
        }
    }
    sum.min(1.0)
}

/// The largest probability of which `k` or fewer successes of `n` are not rarer than `alpha`: above it
/// lies the true one with a probability of at most `alpha` (Clopper and Pearson 1934).
pub fn upper_bound(k: u64, n: u64, alpha: f64) -> f64 {
    if k >= n {
        return 1.0;
    }
    let (mut low, mut high) = (k as f64 / n as f64, 1.0);
    for _ in 0..STEPS {
        let p = 0.5 * (low + high);
        match (Binomial { n, p }).at_most(k) > alpha {
            true => low = p,
            false => high = p,
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_exact_fractions() {
        // 7 of 20 fair coins or fewer: 137980 of 2^20 outcomes.
        let coins = Binomial { n: 20, p: 0.5 };
        assert!((coins.at_most(7) - 137_980.0 / 1_048_576.0).abs() < 1e-14);
        assert!((coins.mass(7) - 77_520.0 / 1_048_576.0).abs() < 1e-14);
        // Nothing in n trials: (1 - p)^n, also where that is far from 1.
        let rare = Binomial { n: 100_000, p: 1e-3 };
        assert!((rare.at_most(0) / (-100_050.033_358_353_f64 / 1000.0).exp() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn both_tails_are_one() {
        for (n, p) in [(1, 0.3), (50, 0.02), (1000, 0.9), (20_000, 0.011)] {
            let (this, other) = (Binomial { n, p }, Binomial { n, p: 1.0 - p });
            for k in [0, n / 100, n / 50, n / 10, n / 2, n - 1] {
                let sum = this.at_most(k) + other.at_most(n - k - 1);
                assert!((sum - 1.0).abs() < 1e-10, "{n} {p} {k}: {sum}");
            }
            assert_eq!(this.at_most(n), 1.0);
        }
        assert_eq!(Binomial { n: 5, p: 0.0 }.at_most(0), 1.0);
        assert_eq!(Binomial { n: 5, p: 1.0 }.at_most(4), 0.0);
    }

    #[test]
    fn bounds_are_the_published_ones() {
        // No success in 10 trials: 1 - alpha^(1/10). One in 10, alpha 0.025: 0.4450.
        assert!((upper_bound(0, 10, 0.05) - (1.0 - 0.05f64.powf(0.1))).abs() < 1e-12);
        assert!((upper_bound(1, 10, 0.025) - 0.4450).abs() < 5e-5);
        assert_eq!(upper_bound(10, 10, 0.05), 1.0);
    }
}
