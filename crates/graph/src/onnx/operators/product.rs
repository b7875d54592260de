//! Matrix products.

use super::Family;
use super::einsum;
use crate::onnx::import::Importer;
use crate::onnx::node::{Meaning, NodeIn};
use crate::op::{Gemm, Op};
use crate::{Result, ValueId};

pub(super) const OPERATORS: &Family =
    &[("Einsum", einsum::einsum), ("Gemm", gemm), ("MatMul", mat_mul)];

/// C broadcasts; before opset 7 only where the node says so.
fn gemm(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let gemm = Gemm {
        alpha: node.float("alpha", 1.0)?,
        beta: node.float("beta", 1.0)?,
        trans_a: node.flag("transA", false)?,
        trans_b: node.flag("transB", false)?,
    };
    if node.opset < 7 {
        node.flag("broadcast", false)?;
    }
    let inputs = node.values(im, 3)?;
    Ok(Meaning::Op(Op::Gemm(gemm), inputs))
}

fn mat_mul(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    node.values(im, 2)?;
    let (a, b) = (node.value(im, 0)?, node.value(im, 1)?);
    matrices(im, node, a, b, |a, b| (Op::MatMul, vec![Some(a), Some(b)]))
}

/// Applies `product` to matrices: a vector is one row on the left and one column on the right, and
/// the result does not have its dimension.
pub(super) fn matrices(
    im: &mut Importer,
    node: &NodeIn,
    mut a: ValueId,
    mut b: ValueId,
    product: impl Fn(ValueId, ValueId) -> (Op, Vec<Option<ValueId>>),
) -> Result<Meaning> {
    let (row, column) = (node.shape(im, a).rank() == 1, node.shape(im, b).rank() == 1);
    if row {
        a = im.emit(node, "row", Op::Unsqueeze { axes: vec![0] }, &[Some(a)])?;
    }
    if column {
        b = im.emit(node, "column", Op::Unsqueeze { axes: vec![1] }, &[Some(b)])?;
    }
    let (op, inputs) = product(a, b);
    if !row && !column {
        return Ok(Meaning::Op(op, inputs));
    }
    let matrix = im.emit(node, "matrix", op, &inputs)?;
    let rank = node.shape(im, matrix).rank();
    let axes = [(row, rank - 2), (column, rank - 1)];
    let axes = axes.iter().filter(|(vector, _)| *vector).map(|(_, axis)| *axis).collect();
    Ok(Meaning::Op(Op::Squeeze { axes }, vec![Some(matrix)]))
}
