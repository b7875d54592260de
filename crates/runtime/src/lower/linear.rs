//! Matrix products with constant weights in float32.

use edgecut_graph::{Gemm, Node, Op, Tensor, ValueId};
use edgecut_kernels::gemm::PackedB;

use super::weights::transposed;
use super::{Effects, Lowering, count};
use crate::step::{self, Step};
use crate::{Result, layout};

/// A product of the rows of x and a constant matrix.
pub(super) struct Product {
    pub x: ValueId,
    pub weights: ValueId,
    pub rows: usize,
    pub k: usize,
    pub n: usize,
    /// Whether the weights are `[n, k]`.
    pub transposed: bool,
    pub alpha: f32,
    pub beta: f32,
}

impl Product {
    /// The dimension of the weights that output columns run along.
    pub fn column_axis(&self) -> usize {
        if self.transposed { 0 } else { 1 }
    }

    /// The weights as `[k, n]`.
    pub fn matrix<T: Copy>(&self, weights: &[T]) -> Vec<T> {
        if self.transposed { transposed(self.n, self.k, weights) } else { weights.to_vec() }
    }
}

impl Lowering<'_> {
    /// The product that a Gemm or MatMul is, where its rows are dense and its right side is a
    /// constant matrix.
    pub(super) fn product(&self, node: &Node) -> Result<Option<Product>> {
        let (x, weights) = (node.input(0)?, node.input(1)?);
        let (x_shape, w_shape) = (self.shape(x), self.shape(weights));
        let gemm = match &node.op {
            Op::Gemm(gemm) => *gemm,
            _ => Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: false },
        };
        let dense =
            layout::is_row_major(&x_shape) && layout::is_row_major(&self.shape(node.output()));
        if gemm.trans_a || w_shape.len() != 2 || !dense || !self.is_constant(weights) {
            return Ok(None);
        }
        let k = x_shape[x_shape.len() - 1];
        Ok(Some(Product {
            x,
            weights,
            rows: count(&x_shape) / k,
            k,
            n: w_shape[if gemm.trans_b { 0 } else { 1 }],
            transposed: gemm.trans_b,
            alpha: gemm.alpha,
            beta: gemm.beta,
        }))
    }

    /// A product with bias, residual add and clamp. Returns whether the node was lowered.
    pub(super) fn linear(&mut self, index: usize) -> Result<bool> {
        let node = &self.graph.nodes[index];
        let Some(product) = self.product(node)? else { return Ok(false) };
        let Some(addend) = self.optional_constant(node, 2)? else { return Ok(false) };
        let bias = match addend {
            None => None,
            Some(addend) => match row_bias(&addend, product.n)? {
                None => return Ok(false),
                Some(bias) => Some(bias.iter().map(|b| b * product.beta).collect()),
            },
        };
        let Some(weights) = self.constant(product.weights)? else { return Ok(false) };
        let scaled: Vec<f32> = weights.f32s()?.iter().map(|w| w * product.alpha).collect();
        let weights = PackedB::pack(product.k, product.n, &product.matrix(&scaled)).into();
        let x = self.stored(product.x)?;
        let ahead = self.ahead(node.output(), true);
        let (tail, mut reads) = self.tail(bias, ahead.residual, ahead.clamp)?;
        reads.push(x);
        self.take(&ahead.taken);
        let y = self.produce(ahead.out);
        let macs = product.rows * product.k * product.n;
        let step = step::Linear { x, y, rows: product.rows, weights, tail };
        let effects = Effects::new("linear", &reads, &[y]).macs(macs);
        self.emit(node, Step::Linear(Box::new(step)), effects);
        Ok(true)
    }
}

/// The value that `addend` adds to each of `n` columns, where it is the same for all rows.
pub(super) fn row_bias(addend: &Tensor, n: usize) -> Result<Option<Vec<f32>>> {
    let values = addend.f32s()?;
    let last = addend.shape().last().copied().unwrap_or(1);
    Ok(match values.len() {
        1 => Some(vec![values[0]; n]),
        len if len == n && last == n => Some(values.to_vec()),
        _ => None,
    })
}
