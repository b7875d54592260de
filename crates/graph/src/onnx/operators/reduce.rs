//! Operators that join, order or accumulate the elements along dimensions.

use super::Family;
use crate::onnx::import::Importer;
use crate::onnx::node::{Meaning, NodeIn};
use crate::op::{Op, Reduction};
use crate::{DType, Result};

pub(super) const OPERATORS: &Family = &[
    ("ArgMax", |im, n| arg_extreme(im, n, true)),
    ("ArgMin", |im, n| arg_extreme(im, n, false)),
    ("CumSum", cum_sum),
    ("ReduceL1", |im, n| reduce(im, n, Reduction::L1)),
    ("ReduceL2", |im, n| reduce(im, n, Reduction::L2)),
    ("ReduceLogSum", |im, n| reduce(im, n, Reduction::LogSum)),
    ("ReduceLogSumExp", |im, n| reduce(im, n, Reduction::LogSumExp)),
    ("ReduceMax", |im, n| reduce(im, n, Reduction::Max)),
    ("ReduceMean", |im, n| reduce(im, n, Reduction::Mean)),
    ("ReduceMin", |im, n| reduce(im, n, Reduction::Min)),
    ("ReduceProd", |im, n| reduce(im, n, Reduction::Prod)),
    ("ReduceSum", |im, n| reduce(im, n, Reduction::Sum)),
    ("ReduceSumSquare", |im, n| reduce(im, n, Reduction::SumSquare)),
    ("TopK", top_k),
];

/// Axes are an attribute up to opset 17 (ReduceSum: 12), an input later; none means all. Of
/// booleans the largest and the smallest are found as integers.
fn reduce(im: &mut Importer, node: &mut NodeIn, kind: Reduction) -> Result<Meaning> {
    node.values(im, 2)?;
    let mut x = node.value(im, 0)?;
    let rank = node.shape(im, x).rank();
    let keep_dims = node.flag("keepdims", true)?;
    let nothing_if_empty = node.flag("noop_with_empty_axes", false)?;
    let axes = match node.axes(im, "axes", 1)? {
        Some(axes) if !axes.is_empty() => node.sorted_axes(&axes, rank)?,
        _ if nothing_if_empty => return Ok(Meaning::Same(x)),
        _ => (0..rank).collect(),
    };
    let op = Op::Reduce { kind, axes, keep_dims };
    if node.dtype(im, x) != DType::Bool {
        return Ok(Meaning::Op(op, vec![Some(x)]));
    }
    x = im.cast(node, x, DType::U8)?;
    let joined = im.emit(node, kind.name(), op, &[Some(x)])?;
    Ok(Meaning::Op(Op::Cast { to: DType::Bool }, vec![Some(joined)]))
}

fn arg_extreme(im: &mut Importer, node: &mut NodeIn, largest: bool) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let axis = node.int("axis", 0)?;
    let axis = node.axis(axis, node.shape(im, x).rank())?;
    let keep_dims = node.flag("keepdims", true)?;
    let last = node.flag("select_last_index", false)?;
    Ok(Meaning::Op(Op::ArgExtreme { largest, axis, keep_dims, last }, vec![Some(x)]))
}

/// `k` is an attribute up to opset 9, an input from 10 on. Results are always sorted, which a node
/// that asks for any order allows.
fn top_k(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let axis = node.int("axis", -1)?;
    let axis = node.axis(axis, node.shape(im, x).rank())?;
    let largest = node.flag("largest", true)?;
    node.flag("sorted", true)?;
    let k = if node.opset < 10 { node.int("k", 0)? } else { node.constant_int(im, 1)? };
    let Ok(k) = usize::try_from(k) else {
        return Err(node.malformed(format!("k is {k}, must not be negative")));
    };
    Ok(Meaning::Outputs(Op::TopK { axis, k, largest }, vec![Some(x)]))
}

fn cum_sum(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let axis = node.constant_int(im, 1)?;
    let axis = node.axis(axis, node.shape(im, x).rank())?;
    let (exclusive, reverse) = (node.flag("exclusive", false)?, node.flag("reverse", false)?);
    Ok(Meaning::Op(Op::CumSum { axis, exclusive, reverse }, vec![Some(x)]))
}
