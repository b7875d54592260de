//! Elementwise functions, reductions, softmax.

use super::node::OpIn;
use super::tensors::Info;
use super::values::{Importer, TO_NCHW, TO_NHWC};
use crate::limits::MAX_WINDOW;
use crate::{Binary, DType, Op, Reduction, Result, Tensor, Unary, ValueId};

/// `value` under the fused activation with this number.
pub(super) fn activate(im: &mut Importer, op: &OpIn, value: ValueId, kind: u8) -> Result<ValueId> {
    let (name, function) = match kind {
        0 => return Ok(value),
        1 => ("relu", Op::RELU),
        2 => ("clip", Op::Unary(Unary::Clip { min: -1.0, max: 1.0 })),
        3 => ("relu6", Op::RELU6),
        4 => ("tanh", Op::Unary(Unary::Tanh)),
        other => return Err(op.unsupported(format!("fused activation {other}"))),
    };
    im.push(&format!("{}.{name}", op.name), function, &[value])
}

/// Functions of one value, one after the other.
pub(super) fn unary(im: &mut Importer, op: &OpIn, functions: &[Op]) -> Result<()> {
    let mut value = im.operand(op.input(0)?)?;
    for function in functions {
        let name = format!("{}.{}", op.name, function.name().to_lowercase());
        value = im.push(&name, function.clone(), &[value])?;
    }
    im.set(op, op.output(0)?, value)
}

/// Floats of a stored tensor are made where they are read, so that weights stay integers.
pub(super) fn dequantize(im: &mut Importer, op: &OpIn) -> Result<()> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    if !im.is_computed(input) && im.is_stored(input)? {
        return im.set_dequantised(op, output, input);
    }
    unary(im, op, &[])
}

/// The first `count` inputs so that NumPy's broadcasting of them means that of the file.
pub(super) fn aligned(im: &mut Importer, op: &OpIn, count: usize) -> Result<Vec<ValueId>> {
    let inputs = (0..count).map(|i| im.operand(op.input(i)?));
    let mut inputs = inputs.collect::<Result<Vec<ValueId>>>()?;
    let ranks: Vec<usize> = inputs.iter().map(|&id| im.rank(id)).collect();
    if !ranks.contains(&4) || ranks.iter().all(|&r| r == 4) {
        return Ok(inputs);
    }
    if let Some(&rank) = ranks.iter().max().filter(|&&r| r > 4) {
        // Images align with the last dimensions of the file.
        for (i, _) in ranks.iter().enumerate().filter(|&(_, &r)| r == 4 && r < rank) {
            inputs[i] = im.native(op.input(i)?)?;
        }
        return Ok(inputs);
    }
    for (i, &rank) in ranks.iter().enumerate().filter(|&(_, &rank)| rank > 0 && rank < 4) {
        let name = format!("{}.aligned", im.graph.value(inputs[i]).name);
        let axes = (0..4 - rank).collect();
        let wide = im.push(&name, Op::Unsqueeze { axes }, &[inputs[i]])?;
        inputs[i] = im.reordered(wide, &TO_NCHW)?;
    }
    Ok(inputs)
}

/// A function of two values with a fused activation.
pub(super) fn binary(im: &mut Importer, op: &OpIn, function: Binary) -> Result<()> {
    let inputs = aligned(im, op, 2)?;
    let name = format!("{}.{}", op.name, function.name().to_lowercase());
    let value = im.push(&name, Op::Binary(function), &inputs)?;
    let value = activate(im, op, value, op.byte(0)?)?;
    im.set(op, op.output(0)?, value)
}

/// A function of two values.
pub(super) fn plain_binary(im: &mut Importer, op: &OpIn, function: Op) -> Result<()> {
    let inputs = aligned(im, op, 2)?;
    let name = format!("{}.{}", op.name, function.name().to_lowercase());
    let value = im.push(&name, function, &inputs)?;
    im.set(op, op.output(0)?, value)
}

pub(super) fn squared_difference(im: &mut Importer, op: &OpIn) -> Result<()> {
    let inputs = aligned(im, op, 2)?;
    let d = im.push(&format!("{}.sub", op.name), Op::Binary(Binary::Sub), &inputs)?;
    let value = im.push(&format!("{}.mul", op.name), Op::Binary(Binary::Mul), &[d, d])?;
    im.set(op, op.output(0)?, value)
}

