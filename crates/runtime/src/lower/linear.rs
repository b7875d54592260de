//! Matrix products with constant weights in float32.

use edgecut_graph::{Binary, Gemm, Node, Op, Tensor, ValueId};
use edgecut_kernels::bf16;
use edgecut_kernels::gemm::PackedB;

use super::weights::transposed;
use super::{Effects, Lowering, count};
use crate::plan::places;
use crate::step::{self, Step};
use crate::{Precision, Result, layout};

/// Most pairs of matrices of one step: their list takes 64 MiB.
const MAX_PRODUCTS: usize = 1 << 22;

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
    /// Whether physical order and row-major order of x and of the result are the same.
    pub dense: bool,
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
    /// The product that a Gemm or MatMul is, where its right side is a constant matrix.
    pub(super) fn product(&self, node: &Node) -> Result<Option<Product>> {
        let (x, weights) = (node.input(0)?, node.input(1)?);
        let (x_shape, w_shape) = (self.shape(x), self.shape(weights));
        let gemm = match &node.op {
            Op::Gemm(gemm) => *gemm,
            _ => Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: false },
        };
        let dense =
            layout::is_row_major(&x_shape) && layout::is_row_major(&self.shape(node.output()));
        if gemm.trans_a || w_shape.len() != 2 || !self.is_constant(weights) {
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
            dense,
        }))
    }

    /// A product with bias, residual add and activation. Returns whether the node was lowered.
    pub(super) fn linear(&mut self, index: usize) -> Result<bool> {
        let node = &self.graph.nodes[index];
        let Some(product) = self.product(node)? else { return Ok(false) };
        let Some(addend) = self.optional_constant(node, 2)? else { return Ok(false) };
        let mut out = node.output();
        let bias = match addend {
            None => match self.bias_behind(out, product.n)? {
                None => None,
                Some((add, bias)) => {
                    self.take(&[add]);
                    out = self.graph.nodes[add].output();
                    Some(bias)
                }
            },
            Some(addend) => match row_bias(&addend, product.n)? {
                None => return Ok(false),
                Some(bias) => Some(bias.iter().map(|b| b * product.beta).collect()),
            },
        };
        let Some(weights) = self.constant(product.weights)? else { return Ok(false) };
        let scaled: Vec<f32> = weights.f32s()?.iter().map(|w| w * product.alpha).collect();
        let weights = product.matrix(&scaled);
        let x = self.stored_row_major(product.x)?;
        // A residual has the physical order.
        let ahead = self.ahead(out, product.dense);
        let (tail, mut reads) = self.tail(bias, ahead.residual, ahead.activation)?;
        reads.push(x);
        self.take(&ahead.taken);
        let y = self.produce_as(ahead.out, true);
        let macs = product.rows * product.k * product.n;
        let Product { rows, k, n, .. } = product;
        let (step, kind) = match self.precision {
            Precision::F32 => {
                let weights = PackedB::pack(k, n, &weights).into();
                (Step::Linear(Box::new(step::Linear { x, y, rows, weights, tail })), "linear")
            }
            Precision::Bf16 => {
                let weights = bf16::Weights::pack_matrix(k, n, &weights).into();
                let step = step::LinearBf16 { x, y, rows, weights, tail };
                (Step::LinearBf16(Box::new(step)), "linear.bf16")
            }
        };
        self.emit(node, step, Effects::new(kind, &reads, &[y]).macs(macs));
        Ok(true)
    }

    /// The Add behind a product that gives each of `n` columns its bias. In a quantised graph it
    /// stays apart: a sum that is rounded once less could tip an integer over.
    fn bias_behind(&mut self, value: ValueId, n: usize) -> Result<Option<(usize, Vec<f32>)>> {
        let converts = |op: &Op| matches!(op, Op::Quantize { .. } | Op::Dequantize { .. });
        let Some(index) = self.sole_reader(value) else { return Ok(None) };
        let node = &self.graph.nodes[index];
        if node.op != Op::Binary(Binary::Add)
            || self.shape(node.output()) != self.shape(value)
            || self.graph.nodes.iter().any(|node| converts(&node.op))
        {
            return Ok(None);
        }
        let (a, b) = (node.input(0)?, node.input(1)?);
        let Some(addend) = self.constant(if a == value { b } else { a })? else { return Ok(None) };
        Ok(row_bias(&addend, n)?.map(|bias| (index, bias)))
    }
}

impl Lowering<'_> {
    /// A product of two computed matrices, or of many pairs of them.
    pub(super) fn matmul(&mut self, node: &Node) -> Result<bool> {
        let plain = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: false };
        let without_addend = node.inputs.get(2).copied().flatten().is_none();
        let fits = match node.op {
            Op::Gemm(gemm) => without_addend && Gemm { beta: 1.0, ..gemm } == plain,
            _ => true,
        };
        if !fits {
            return Ok(false);
        }
        let (a, b) = (node.input(0)?, node.input(1)?);
        let (mut a_shape, mut b_shape) = (self.shape(a), self.shape(b));
        // A vector is a row on the left and a column on the right.
        if a_shape.len() == 1 {
            a_shape.insert(0, 1);
        }
        if b_shape.len() == 1 {
            b_shape.push(1);
        }
        let (a_batch, [m, k]) = split_matrix(&a_shape);
        let (b_batch, [_, n]) = split_matrix(&b_shape);
        // A list of products is worth it only while it is small beside them.
        if count(&self.shape(node.output())) / (m * n) > MAX_PRODUCTS {
            return Ok(false);
        }
        let starts = matrix_starts(a_batch, b_batch, [m * k, k * n]);
        let macs = starts[0].len() * m * k * n;
        let (a, b) = (self.stored_row_major(a)?, self.stored_row_major(b)?);
        let y = self.produce_as(node.output(), true);
        let step = step::MatMul { a, b, y, extents: [m, k, n], starts };
        let effects = Effects::new("matmul", &[a, b], &[y]).macs(macs);
        self.emit(node, Step::MatMul(Box::new(step)), effects);
        Ok(true)
    }
}

/// The last two extents of a shape, and those before them.
fn split_matrix(shape: &[usize]) -> (&[usize], [usize; 2]) {
    let (batch, matrix) = shape.split_at(shape.len() - 2);
    (batch, [matrix[0], matrix[1]])
}

/// Where the matrices of `sizes` elements begin, for each pair that broadcasting of the batch
/// dimensions `a` and `b` makes.
fn matrix_starts(a: &[usize], b: &[usize], sizes: [usize; 2]) -> [Vec<usize>; 2] {
    let rank = a.len().max(b.len());
    let padded = |dims: &[usize]| [vec![1; rank - dims.len()], dims.to_vec()].concat();
    let (a, b) = (padded(a), padded(b));
    let extents: Vec<usize> = a.iter().zip(&b).map(|(a, b)| *a.max(b)).collect();
    [(a, sizes[0]), (b, sizes[1])].map(|(dims, size)| {
        let mut steps = layout::row_major_strides(&dims);
        steps.iter_mut().zip(&dims).for_each(|(s, &d)| *s = if d == 1 { 0 } else { *s * size });
        places(extents.clone(), steps).collect()
    })
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
