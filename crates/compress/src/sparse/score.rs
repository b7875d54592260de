//! What a weight is worth.

use serde::{Deserialize, Serialize};

/// How the worth of weights follows from their values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Criterion {
    /// Its magnitude, in every layer alike.
    Magnitude,
    /// Its square over the sum of the squares in its layer that are not smaller: what it is worth
    /// once everything smaller is gone. So no layer dies, and layers need no shares of their own.
    #[default]
    Lamp,
}

impl Criterion {
    /// The worth of each of `weights`.
    pub(super) fn score(self, weights: &[f32]) -> Vec<f64> {
        match self {
            Criterion::Magnitude => weights.iter().map(|w| f64::from(w.abs())).collect(),
            Criterion::Lamp => lamp(weights),
        }
    }
}

fn lamp(weights: &[f32]) -> Vec<f64> {
    let square = |i: usize| f64::from(weights[i]) * f64::from(weights[i]);
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|&a, &b| weights[a].abs().total_cmp(&weights[b].abs()).then(a.cmp(&b)));
    let mut scores = vec![0.0; weights.len()];
    let mut above = 0.0;
    for &i in order.iter().rev() {
        above += square(i);
        if above > 0.0 {
            scores[i] = square(i) / above;
        }
    }
    scores
}