pub(super) fn square(im: &mut Importer, op: &OpIn) -> Result<()> {
    let x = im.operand(op.input(0)?)?;
    let value = im.push(&format!("{}.mul", op.name), Op::Binary(Binary::Mul), &[x, x])?;
    im.set(op, op.output(0)?, value)
}

/// `floor(x / y)`; integers are divided exactly after the remainder is taken off.
pub(super) fn floor_div(im: &mut Importer, op: &OpIn) -> Result<()> {
    let inputs = aligned(im, op, 2)?;
    let name = format!("{}.quotient", op.name);
    let value = if im.graph.value(inputs[0]).dtype == DType::F32 {
        let quotient = im.push(&name, Op::Binary(Binary::Div), &inputs)?;
        im.push(&format!("{}.floor", op.name), Op::Unary(Unary::Floor), &[quotient])?
    } else {
        let remainder = Op::Binary(Binary::Mod);
        let rest = im.push(&format!("{}.rest", op.name), remainder, &inputs)?;
        let whole = Op::Binary(Binary::Sub);
        let whole = im.push(&format!("{}.whole", op.name), whole, &[inputs[0], rest])?;
        im.push(&name, Op::Binary(Binary::Div), &[whole, inputs[1]])?
    };
    im.set(op, op.output(0)?, value)
}

/// The remainder with the sign of the divisor.
pub(super) fn floor_mod(im: &mut Importer, op: &OpIn) -> Result<()> {
    let inputs = aligned(im, op, 2)?;
    if im.graph.value(inputs[0]).dtype != DType::F32 {
        let value = im.push(&format!("{}.mod", op.name), Op::Binary(Binary::Mod), &inputs)?;
        return im.set(op, op.output(0)?, value);
    }
    // fmod has the sign of the dividend: where the signs differ, the divisor is added once.
    let step = |im: &mut Importer, stem: &str, op_out: Op, inputs: &[ValueId]| {
        im.push(&format!("{}.{stem}", op.name), op_out, inputs)
    };
    let rest = step(im, "rest", Op::Binary(Binary::Fmod), &inputs)?;
    let moved = step(im, "moved", Op::Binary(Binary::Add), &[rest, inputs[1]])?;
    let value = step(im, "mod", Op::Binary(Binary::Fmod), &[moved, inputs[1]])?;
    im.set(op, op.output(0)?, value)
}

pub(super) fn cast(im: &mut Importer, op: &OpIn) -> Result<()> {
    let output = op.output(0)?;
    let to = Info::read(im.model, output)?.dtype;
    let x = im.canonical(op.input(0)?)?;
    if im.graph.value(x).dtype == to {
        return im.set(op, output, x);
    }
    let value = im.push(&format!("{}.cast", op.name), Op::Cast { to }, &[x])?;
    im.set(op, output, value)
}

/// The canonical position of the last dimension of the file.
fn last_axis(im: &Importer, op: &OpIn, x: ValueId) -> Result<usize> {
    match im.rank(x) {
        0 => Err(op.malformed("its input is a scalar")),
        4 => Ok(1),
        rank => Ok(rank - 1),
    }
}

/// Along the last dimension, of the input times beta.
pub(super) fn softmax(im: &mut Importer, op: &OpIn) -> Result<()> {
    let mut x = im.operand(op.input(0)?)?;
    let axis = last_axis(im, op, x)?;
    let beta = op.float(0)?;
    if beta != 1.0 {
        let beta = im.add_constant(&format!("{}.beta", op.name), Tensor::scalar(beta))?;
        x = im.push(&format!("{}.scaled", op.name), Op::Binary(Binary::Mul), &[x, beta])?;
    }
    let value = im.push(&format!("{}.softmax", op.name), Op::Softmax { axis }, &[x])?;
    im.set(op, op.output(0)?, value)
}

pub(super) fn log_softmax(im: &mut Importer, op: &OpIn) -> Result<()> {
    let x = im.operand(op.input(0)?)?;
    let axis = last_axis(im, op, x)?;
    let value = im.push(&format!("{}.logsoftmax", op.name), Op::LogSoftmax { axis }, &[x])?;
    im.set(op, op.output(0)?, value)
}

