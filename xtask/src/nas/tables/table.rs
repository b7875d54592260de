//! A table of nets as a problem.

use std::collections::HashMap;

use edgecut_search::{Genome, Objective, Problem, Proposal, Space};

/// Nets of which all objectives are known.
pub struct Table {
    /// The space, of which every genome is in the table.
    pub space: Space,
    /// What the nets are judged by.
    pub objectives: Vec<Objective>,
    /// Which of them are known without evaluation.
    pub known: Vec<bool>,
    /// Place of each net.
    pub places: HashMap<Genome, usize>,
    /// The objectives of each net.
    pub values: Vec<Vec<f64>>,
}

impl Table {
    /// All costs, smaller is better.
    pub fn costs(&self) -> Vec<Vec<f64>> {
        let costs = |values: &Vec<f64>| self.costs_of(values);
        self.values.iter().map(costs).collect()
    }

    /// The costs of one net's values.
    pub fn costs_of(&self, values: &[f64]) -> Vec<f64> {
        self.objectives.iter().zip(values).map(|(o, &v)| o.cost(v)).collect()
    }
}

impl Problem for Table {
    fn space(&self) -> &Space {
        &self.space
    }

    fn objectives(&self) -> &[Objective] {
        &self.objectives
    }

    fn known(&self, genome: &Genome) -> Vec<Option<f64>> {
        let value = |axis: usize| {
            let place = self.places.get(genome).filter(|_| self.known[axis]);
            place.map(|&place| self.values[place][axis])
        };
        (0..self.objectives.len()).map(value).collect()
    }

    fn evaluate(&self, proposal: &Proposal, _: usize) -> Result<Vec<f64>, String> {
        let place = self.places.get(&proposal.genome).ok_or("is not in the table")?;
        Ok(self.values[*place].clone())
    }
}
