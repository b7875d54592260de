//! The predictor of all costs.

use super::Context;
use super::scale::Scale;
use crate::pareto::Standing;
use crate::regress::{Binning, Boosted, Boosting};
use crate::space::Genome;

/// An ensemble for each objective that is not known without evaluation.
pub struct Models<'a> {
    context: Context<'a>,
    binning: Binning,
    axes: Vec<(Scale, Boosted)>,
    members: usize,
}

impl<'a> Models<'a> {
    /// Learns from nets and what they are judged by, at least one.
    pub fn fit(context: &Context<'a>, judged: &[(&Genome, &Standing)]) -> Models<'a> {
        let problem = context.problem;
        let boosting = Boosting::default();
        let numbers: Vec<Vec<f64>> = judged.iter().map(|(g, _)| problem.features(g)).collect();
        let binning = Binning::new(problem.space(), &numbers);
        let nets = judged.iter().zip(&numbers);
        let rows: Vec<_> = nets.map(|((g, _), n)| binning.row(problem.space(), g, n)).collect();
        let axis = |axis: usize| {
            let costs: Vec<f64> = judged.iter().map(|(_, s)| s.costs[axis]).collect();
            let scale = Scale::of(&costs);
            let targets: Vec<f64> = costs.iter().map(|&c| scale.shrink(c)).collect();
            let seed = context.rng(context.next_trial()).next_u64() ^ axis as u64;
            (scale, Boosted::fit(&binning, &rows, &targets, boosting, seed))
        };
        let axes = (0..problem.objectives().len()).map(axis).collect();
        Models { context: *context, binning, axes, members: boosting.members }
    }

    /// What each member of the ensemble says of a net: its costs.
    pub fn members(&self, genome: &Genome) -> Vec<Vec<f64>> {
        let problem = self.context.problem;
        let numbers = problem.features(genome);
        let row = self.binning.row(problem.space(), genome, &numbers);
        let known = problem.known(genome);
        let mut members = vec![Vec::with_capacity(self.axes.len()); self.members];
        for (index, (scale, model)) in self.axes.iter().enumerate() {
            let cost = known.get(index).copied().flatten();
            let cost = cost.map(|value| problem.objectives()[index].cost(value));
            match cost {
                Some(cost) => members.iter_mut().for_each(|m| m.push(cost)),
                None => {
                    let said = model.predict(&row);
                    members.iter_mut().zip(said).for_each(|(m, x)| m.push(scale.grow(x)));
                }
            }
        }
        members
    }

    /// The mean of what all members say.
    pub fn mean(&self, genome: &Genome) -> Vec<f64> {
        let members = self.members(genome);
        let mean = |axis: usize| {
            members.iter().map(|costs| costs[axis]).sum::<f64>() / members.len() as f64
        };
        (0..self.axes.len()).map(mean).collect()
    }
}
