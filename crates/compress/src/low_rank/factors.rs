//! A matrix as a product of two thinner ones.

use super::Form;
use super::eigen::{dot, symmetric};

/// Eigenvalues below this share of the largest are rounding.
const NOISE: f64 = 1e-15;

/// The singular value decomposition of the weights of a layer.
pub(super) struct Factors {
    pub outputs: usize,
    pub inputs: usize,
    by_output: bool,
    /// Whether outputs are the shorter side.
    outputs_are_short: bool,
    /// Squared singular values, descending, of as many as are not rounding.
    squares: Vec<f64>,
    /// All of the matrix, squared.
    total: f64,
    /// For each, the singular vector on the shorter side, and on the longer one times the singular
    /// value.
    short: Vec<Vec<f64>>,
    long: Vec<Vec<f64>>,
}

/// The two layers in place of one, each as its tensor.
pub(super) struct Cut {
    pub rank: usize,
    /// `[rank, inputs]`, or `[inputs, rank]` where the weights were.
    pub first: Vec<f32>,
    /// `[outputs, rank]`, or `[rank, outputs]`.
    pub second: Vec<f32>,
}

impl Factors {
    /// Of `weights` in this form; `None` where they are not finite.
    pub fn of(weights: &[f32], form: Form) -> Option<Factors> {
        let Form { outputs, inputs, by_output } = form;
        let outputs_are_short = outputs <= inputs;
        let (n, m) = (outputs.min(inputs), outputs.max(inputs));
        // Element j of the longer side in row i of the shorter one.
        let at = |i: usize, j: usize| match outputs_are_short == by_output {
            true => i * m + j,
            false => j * n + i,
        };
        let side = |i| (0..m).map(|j| f64::from(weights[at(i, j)])).collect();
        let sides: Vec<Vec<f64>> = (0..n).map(side).collect();
        let mut gram = vec![0.0; n * n];
        for (i, a) in sides.iter().enumerate() {
            for (j, b) in sides[..=i].iter().enumerate() {
                let product = dot(a, b);
                (gram[i * n + j], gram[j * n + i]) = (product, product);
            }
        }
        let total = sides.iter().map(|side| dot(side, side)).sum();
        let (mut squares, mut short) = symmetric(gram, n)?;
        let least = NOISE * squares.first().copied().unwrap_or(0.0);
        let rank = squares.iter().take_while(|&&square| square > least).count();
        squares.truncate(rank);
        short.truncate(rank);
        let long = short.iter().map(|vector| combine(&sides, vector, m)).collect();
        Some(Factors { outputs, inputs, by_output, outputs_are_short, squares, total, short, long })
    }

    /// The least rank that keeps this share of energy, where two layers of it are cheaper than one.
    pub fn rank(&self, energy: f64) -> Option<usize> {
        let mut kept = 0.0;
        let enough = |square: &f64| {
            kept += square;
            kept >= energy * self.total
        };
        let rank = self.squares.iter().position(enough)? + 1;
        (rank * (self.outputs + self.inputs) < self.outputs * self.inputs).then_some(rank)
    }

    /// Weights fewer in two layers of this rank.
    pub fn saves(&self, rank: usize) -> usize {
        (self.outputs * self.inputs).saturating_sub(rank * (self.outputs + self.inputs))
    }

    /// The share of energy that this rank keeps.
    pub fn energy(&self, rank: usize) -> f64 {
        self.squares.iter().take(rank).sum::<f64>() / self.total
    }

    /// Two layers of this rank, or of less where the matrix has less. The channels between them are as
    /// large as inputs and outputs are: singular values are shared out as their roots, so that no side is
    /// harder to quantise.
    pub fn cut(&self, rank: usize) -> Cut {
        let rank = rank.min(self.squares.len());
        let root: Vec<f64> = self.squares[..rank].iter().map(|square| square.powf(0.25)).collect();
        let scaled = |vectors: &[Vec<f64>], scale: fn(f64) -> f64| -> Vec<Vec<f32>> {
            let one = |(vector, &root): (&Vec<f64>, &f64)| {
                vector.iter().map(|x| (x * scale(root)) as f32).collect()
            };
            vectors.iter().zip(&root).map(one).collect()
        };
        let short = scaled(&self.short, |root| root);
        let long = scaled(&self.long, |root| root.recip());
        let (of_outputs, of_inputs) = match self.outputs_are_short {
            true => (short, long),
            false => (long, short),
        };
        let (first, second) = match self.by_output {
            true => (of_inputs.concat(), by_element(&of_outputs, self.outputs)),
            false => (by_element(&of_inputs, self.inputs), of_outputs.concat()),
        };
        Cut { rank, first, second }
    }
}

/// The sum of `rows`, each times its element of `shares`.
fn combine(rows: &[Vec<f64>], shares: &[f64], len: usize) -> Vec<f64> {
    let mut sum = vec![0.0; len];
    for (row, share) in rows.iter().zip(shares) {
        sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += share * x);
    }
    sum
}

/// The first elements of all vectors, then the second ones, up to `len`.
fn by_element(vectors: &[Vec<f32>], len: usize) -> Vec<f32> {
    (0..len).flat_map(|i| vectors.iter().map(move |vector| vector[i])).collect()
}
