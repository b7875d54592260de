//! Normalisations, and softmax with its relatives.

use super::Family;
use crate::onnx::import::Importer;
use crate::onnx::node::{Meaning, NodeIn};
use crate::op::{Binary, Op, Reduction, ReshapeDim, Unary};
use crate::{Dim, Result, Shape, ValueId};

pub(super) const OPERATORS: &Family = &[
    ("BatchNormalization", batch_norm),
    ("GroupNormalization", group_norm),
    ("Hardmax", |im, n| softmax(im, n, |axis| Op::Hardmax { axis })),
    ("InstanceNormalization", instance_norm),
    ("LRN", local_response_norm),
    ("LayerNormalization", layer_norm),
    ("LogSoftmax", |im, n| softmax(im, n, |axis| Op::LogSoftmax { axis })),
    ("LpNormalization", lp_norm),
    ("MeanVarianceNormalization", mean_variance_norm),
    ("RMSNormalization", rms_norm),
    ("Softmax", |im, n| softmax(im, n, |axis| Op::Softmax { axis })),
];

/// Inference mode, statistics per channel.
fn batch_norm(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let epsilon = node.float("epsilon", 1e-5)?;
    let momentum = node.float("momentum", 0.9)?;
    if !node.flag("spatial", true)? {
        return Err(node.unsupported("spatial = 0 (statistics per element)"));
    }
    let training = node.flag("training_mode", false)?;
    if training || (node.opset < 7 && !node.flag("is_test", false)?) {
        return Err(node.unsupported("training mode: export the model in evaluation mode"));
    }
    let inputs = node.values(im, 5)?;
    Ok(Meaning::Op(Op::BatchNorm { epsilon, momentum }, inputs))
}

fn instance_norm(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let epsilon = node.float("epsilon", 1e-5)?;
    let inputs = node.values(im, 3)?;
    Ok(Meaning::Op(Op::InstanceNorm { epsilon }, inputs))
}

/// Scale and bias are one for each group up to opset 20, one for each channel from 21 on.
fn group_norm(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let epsilon = node.float("epsilon", 1e-5)?;
    node.int("stash_type", 1)?;
    let groups = node.count("num_groups", 0)?;
    let mut inputs = node.values(im, 3)?;
    let x = node.value(im, 0)?;
    if node.opset < 21 {
        let channels = node.shape(im, x).extent(1, &node.name)?;
        for input in inputs.iter_mut().skip(1).flatten() {
            let each = channels.checked_div(groups).unwrap_or(0);
            let column = Op::Unsqueeze { axes: vec![1] };
            let column = im.emit(node, "column", column, &[Some(*input)])?;
            let wide = Op::Expand { shape: vec![1, each] };
            let wide = im.emit(node, "wide", wide, &[Some(column)])?;
            let flat = Op::Reshape { dims: vec![ReshapeDim::Infer] };
            *input = im.emit(node, "flat", flat, &[Some(wide)])?;
        }
    }
    Ok(Meaning::Op(Op::GroupNorm { groups, epsilon }, inputs))
}

/// The second and third outputs, mean and inverse standard deviation, are computed beside it.
fn layer_norm(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let epsilon = node.float("epsilon", 1e-5)?;
    node.int("stash_type", 1)?;
    let x = node.value(im, 0)?;
    let shape = node.shape(im, x);
    let axis = node.int("axis", -1)?;
    let axis = node.axis(axis, shape.rank())?;
    let mut inputs = node.values(im, 3)?;
    for input in inputs.iter_mut().skip(1).flatten() {
        *input = spread(im, node, *input, &shape.dims()[axis..])?;
    }
    let op = Op::LayerNorm { axis, epsilon };
    if !node.has_output(1) && !node.has_output(2) {
        return Ok(Meaning::Op(op, inputs));
    }
    let axes: Vec<usize> = (axis..shape.rank()).collect();
    let y = im.emit(node, "normalized", op, &inputs)?;
    let mean = im.reduce(node, Reduction::Mean, x, &axes)?;
    let centred = im.binary(node, Binary::Sub, x, mean)?;
    let square = im.binary(node, Binary::Mul, centred, centred)?;
    let deviation = inverse_root(im, node, square, &axes, epsilon)?;
    Ok(Meaning::Values(vec![y, mean, deviation]))
}

/// 1 / sqrt(mean(square) + epsilon)
fn inverse_root(
    im: &mut Importer,
    node: &NodeIn,
    square: ValueId,
    axes: &[usize],
    epsilon: f32,
) -> Result<ValueId> {
    let variance = im.reduce(node, Reduction::Mean, square, axes)?;
    let epsilon = im.scalar(node, epsilon)?;
    let variance = im.binary(node, Binary::Add, variance, epsilon)?;
    let deviation = im.unary(node, Unary::Sqrt, variance)?;
    im.unary(node, Unary::Reciprocal, deviation)
}

