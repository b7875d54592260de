//! Genomes as numbers, for predictors.

use super::{Genome, Space};

impl Space {
    /// The genome as numbers in 0..=1: an unordered gene is one column for each choice, an ordered one
    /// its place between first and last choice. A gene with conditions has a column that says whether
    /// it is active; where not, all its columns are 0.
    pub fn features(&self, genome: &Genome) -> Vec<f64> {
        let mut columns = Vec::with_capacity(self.genes.len() * 4);
        let activity = self.active(genome);
        for (index, gene) in self.genes.iter().enumerate() {
            let choice = usize::from(genome.0[index]);
            let active = activity[index];
            if !gene.when.is_empty() {
                columns.push(f64::from(active));
            }
            match gene.choices.len() {
                1 => {}
                count if gene.ordered => {
                    columns.push(if active { choice as f64 / (count - 1) as f64 } else { 0.0 });
                }
                count => columns.extend((0..count).map(|c| f64::from(active && c == choice))),
            }
        }
        columns
    }

    /// The gene of each column of [`Space::features`].
    pub fn feature_genes(&self) -> Vec<usize> {
        let columns = |gene: &super::Gene| {
            let choices = match gene.choices.len() {
                1 => 0,
                count => {
                    if gene.ordered {
                        1
                    } else {
                        count
                    }
                }
            };
            choices + usize::from(!gene.when.is_empty())
        };
        let genes = self.genes.iter().enumerate();
        genes.flat_map(|(index, gene)| std::iter::repeat_n(index, columns(gene))).collect()
    }
}
