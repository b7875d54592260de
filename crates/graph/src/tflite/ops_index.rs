//! Positions as data: gathering, scattering, choosing, order.

use super::node::OpIn;
use super::ops_math::{aligned, axes};
use super::tensors::Info;
use super::values::Importer;
use crate::{Binary, Compare, DType, Logic, Op, Reduction, Result, ScatterMode, Tensor, ValueId};

/// Inputs: x, positions. Dimensions are the file's.
pub(super) fn gather(im: &mut Importer, op: &OpIn) -> Result<()> {
    if op.int(1, 0)? != 0 {
        return Err(op.unsupported("batch_dims: only 0 is supported"));
    }
    let x = im.native(op.input(0)?)?;
    let axis = op.axis(op.int(0, 0)?.into(), im.rank(x))?;
    let positions = im.native(op.input(1)?)?;
    let name = format!("{}.gather", op.name);
    let value = im.push(&name, Op::Gather { axis }, &[x, positions])?;
    im.set_native(op, op.output(0)?, value)
}

/// Inputs: positions, table.
pub(super) fn embedding_lookup(im: &mut Importer, op: &OpIn) -> Result<()> {
    let positions = im.native(op.input(0)?)?;
    let table = im.native(op.input(1)?)?;
    let name = format!("{}.gather", op.name);
    let value = im.push(&name, Op::Gather { axis: 0 }, &[table, positions])?;
    im.set_native(op, op.output(0)?, value)
}

pub(super) fn gather_nd(im: &mut Importer, op: &OpIn) -> Result<()> {
    let inputs = [im.native(op.input(0)?)?, im.native(op.input(1)?)?];
    let name = format!("{}.gather_nd", op.name);
    let value = im.push(&name, Op::GatherNd { batch_dims: 0 }, &inputs)?;
    im.set_native(op, op.output(0)?, value)
}

/// Inputs: positions, updates, shape of the result, which is zero elsewhere.
pub(super) fn scatter_nd(im: &mut Importer, op: &OpIn) -> Result<()> {
    let positions = im.native(op.input(0)?)?;
    let updates = im.native(op.input(1)?)?;
    let shape = im.ints(op, 2)?;
    let dtype = im.graph.value(updates).dtype;
    let zeros = filled(im, op, &shape, dtype, 0.0)?;
    let scatter = Op::ScatterNd { mode: ScatterMode::Add };
    let name = format!("{}.scatter_nd", op.name);
    let value = im.push(&name, scatter, &[zeros, positions, updates])?;
    im.set_native(op, op.output(0)?, value)
}

/// A constant of one number; the memory is counted before it is taken.
pub(super) fn filled(
    im: &mut Importer,
    op: &OpIn,
    shape: &[i64],
    dtype: DType,
    number: f64,
) -> Result<ValueId> {
    let extent = |&d: &i64| usize::try_from(d).ok();
    let shape: Option<Vec<usize>> = shape.iter().take(16).map(extent).collect();
    let shape = shape.ok_or_else(|| op.unsupported("its shape must be fixed"))?;
    let len = crate::checked_len(&shape, &op.name)?;
    im.spend(len.saturating_mul(dtype.bytes()), &op.name)?;
    let data = match dtype {
        DType::F32 => vec![number as f32; len].into(),
        DType::I32 => vec![number as i32; len].into(),
        DType::I64 => vec![number as i64; len].into(),
        DType::U8 => vec![number as u8; len].into(),
        DType::I8 => vec![number as i8; len].into(),
        DType::Bool => crate::Data::from(vec![number != 0.0; len]),
    };
    im.add_constant(&format!("{}.filled", op.name), Tensor::new(shape, data)?)
}

/// Inputs: condition, a, b, which broadcast.
pub(super) fn select(im: &mut Importer, op: &OpIn) -> Result<()> {
    let inputs = aligned(im, op, 3)?;
    let value = im.push(&format!("{}.where", op.name), Op::Where, &inputs)?;
    im.set(op, op.output(0)?, value)
}

pub(super) fn not_equal(im: &mut Importer, op: &OpIn) -> Result<()> {
    let inputs = aligned(im, op, 2)?;
    let value = if im.graph.value(inputs[0]).dtype == DType::Bool {
        im.push(&format!("{}.xor", op.name), Op::Logic(Logic::Xor), &inputs)?
    } else {
        let equal = Op::Compare(Compare::Equal);
        let equal = im.push(&format!("{}.equal", op.name), equal, &inputs)?;
        im.push(&format!("{}.not", op.name), Op::Not, &[equal])?
    };
    im.set(op, op.output(0)?, value)
}

/// Inputs: x, axis.
pub(super) fn cum_sum(im: &mut Importer, op: &OpIn) -> Result<()> {
    let x = im.operand(op.input(0)?)?;
    let given = im.ints(op, 1)?;
    let [axis] = axes(op, &given, im.rank(x))?[..] else {
        return Err(op.malformed("needs one axis"));
    };
    let sum = Op::CumSum { axis, exclusive: op.flag(0)?, reverse: op.flag(1)? };
    let value = im.push(&format!("{}.cumsum", op.name), sum, &[x])?;
    im.set(op, op.output(0)?, value)
}

