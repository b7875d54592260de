//! What there is to learn from, in the form in which predictors take it.

use super::Context;
use super::scale::Scale;
use crate::pareto::Standing;
use crate::regress::{Binning, Row};
use crate::space::Genome;

/// Evaluated nets as rows, and their costs on scales.
pub struct Lessons<'a> {
    context: Context<'a>,
    /// What the bins of a row mean.
    pub binning: Binning,
    /// A row for each net.
    pub rows: Vec<Row>,
    /// For each objective the scale of its cost, and each net's place on it.
    pub axes: Vec<(Scale, Vec<f64>)>,
}

impl<'a> Lessons<'a> {
    /// From nets and what they are judged by, at least one.
    pub fn new(context: &Context<'a>, judged: &[(&Genome, &Standing)]) -> Lessons<'a> {
        let problem = context.problem;
        let numbers: Vec<Vec<f64>> = judged.iter().map(|(g, _)| problem.features(g)).collect();
        let binning = Binning::new(problem.space(), &numbers);
        let nets = judged.iter().zip(&numbers);
        let rows = nets.map(|((g, _), n)| binning.row(problem.space(), g, n)).collect();
        let axis = |axis: usize| {
            let costs: Vec<f64> = judged.iter().map(|(_, s)| s.costs[axis]).collect();
            let scale = Scale::of(&costs);
            (scale, costs.into_iter().map(|cost| scale.shrink(cost)).collect())
        };
        let axes = (0..problem.objectives().len()).map(axis).collect();
        Lessons { context: *context, binning, rows, axes }
    }

    /// A net as a row.
    pub fn row(&self, genome: &Genome) -> Row {
        let problem = self.context.problem;
        self.binning.row(problem.space(), genome, &problem.features(genome))
    }

    /// The costs that are known without evaluation.
    pub fn known(&self, genome: &Genome) -> Vec<Option<f64>> {
        let problem = self.context.problem;
        let mut known = problem.known(genome);
        known.resize(self.axes.len(), None);
        let pairs = known.into_iter().zip(problem.objectives());
        pairs.map(|(value, objective)| value.map(|v| objective.cost(v))).collect()
    }
}
