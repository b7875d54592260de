//! How unlikely losses are if their mean is above a limit.
//!
//! Each number p here is valid for finitely many samples and whatever the distribution: if the mean is
//! the limit or more, p is `a` or less with a probability of at most `a`, for every `a`.

use super::binomial::{Binomial, upper_bound};

/// Of losses from 0 to 1 with the mean `mean` over `n` samples: the smaller of Hoeffding's (1963) and
/// Bentkus' (2004) bounds, as Bates et al. (arXiv:2101.02703) and Angelopoulos et al.
/// (arXiv:2110.01052) combine them.
pub fn hoeffding_bentkus(mean: f64, n: u64, limit: f64) -> f64 {
    if mean >= limit || n == 0 {
        return 1.0;
    }
    let hoeffding = libm::exp(-(n as f64) * divergence(mean, limit));
    let bentkus = Binomial { n, p: limit }.at_most(libm::ceil(n as f64 * mean) as u64);
    hoeffding.min(std::f64::consts::E * bentkus).min(1.0)
}

/// Kullback and Leibler's divergence of two coins.
fn divergence(a: f64, b: f64) -> f64 {
    let term = |a: f64, b: f64| if a > 0.0 { a * libm::log(a / b) } else { 0.0 };
    term(a, b) + term(1.0 - a, 1.0 - b)
}

/// Of losses that are 0 or 1, `losses` of them 1: the binomial tail, which is exact.
pub fn exact(losses: u64, n: u64, limit: f64) -> f64 {
    Binomial { n, p: limit }.at_most(losses)
}

/// Of losses that are 1 (`worse` of them), -1 (`better`) or 0, as differences of right answers are.
///
/// Let a loss differ from 0 with probability d. If the mean is `limit`, 1 has (d + limit) / 2 and -1
/// (d - limit) / 2, and S, the sum of all losses, is for d up to 1/2 distributed as B - F, two
/// independent binomials: 1 - q + q x with both roots of q^2 - (1 + limit) q + (d + limit) / 2 give the
/// same polynomial. The probability of S or less then grows with d while S lies more than one below
/// its mean (the mode of a sum of coins is nowhere else, Darroch 1964), and falls with the mean. So
/// the largest d that is likely, with all but `spare` of probability, bounds it: Berger and Boos
/// (1994). What Bentkus' inequality would pay for losses in [-1, 1] is saved, which is much where
/// models mostly agree.
pub fn paired(worse: u64, better: u64, n: u64, limit: f64, spare: f64) -> f64 {
    let sum = worse as f64 - better as f64;
    if n == 0 || sum > (n - 1) as f64 * limit - 2.0 {
        return 1.0;
    }
    let differ = upper_bound(worse + better, n, spare);
    if differ < limit {
        // A mean of the limit needs as many differences.
        return spare;
    }
    if differ > 0.5 {
        // Where this is small the exact probability is smaller still, so that choosing costs nothing more.
        let mean = 0.5 * (sum / n as f64 + 1.0);
        return (spare + hoeffding_bentkus(mean, n, 0.5 * (limit + 1.0))).min(1.0);
    }
    let half = 0.5 * (1.0 + limit);
    let apart = libm::sqrt(half * half - 0.5 * (differ + limit));
    // The smaller root without cancellation.
    let q = 0.5 * (differ + limit) / (half + apart);
    let (gains, losses) = (Binomial { n, p: (1.0 - half - apart).max(0.0) }, Binomial { n, p: q });
    (spare + difference_at_most(losses, gains, sum as i64)).min(1.0)
}

/// Probability that `a - b` is `sum` or less.
fn difference_at_most(a: Binomial, b: Binomial, sum: i64) -> f64 {
    let mean = b.n as f64 * b.p;
    let reach = 12.0 * libm::sqrt(mean) + 60.0;
    let first = (libm::floor(mean - reach).max(0.0) as i64).max(-sum) as u64;
    let last = (libm::ceil(mean + reach) as u64).min(b.n);
    // What lies beyond counts as if it were there.
    let mut total = if last < b.n { 1.0 - b.at_most(last) } else { 0.0 };
    if first > last {
        return total;
    }
    let at = |value: u64| (sum + value as i64).max(0) as u64;
    let (mut mass, mut below) = (b.mass(first), a.at_most(at(first)));
    let mut next = a.mass(at(first));
    let [odds_a, odds_b] = [a, b].map(|x| x.p / (1.0 - x.p));
    for value in first..=last {
        total += mass * below;
        mass *= (b.n - value) as f64 * odds_b / (value + 1) as f64;
        let k = at(value);
        next *= a.n.saturating_sub(k) as f64 * odds_a / (k + 1) as f64;
        below = (below + next).min(1.0);
    }
    total
}

/// Of losses in `range` in the order of their drawing: one over the most that bets against the limit
/// have made of 1. See [`Bets`].
pub fn betting(losses: impl IntoIterator<Item = f64>, range: [f64; 2], limit: f64) -> f64 {
    let mut bets = Bets::new(range, limit);
    let most = losses.into_iter().map(|loss| bets.observe(loss)).fold(1.0, f64::max);
    1.0 / most
}

/// Shares of the largest possible stake that are bet at once, with a wealth of their own each: which is
/// best depends on how often losses occur, which nobody knows beforehand.
const STAKES: usize = 24;

/// Bets that the mean of what comes is below a limit, or above it: as long as it is not, the wealth
/// exceeds 1/a with a probability of at most a, at whatever time one looks (Ville 1939). After Waudby-Smith
/// and Ramdas (arXiv:2010.09686), with a geometric mixture of constant stakes instead of adapted ones.
#[derive(Clone, Debug)]
pub struct Bets {
    range: [f64; 2],
    limit: f64,
    /// The stake of each part, and what it has become.
    parts: Vec<[f64; 2]>,
}

impl Bets {
    /// Bets that losses in `range` have a mean below `limit`.
    pub fn new(range: [f64; 2], limit: f64) -> Bets {
        // With more than this the wealth could become negative.
        let most = 1.0 / (range[1] - limit);
        let stake = |part: usize| most * 0.99 * libm::exp2(-(part as f64) / 3.0);
        let parts = (0..STAKES).map(|part| [stake(part), 1.0]).collect();
        Bets { range, limit, parts }
    }

    /// The wealth after one more loss.
    pub fn observe(&mut self, loss: f64) -> f64 {
        let [low, high] = self.range;
        // What is no number counts as the worst.
        let loss = if loss.is_nan() { high } else { loss.clamp(low, high) };
        let mut sum = 0.0;
        for [stake, wealth] in &mut self.parts {
            *wealth *= 1.0 + *stake * (self.limit - loss);
            sum += *wealth;
        }
        sum / STAKES as f64
    }
}
