//! An ensemble of boosted trees.

use edgecut_graph::rng::Rng;

use super::table::{Binning, Row};
use super::tree::{Growth, Sample, Tree};

/// How an ensemble is trained.
#[derive(Clone, Copy, Debug)]
pub struct Boosting {
    /// Independent members, whose spread is the uncertainty.
    pub members: usize,
    /// Trees of each.
    pub rounds: usize,
    /// Part of a tree's values that is added.
    pub rate: f64,
    /// How each tree grows.
    pub growth: Growth,
}

impl Default for Boosting {
    fn default() -> Boosting {
        let growth = Growth { depth: 4, leaf: 2, columns: 0.7 };
        Boosting { members: 8, rounds: 32, rate: 0.2, growth }
    }
}

/// Gradient boosting of the squared error (Friedman 2001), several times on other samples.
#[derive(Clone, Debug)]
pub struct Boosted {
    mean: f64,
    rate: f64,
    members: Vec<Vec<Tree>>,
}

impl Boosted {
    /// Trains on `rows` and their `targets`, of which there are as many.
    pub fn fit(
        binning: &Binning,
        rows: &[Row],
        targets: &[f64],
        boosting: Boosting,
        seed: u64,
    ) -> Boosted {
        let mean = targets.iter().sum::<f64>() / targets.len().max(1) as f64;
        let member = |index: usize| {
            let mut rng = Rng::keyed(&[seed, index as u64]);
            let mut left: Vec<f64> = targets.iter().map(|t| t - mean).collect();
            let mut trees = vec![];
            for _ in 0..boosting.rounds {
                // A tree sees three quarters of the rows (stochastic gradient boosting).
                let mut drawn: Vec<usize> = (0..rows.len()).collect();
                rng.shuffle(&mut drawn);
                drawn.truncate((rows.len() * 3).div_ceil(4));
                let sample = Sample { binning, rows, targets: &left, growth: boosting.growth };
                let tree = Tree::grow(&sample, &mut drawn, &mut rng);
                for (left, row) in left.iter_mut().zip(rows) {
                    *left -= boosting.rate * tree.predict(row);
                }
                trees.push(tree);
            }
            trees
        };
        let members = (0..boosting.members).map(member).collect();
        Boosted { mean, rate: boosting.rate, members }
    }

    /// What each member predicts.
    pub fn predict(&self, row: &[u16]) -> Vec<f64> {
        let sum = |trees: &Vec<Tree>| trees.iter().map(|tree| tree.predict(row)).sum::<f64>();
        self.members.iter().map(|trees| self.mean + self.rate * sum(trees)).collect()
    }
}
