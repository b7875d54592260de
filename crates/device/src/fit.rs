//! From the sum of steps to a whole run.

use serde::{Deserialize, Serialize};

use crate::Whole;

/// Share of networks whose run lies within the interval.
const COVERAGE: f64 = 0.9;

/// How runs of whole networks relate to the sums that were predicted for them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// Run over sum: the median over networks, each predicted from the others.
    pub factor: f64,
    /// Nine of ten runs lie between prediction over spread and prediction times spread (split
    /// conformal prediction on logarithms; Lei et al. 2018, arXiv:1604.04173).
    pub spread: f64,
    /// Networks that it comes from.
    pub nets: usize,
}

impl Default for Fit {
    fn default() -> Fit {
        Fit { factor: 1.0, spread: 1.0, nets: 0 }
    }
}

impl Fit {
    /// Of the networks that could be predicted from others.
    pub fn of(nets: &[Whole]) -> Fit {
        let ratio = |net: &Whole| net.predicted_us.map(|us| (net.us / us).ln());
        let mut logs: Vec<f64> = nets.iter().filter_map(ratio).filter(|r| r.is_finite()).collect();
        if logs.is_empty() {
            return Fit::default();
        }
        logs.sort_by(f64::total_cmp);
        let middle = logs[logs.len() / 2];
        let mut errors: Vec<f64> = logs.iter().map(|r| (r - middle).abs()).collect();
        errors.sort_by(f64::total_cmp);
        // The conformal rank: with n residuals the next one is below the k-th with chance k / (n + 1).
        let rank = (COVERAGE * (errors.len() + 1) as f64).ceil() as usize;
        let widest = errors[rank.min(errors.len()) - 1];
        Fit { factor: middle.exp(), spread: widest.exp(), nets: logs.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_of_ten_lie_within_the_spread() {
        let net = |ratio: f64| Whole {
            name: String::new(),
            resident: true,
            steps: 1,
            us: 100.0 * ratio,
            predicted_us: Some(100.0),
        };
        let ratios = [1.0, 1.0, 1.0, 1.0, 1.1, 0.9, 1.0, 1.05, 2.0];
        let fit = Fit::of(&ratios.map(net));
        assert_eq!((fit.factor, fit.nets), (1.0, 9));
        assert!((fit.spread - 2.0).abs() < 1e-9, "rank 9 of 9: {}", fit.spread);
        assert_eq!(Fit::of(&[]), Fit::default());
    }
}
