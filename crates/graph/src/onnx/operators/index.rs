//! Operators that take positions as data.

use super::Family;
use crate::onnx::import::Importer;
use crate::onnx::node::{Meaning, NodeIn};
use crate::op::{Op, ReshapeDim, ScatterMode};
use crate::{DType, Data, Result, ValueId};

pub(super) const OPERATORS: &Family = &[
    ("Compress", compress),
    ("Gather", gather),
    ("GatherElements", gather_elements),
    ("GatherND", gather_nd),
    ("OneHot", one_hot),
    ("Scatter", scatter_elements),
    ("ScatterElements", scatter_elements),
    ("ScatterND", scatter_nd),
];

/// Attribute `axis` as a dimension of the first input.
fn axis(im: &mut Importer, node: &mut NodeIn) -> Result<usize> {
    let x = node.value(im, 0)?;
    let axis = node.int("axis", 0)?;
    node.axis(axis, node.shape(im, x).rank())
}

fn gather(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let axis = axis(im, node)?;
    let inputs = node.values(im, 2)?;
    Ok(Meaning::Op(Op::Gather { axis }, inputs))
}

fn gather_elements(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let axis = axis(im, node)?;
    let inputs = node.values(im, 2)?;
    Ok(Meaning::Op(Op::GatherElements { axis }, inputs))
}

fn gather_nd(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let batch_dims = node.count("batch_dims", 0)?;
    let inputs = node.values(im, 2)?;
    Ok(Meaning::Op(Op::GatherNd { batch_dims }, inputs))
}

/// Scatter is its name before opset 11.
fn scatter_elements(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let axis = axis(im, node)?;
    let mode = scatter_mode(node)?;
    let inputs = node.values(im, 3)?;
    Ok(Meaning::Op(Op::ScatterElements { axis, mode }, inputs))
}

fn scatter_nd(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let mode = scatter_mode(node)?;
    let inputs = node.values(im, 3)?;
    Ok(Meaning::Op(Op::ScatterNd { mode }, inputs))
}

fn scatter_mode(node: &mut NodeIn) -> Result<ScatterMode> {
    Ok(match node.string("reduction")?.unwrap_or("none") {
        "none" => ScatterMode::Replace,
        "add" => ScatterMode::Add,
        "mul" => ScatterMode::Mul,
        "max" => ScatterMode::Max,
        "min" => ScatterMode::Min,
        other => return Err(node.malformed(format!("attribute 'reduction' is '{other}'"))),
    })
}

/// Indices of any number type, cut to integers.
fn one_hot(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    node.values(im, 3)?;
    let (mut indices, values) = (node.value(im, 0)?, node.value(im, 2)?);
    let depth = node.constant_float(im, 1)?.unwrap_or(0.0);
    // Beyond 2^24 a float may not be the depth that the file states.
    if !(0.0..=(1 << 24) as f32).contains(&depth) {
        return Err(node.malformed(format!("depth is {depth}")));
    }
    if matches!(node.dtype(im, indices), DType::F32 | DType::Bool) {
        indices = im.cast(node, indices, DType::I64)?;
    }
    let axis = node.int("axis", -1)?;
    let axis = node.axis(axis, node.shape(im, indices).rank() + 1)?;
    let op = Op::OneHot { axis, depth: depth as usize };
    Ok(Meaning::Op(op, vec![Some(indices), Some(values)]))
}

/// The slices, or elements, where a constant condition is true.
fn compress(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let mut x = node.value(im, 0)?;
    let condition = node.value(im, 1)?;
    let Some(Data::Bool(kept)) = im.graph.constant(condition).map(|t| t.data().clone()) else {
        return Err(node.unsupported("its condition must be a constant of booleans"));
    };
    let axis = match node.attributes.has("axis") {
        true => axis(im, node)?,
        false => {
            x = flat(im, node, x)?;
            0
        }
    };
    let kept: Vec<i64> =
        (0i64..).zip(kept.iter()).filter(|(_, kept)| **kept).map(|(i, _)| i).collect();
    let extent = node.shape(im, x).extent(axis, &node.name)? as i64;
    if kept.last().is_some_and(|&last| last >= extent) {
        return Err(node.malformed(format!("its condition is longer than the extent {extent}")));
    }
    let kept = im.positions(node, kept)?;
    Ok(Meaning::Op(Op::Gather { axis }, vec![Some(x), Some(kept)]))
}

fn flat(im: &mut Importer, node: &NodeIn, x: ValueId) -> Result<ValueId> {
    im.emit(node, "flat", Op::Reshape { dims: vec![ReshapeDim::Infer] }, &[Some(x)])
}