/// Inputs: x, k. Along the last dimension of the file.
pub(super) fn top_k(im: &mut Importer, op: &OpIn) -> Result<()> {
    let x = im.native(op.input(0)?)?;
    let k = im.ints(op, 1)?.first().and_then(|&k| usize::try_from(k).ok());
    let k = k.ok_or_else(|| op.malformed("has no number of elements"))?;
    let axis = im.rank(x).checked_sub(1).ok_or_else(|| op.malformed("its input is a scalar"))?;
    let top = Op::TopK { axis, k, largest: true };
    let found = im.push_all(&format!("{}.topk", op.name), top, &[x])?;
    let &[values, positions] = &found[..] else { return Err(op.malformed("has one result")) };
    let cast = Op::Cast { to: DType::I32 };
    let positions = im.push(&format!("{}.positions", op.name), cast, &[positions])?;
    im.set_native(op, op.output(0)?, values)?;
    im.set_native(op, op.output(1)?, positions)
}

/// Inputs: positions, depth, value there, value elsewhere.
pub(super) fn one_hot(im: &mut Importer, op: &OpIn) -> Result<()> {
    let x = im.native(op.input(0)?)?;
    let depth = im.ints(op, 1)?.first().and_then(|&d| usize::try_from(d).ok());
    let depth = depth.ok_or_else(|| op.malformed("has no depth"))?;
    let (on, off) = (im.constant(op, 2)?.1, im.constant(op, 3)?.1);
    let values = match on.dtype() {
        DType::F32 => Tensor::vector([off.to_f32(), on.to_f32()].concat()),
        dtype => {
            let both = [off.to_i64()?, on.to_i64()?].concat();
            super::tensors::integers(dtype, vec![both.len()], &both)?
        }
    };
    let values = im.add_constant(&format!("{}.values", op.name), values)?;
    let rank = im.rank(x) + 1;
    let axis = op.axis(op.int(0, 0)?.into(), rank)?;
    let hot = Op::OneHot { axis, depth };
    let value = im.push(&format!("{}.one_hot", op.name), hot, &[x, values])?;
    im.set_native(op, op.output(0)?, value)
}

/// `x` with dimension `axis` made of the elements at `positions`.
pub(super) fn picked(
    im: &mut Importer,
    op: &OpIn,
    x: ValueId,
    axis: usize,
    positions: impl ExactSizeIterator<Item = i64>,
) -> Result<ValueId> {
    im.spend(positions.len().saturating_mul(8), &op.name)?;
    let positions = Tensor::vector(positions.collect::<Vec<i64>>());
    let positions = im.add_constant(&format!("{}.positions", op.name), positions)?;
    im.push(&format!("{}.gather", op.name), Op::Gather { axis }, &[x, positions])
}

/// Inputs: x, dimensions to turn around.
pub(super) fn reverse(im: &mut Importer, op: &OpIn) -> Result<()> {
    let mut value = im.operand(op.input(0)?)?;
    let given = im.ints(op, 1)?;
    for axis in axes(op, &given, im.rank(value))? {
        let extent = im.graph.value(value).shape.extent(axis, &op.name)?;
        let positions = (0..extent).map(|i| (extent - 1 - i) as i64);
        value = picked(im, op, value, axis, positions)?;
    }
    im.set(op, op.output(0)?, value)
}

/// Over booleans: whether any or all are true, as the largest or smallest of 0 and 1.
pub(super) fn reduce_bool(im: &mut Importer, op: &OpIn, kind: Reduction) -> Result<()> {
    let x = im.operand(op.input(0)?)?;
    let given = im.ints(op, 1)?;
    let axes = axes(op, &given, im.rank(x))?;
    let number = im.push(&format!("{}.number", op.name), Op::Cast { to: DType::I32 }, &[x])?;
    let reduce = Op::Reduce { kind, axes: axes.clone(), keep_dims: true };
    let value = im.push(&format!("{}.reduce", op.name), reduce, &[number])?;
    let value = im.push(&format!("{}.bool", op.name), Op::Cast { to: DType::Bool }, &[value])?;
    if op.flag(0)? {
        return im.set(op, op.output(0)?, value);
    }
    let value = super::ops_math::without(im, op, value, &axes)?;
    im.set_native(op, op.output(0)?, value)
}

/// Inputs: shape, number.
pub(super) fn fill(im: &mut Importer, op: &OpIn) -> Result<()> {
    let shape = im.ints(op, 0)?;
    let (_, number) = im.constant(op, 1)?;
    let number_of = |t: &Tensor| match t.dtype() {
        DType::F32 => t.to_f32().first().map(|&v| f64::from(v)),
        _ => t.to_i64().ok().and_then(|v| v.first().map(|&v| v as f64)),
    };
    let first = number_of(&number).ok_or_else(|| op.malformed("has no number"))?;
    let value = filled(im, op, &shape, number.dtype(), first)?;
    im.set_native(op, op.output(0)?, value)
}

pub(super) fn zeros_like(im: &mut Importer, op: &OpIn) -> Result<()> {
    let info = Info::read(im.model, op.input(0)?)?;
    if info.dims.iter().any(|d| d.fixed().is_none()) {
        return Err(op.unsupported("its shape must be fixed"));
    }
    let shape: Vec<i64> = info.shape.iter().map(|&d| d as i64).collect();
    let value = filled(im, op, &shape, info.dtype, 0.0)?;
    im.set_native(op, op.output(0)?, value)
}

/// The sum of all inputs, of one shape.
pub(super) fn add_n(im: &mut Importer, op: &OpIn) -> Result<()> {
    let mut sum = im.operand(op.input(0)?)?;
    for i in 1..op.input_count() {
        let next = im.operand(op.input(i)?)?;
        sum = im.push(&format!("{}.add", op.name), Op::Binary(Binary::Add), &[sum, next])?;
    }
    im.set(op, op.output(0)?, sum)
}
