//! The predictor of all costs.

use super::Context;
use super::lessons::Lessons;
use crate::pareto::Standing;
use crate::regress::{Boosted, Boosting, Gaussian};
use crate::space::Genome;

/// For each cost an ensemble of trees and a Gaussian process, which err differently: what one member
/// says is the mean of its trees and the process.
pub struct Models<'a> {
    lessons: Lessons<'a>,
    axes: Vec<(Boosted, Gaussian)>,
    members: usize,
}

impl<'a> Models<'a> {
    /// Learns from nets and what they are judged by, at least one.
    pub fn fit(context: &Context<'a>, judged: &[(&Genome, &Standing)]) -> Models<'a> {
        let lessons = Lessons::new(context, judged);
        let boosting = Boosting::default();
        let (binning, rows) = (&lessons.binning, &lessons.rows);
        let fit = |(axis, (_, targets)): (usize, &(_, Vec<f64>))| {
            let seed = context.rng(context.next_trial()).next_u64() ^ axis as u64;
            let trees = Boosted::fit(binning, rows, targets, boosting, seed);
            (trees, Gaussian::fit(binning, rows, targets))
        };
        let axes = lessons.axes.iter().enumerate().map(fit).collect();
        Models { lessons, axes, members: boosting.members }
    }

    /// The costs of a net as each member of the ensemble sees them.
    pub fn members(&self, genome: &Genome) -> Vec<Vec<f64>> {
        let row = self.lessons.row(genome);
        let mut members = vec![Vec::with_capacity(self.axes.len()); self.members];
        let known = self.lessons.known(genome);
        for (index, (trees, process)) in self.axes.iter().enumerate() {
            if let Some(cost) = known[index] {
                members.iter_mut().for_each(|costs| costs.push(cost));
                continue;
            }
            let (scale, mean) = (&self.lessons.axes[index].0, process.mean(&row));
            for (costs, said) in members.iter_mut().zip(trees.predict(&row)) {
                costs.push(scale.grow((said + mean) / 2.0));
            }
        }
        members
    }

    /// The costs of a net as all members together see them.
    pub fn mean(&self, genome: &Genome) -> Vec<f64> {
        let members = self.members(genome);
        let mean = |axis: usize| {
            members.iter().map(|costs| costs[axis]).sum::<f64>() / members.len() as f64
        };
        (0..self.axes.len()).map(mean).collect()
    }
}
