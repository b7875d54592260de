//! How sure a model is of its answer.

use serde::{Deserialize, Serialize};

/// A confidence from 0 to 1, of the probabilities of a model's classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// The largest one.
    Max,
    /// The largest less the second.
    Margin,
    /// One less the entropy, as a share of that of a model that knows nothing.
    Entropy,
}

impl Score {
    /// The confidence of `outputs`: probabilities where `distribution` says so, else logits, of which
    /// softmax makes some. 0 where they are not finite.
    pub fn of(self, outputs: &[f32], distribution: bool) -> f64 {
        let probabilities: Vec<f64> = match distribution {
            true => outputs.iter().map(|&p| f64::from(p)).collect(),
            false => softmax(outputs),
        };
        // Without this what is no number would add nothing to the entropy, and be certain.
        if probabilities.is_empty() || probabilities.iter().any(|p| !p.is_finite()) {
            return 0.0;
        }
        let largest = |skip: Option<usize>| {
            let kept = probabilities.iter().enumerate().filter(|(i, _)| Some(*i) != skip);
            kept.max_by(|a, b| a.1.total_cmp(b.1)).map_or((None, 0.0), |(i, &p)| (Some(i), p))
        };
        let score = match self {
            Score::Max => largest(None).1,
            Score::Margin => {
                let (best, first) = largest(None);
                first - largest(best).1
            }
            Score::Entropy => {
                let terms = probabilities.iter().filter(|p| **p > 0.0);
                let entropy: f64 = terms.map(|&p| -p * libm::log(p)).sum();
                let most = libm::log(probabilities.len().max(2) as f64);
                1.0 - entropy / most
            }
        };
        score.clamp(0.0, 1.0)
    }
}

fn softmax(logits: &[f32]) -> Vec<f64> {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let power = |&x: &f32| libm::exp(f64::from(x) - f64::from(highest));
    let sum: f64 = logits.iter().map(power).sum();
    logits.iter().map(|x| power(x) / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_their_definitions() {
        let p = [0.7f32, 0.1, 0.2];
        let logits = p.map(|p| p.ln() + 3.0);
        let entropy =
            1.0 + p.iter().map(|&p| f64::from(p) * f64::from(p).ln()).sum::<f64>() / 3f64.ln();
        for (score, expected) in
            [(Score::Max, 0.7), (Score::Margin, 0.5), (Score::Entropy, entropy)]
        {
            assert!((score.of(&p, true) - expected).abs() < 1e-6, "{score:?}");
            assert!((score.of(&logits, false) - expected).abs() < 1e-6, "{score:?}");
        }
    }

    #[test]
    fn strange_outputs_are_no_confidence() {
        for score in [Score::Max, Score::Margin, Score::Entropy] {
            for outputs in
                [&[][..], &[f32::NAN, 1.0], &[f32::INFINITY, 0.0], &[f32::NEG_INFINITY; 2]]
            {
                assert_eq!(score.of(outputs, false), 0.0, "{score:?} {outputs:?}");
            }
            assert!(score.of(&[1e30, -1e30], false) > 0.999);
            assert!((0.0..=1.0).contains(&score.of(&[7.0, -3.0], true)));
        }
    }
}