/// `x` broadcast to extents that are normalised over.
fn spread(im: &mut Importer, node: &NodeIn, x: ValueId, dims: &[Dim]) -> Result<ValueId> {
    let wanted = Shape::new(dims.to_vec());
    if node.shape(im, x) == wanted {
        return Ok(x);
    }
    let Some(shape) = wanted.to_fixed() else {
        return Err(node.unsupported(format!("normalises over {wanted}: it must be fixed")));
    };
    im.emit(node, "spread", Op::Expand { shape }, &[Some(x)])
}

/// x / sqrt(mean(x^2) + epsilon) * scale
fn rms_norm(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let epsilon = node.float("epsilon", 1e-5)?;
    node.int("stash_type", 1)?;
    node.values(im, 2)?;
    let (x, scale) = (node.value(im, 0)?, node.value(im, 1)?);
    let rank = node.shape(im, x).rank();
    let axis = node.int("axis", -1)?;
    let axes: Vec<usize> = (node.axis(axis, rank)?..rank).collect();
    let square = im.binary(node, Binary::Mul, x, x)?;
    let root = inverse_root(im, node, square, &axes, epsilon)?;
    let normal = im.binary(node, Binary::Mul, x, root)?;
    Ok(Meaning::Op(Op::Binary(Binary::Mul), vec![Some(normal), Some(scale)]))
}

fn local_response_norm(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let op = Op::LocalResponseNorm {
        alpha: node.float("alpha", 1e-4)?,
        beta: node.float("beta", 0.75)?,
        bias: node.float("bias", 1.0)?,
        size: node.count("size", 0)?,
    };
    let inputs = node.values(im, 1)?;
    Ok(Meaning::Op(op, inputs))
}

fn lp_norm(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let axis = node.int("axis", -1)?;
    let axis = node.axis(axis, node.shape(im, x).rank())?;
    let p = node.count("p", 2)?;
    Ok(Meaning::Op(Op::LpNorm { axis, p }, vec![Some(x)]))
}

/// (x - mean) / (sqrt(mean((x - mean)^2)) + 1e-9)
fn mean_variance_norm(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let axes = node.ints("axes")?.unwrap_or(&[0, 2, 3]);
    let axes = node.sorted_axes(axes, node.shape(im, x).rank())?;
    let mean = im.reduce(node, Reduction::Mean, x, &axes)?;
    let centred = im.binary(node, Binary::Sub, x, mean)?;
    let square = im.binary(node, Binary::Mul, centred, centred)?;
    let variance = im.reduce(node, Reduction::Mean, square, &axes)?;
    let deviation = im.unary(node, Unary::Sqrt, variance)?;
    let epsilon = im.scalar(node, 1e-9)?;
    let deviation = im.binary(node, Binary::Add, deviation, epsilon)?;
    Ok(Meaning::Op(Op::Binary(Binary::Div), vec![Some(centred), Some(deviation)]))
}

/// Along one axis since opset 13. Before, over all dimensions from `axis` on: the same where at
/// most one of them is not 1, and through a matrix otherwise.
fn softmax(im: &mut Importer, node: &mut NodeIn, along: fn(usize) -> Op) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let shape = node.shape(im, x);
    let rank = shape.rank();
    if node.opset >= 13 {
        let axis = node.int("axis", -1)?;
        let axis = node.axis(axis, rank)?;
        return Ok(Meaning::Op(along(axis), vec![Some(x)]));
    }
    let axis = node.int("axis", 1)?;
    let axis = node.axis(axis, rank)?;
    joint_softmax(im, node, x, axis, along)
}

pub(super) fn joint_softmax(
    im: &mut Importer,
    node: &NodeIn,
    x: ValueId,
    axis: usize,
    along: fn(usize) -> Op,
) -> Result<Meaning> {
    let shape = node.shape(im, x);
    let rest = &shape.dims()[axis..];
    let wide: Vec<usize> = (0..rest.len()).filter(|&i| rest[i] != Dim::Fixed(1)).collect();
    if wide.len() <= 1 {
        let axis = axis + wide.first().copied().unwrap_or(0);
        return Ok(Meaning::Op(along(axis), vec![Some(x)]));
    }
    let outer = (0..axis).map(|_| ReshapeDim::Copy);
    let joined = outer.clone().chain([ReshapeDim::Infer]).collect();
    let joined = im.emit(node, "joined", Op::Reshape { dims: joined }, &[Some(x)])?;
    let soft = im.emit(node, "softmax", along(axis), &[Some(joined)])?;
    let Some(inner) = Shape::new(rest.to_vec()).to_fixed() else {
        return Err(node.unsupported(format!(
            "over the dimensions of {shape} from {axis} on, before opset 13: they must be fixed"
        )));
    };
    let dims = outer.chain(inner.into_iter().map(ReshapeDim::Fixed)).collect();
    Ok(Meaning::Op(Op::Reshape { dims }, vec![Some(soft)]))
}
