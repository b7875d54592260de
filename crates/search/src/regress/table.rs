//! Rows of a predictor, each column in a few bins.

use crate::space::{Genome, Space};

/// Most bins of a column of numbers.
const NUMBER_BINS: usize = 16;

/// A column: what its bins mean.
#[derive(Clone, Debug)]
enum Column {
    /// The choice of a gene; one more bin where it may be inactive, the last.
    Gene { choices: usize, conditional: bool, ordered: bool },
    /// A number: the bin is how many of these edges are below it.
    Number { edges: Vec<f64> },
}

/// How nets become rows of bins, which is all that trees look at.
#[derive(Clone, Debug)]
pub struct Binning {
    columns: Vec<Column>,
}

/// A net, as its bin in each column.
pub type Row = Vec<u16>;

impl Binning {
    /// A column for each gene of `space`, and one for each of the further numbers, of which `numbers`
    /// has some rows: their quantiles are the edges.
    pub fn new(space: &Space, numbers: &[Vec<f64>]) -> Binning {
        let gene = |gene: &crate::space::Gene| Column::Gene {
            choices: gene.choices.len(),
            conditional: !gene.when.is_empty(),
            ordered: gene.ordered,
        };
        let mut columns: Vec<Column> = space.genes().iter().map(gene).collect();
        let width = numbers.first().map_or(0, Vec::len);
        columns.extend((0..width).map(|k| {
            let mut values: Vec<f64> = numbers.iter().map(|row| row[k]).collect();
            values.sort_by(f64::total_cmp);
            values.dedup();
            let inner = 1..NUMBER_BINS.min(values.len());
            let bins = inner.end;
            let edge = |b: usize| {
                let at = b * values.len() / bins;
                (values[at - 1] + values[at]) / 2.0
            };
            Column::Number { edges: inner.map(edge).collect() }
        }));
        Binning { columns }
    }

    /// The row of a net with its further numbers.
    pub fn row(&self, space: &Space, genome: &Genome, numbers: &[f64]) -> Row {
        let active = space.active(genome);
        let genes = space.genes().iter().zip(genome.choices()).zip(active);
        let gene = |((gene, &choice), active): ((&crate::space::Gene, &u16), bool)| match active {
            true => choice,
            false => gene.choices.len() as u16,
        };
        let number = |(column, x): (&Column, &f64)| match column {
            Column::Number { edges } => edges.partition_point(|edge| edge < x) as u16,
            Column::Gene { .. } => 0,
        };
        let rest = self.columns[space.genes().len()..].iter().zip(numbers);
        genes.map(gene).chain(rest.map(number)).collect()
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns.len()
    }

    /// Bins of a column.
    pub fn bins(&self, column: usize) -> usize {
        match &self.columns[column] {
            Column::Gene { choices, conditional, .. } => choices + usize::from(*conditional),
            Column::Number { edges } => edges.len() + 1,
        }
    }

    /// Whether neighbouring bins are alike.
    pub fn is_ordered(&self, column: usize) -> bool {
        match &self.columns[column] {
            Column::Gene { ordered, .. } => *ordered,
            Column::Number { .. } => true,
        }
    }

    /// How far two rows are apart: the sum over columns of 1 where they differ, or of the part of the
    /// range by which ordered ones do. Where one is inactive, they differ.
    pub fn distance(&self, a: &[u16], b: &[u16]) -> f64 {
        let columns = self.columns.iter().zip(a.iter().zip(b)).filter(|(_, (x, y))| x != y);
        let apart = |(column, (&x, &y)): (&Column, (&u16, &u16))| match column {
            Column::Gene { ordered: true, choices, .. } if usize::from(x.max(y)) < *choices => {
                f64::from(x.abs_diff(y)) / (*choices - 1) as f64
            }
            Column::Gene { .. } => 1.0,
            Column::Number { edges } => f64::from(x.abs_diff(y)) / edges.len() as f64,
        };
        columns.map(apart).sum()
    }
}