pub(super) fn l2_normalization(im: &mut Importer, op: &OpIn) -> Result<()> {
    let x = im.operand(op.input(0)?)?;
    let axis = last_axis(im, op, x)?;
    let value = im.push(&format!("{}.norm", op.name), Op::LpNorm { axis, p: 2 }, &[x])?;
    let value = activate(im, op, value, op.byte(0)?)?;
    im.set(op, op.output(0)?, value)
}

/// The file's factor is that of the sum, the graph's that of the mean.
pub(super) fn local_response(im: &mut Importer, op: &OpIn) -> Result<()> {
    let x = im.operand(op.input(0)?)?;
    let radius = usize::try_from(op.int(0, 0)?).ok().filter(|&r| r <= MAX_WINDOW);
    let size = 2 * radius.ok_or_else(|| op.malformed("has no radius"))? + 1;
    let (bias, alpha, beta) = (op.float(1)?, op.float(2)?, op.float(3)?);
    let norm = Op::LocalResponseNorm { alpha: alpha * size as f32, beta, bias, size };
    let value = im.push(&format!("{}.norm", op.name), norm, &[x])?;
    im.set(op, op.output(0)?, value)
}

/// `axes` of the file as canonical ones of a value of `rank`, ascending and each once.
pub(super) fn axes(op: &OpIn, axes: &[i64], rank: usize) -> Result<Vec<usize>> {
    let canonical = |&axis: &i64| {
        let axis = op.axis(axis, rank)?;
        Ok(if rank == 4 { TO_NHWC[axis] } else { axis })
    };
    let mut axes = axes.iter().take(64).map(canonical).collect::<Result<Vec<_>>>()?;
    axes.sort_unstable();
    axes.dedup();
    Ok(axes)
}

/// `value` of rank 4 without the canonical dimensions `axes`, which have extent 1: the others in
/// the file's order.
pub(super) fn without(
    im: &mut Importer,
    op: &OpIn,
    value: ValueId,
    axes: &[usize],
) -> Result<ValueId> {
    let name = format!("{}.squeeze", op.name);
    let rank = im.rank(value);
    let value = im.push(&name, Op::Squeeze { axes: axes.to_vec() }, &[value])?;
    if rank != 4 {
        return Ok(value);
    }
    let left: Vec<usize> = (0..4).filter(|a| !axes.contains(a)).collect();
    let wanted = TO_NHWC.iter().filter_map(|axis| left.iter().position(|l| l == axis));
    im.reordered(value, &wanted.collect::<Vec<_>>())
}

pub(super) fn reduce(im: &mut Importer, op: &OpIn, kind: Reduction) -> Result<()> {
    let x = im.operand(op.input(0)?)?;
    let given = im.ints(op, 1)?;
    let axes = axes(op, &given, im.rank(x))?;
    let name = format!("{}.{}", op.name, kind.name().to_lowercase());
    let value = im.push(&name, Op::Reduce { kind, axes: axes.clone(), keep_dims: true }, &[x])?;
    if op.flag(0)? {
        return im.set(op, op.output(0)?, value);
    }
    let value = without(im, op, value, &axes)?;
    im.set_native(op, op.output(0)?, value)
}

/// The position as int64, or int32 where the file says so.
pub(super) fn arg_extreme(im: &mut Importer, op: &OpIn, largest: bool) -> Result<()> {
    let x = im.operand(op.input(0)?)?;
    let given = im.ints(op, 1)?;
    let [axis] = axes(op, &given, im.rank(x))?[..] else {
        return Err(op.malformed("needs one axis"));
    };
    let extreme = Op::ArgExtreme { largest, axis, keep_dims: true, last: false };
    let value = im.push(&format!("{}.arg", op.name), extreme, &[x])?;
    let mut value = without(im, op, value, &[axis])?;
    let to = Info::read(im.model, op.output(0)?)?.dtype;
    if to != DType::I64 {
        value = im.push(&format!("{}.cast", op.name), Op::Cast { to }, &[value])?;
    }
    im.set_native(op, op.output(0)?, value)
}
