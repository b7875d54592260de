//! Operators that move elements: shapes, padding, slices, resampling.

use super::node::OpIn;
use super::ops_math::{activate, without};
use super::tensors::Info;
use super::values::{Importer, TO_NCHW, TO_NHWC};
use crate::limits::MAX_SHAPE_ITEMS;
use crate::{
    Coordinates, Cut, DepthOrder, Dim, Nearest, Op, ReshapeDim, Resize, ResizeAxis, ResizeMode,
    Result, ValueId,
};

/// The canonical position of dimension `axis` of the file.
pub(super) fn place(axis: usize, rank: usize) -> usize {
    if rank == 4 { TO_NHWC[axis] } else { axis }
}

pub(super) fn concat(im: &mut Importer, op: &OpIn) -> Result<()> {
    if let Some(ints) = joined(im, op)? {
        im.set_ints(op.output(0)?, ints);
        return Ok(());
    }
    let inputs = (0..op.input_count()).map(|i| im.operand(op.input(i)?));
    let inputs = inputs.collect::<Result<Vec<ValueId>>>()?;
    let rank = inputs.first().map_or(0, |&x| im.rank(x));
    let axis = place(op.axis(op.int(0, 0)?.into(), rank)?, rank);
    let value = im.push(&format!("{}.concat", op.name), Op::Concat { axis }, &inputs)?;
    let value = activate(im, op, value, op.byte(1)?)?;
    im.set(op, op.output(0)?, value)
}

/// Number of elements of a vector of shape arithmetic.
const FEW: usize = 64;

/// The inputs one after another, where all are small known integers and some are computed.
fn joined(im: &mut Importer, op: &OpIn) -> Result<Option<Vec<i64>>> {
    let mut all = vec![];
    for i in 0..op.input_count().min(FEW) {
        let index = op.input(i)?;
        let info = Info::read(im.model, index)?;
        if info.shape.len() > 1 || info.shape.iter().product::<usize>() > FEW {
            return Ok(None);
        }
        match im.known_ints(index)? {
            Some(ints) => all.extend(ints),
            None => return Ok(None),
        }
    }
    Ok(Some(all))
}

/// The extents of the input, with -1 for an open batch.
pub(super) fn shape(im: &mut Importer, op: &OpIn) -> Result<()> {
    let x = im.canonical(op.input(0)?)?;
    let dims = im.dims(x);
    let order: Vec<usize> = (0..dims.len()).map(|i| place(i, dims.len())).collect();
    let extent = |&i: &usize| dims[i].fixed().map_or(-1, |n| n as i64);
    im.set_ints(op.output(0)?, order.iter().map(extent).collect());
    Ok(())
}

/// The number of dimensions.
pub(super) fn rank(im: &mut Importer, op: &OpIn) -> Result<()> {
    let rank = Info::read(im.model, op.input(0)?)?.shape.len();
    im.set_ints(op.output(0)?, vec![rank as i64]);
    Ok(())
}

/// Inputs: first number, end, step; all known.
pub(super) fn range_of(im: &mut Importer, op: &OpIn) -> Result<()> {
    let mut numbers = [0; 3];
    for (i, number) in numbers.iter_mut().enumerate() {
        *number = im.ints(op, i)?.first().copied().unwrap_or(0);
    }
    let [start, end, step] = numbers;
    let span = if step < 0 { start.checked_sub(end) } else { end.checked_sub(start) };
    let count = match (span, step.unsigned_abs()) {
        (Some(span), size @ 1..) => span.max(0).unsigned_abs().div_ceil(size),
        _ => return Err(op.malformed(format!("counts from {start} to {end} by {step}"))),
    };
    if count > MAX_SHAPE_ITEMS as u64 {
        return Err(op.unsupported(format!("it makes {count} numbers")));
    }
    im.set_ints(op.output(0)?, (0..count as i64).map(|i| start + i * step).collect());
    Ok(())
}

/// The target is input 1, or an option in old files.
pub(super) fn reshape(im: &mut Importer, op: &OpIn) -> Result<()> {
    let target = match op.optional(1) {
        Some(index) => match im.known_ints(index)? {
            Some(ints) => ints,
            None => {
                let info = Info::read(im.model, op.output(0)?)?;
                if info.dims.iter().any(|d| d.fixed().is_none()) || info.shape.is_empty() {
                    return Err(op.unsupported("its target must be a constant"));
                }
                info.shape.iter().map(|&d| d as i64).collect()
            }
        },
        None => op.ints(0)?,
    };
    let mut x = im.operand(op.input(0)?)?;
    let dims = im.dims(x);
    if im.rank(x) == 4 {
        x = im.native(op.input(0)?)?;
    }
    let open = dims.first().is_some_and(|d| d.fixed().is_none());
    let rule = |(i, &d): (usize, &i64)| match d {
        -1 => Ok(ReshapeDim::Infer),
        // A file with an open batch states the batch that it was converted with.
        1 if i == 0 && open => Ok(ReshapeDim::Copy),
        d => match usize::try_from(d) {
            Ok(n) => Ok(ReshapeDim::Fixed(n)),
            Err(_) => Err(op.malformed(format!("its target is {target:?}"))),
        },
    };
    let rules = target.iter().take(FEW).enumerate().map(rule).collect::<Result<Vec<_>>>()?;
    let value = im.push(&format!("{}.reshape", op.name), Op::Reshape { dims: rules }, &[x])?;
    im.set_native(op, op.output(0)?, value)
}

/// Removes the dimensions listed, or all of extent 1.
pub(super) fn squeeze(im: &mut Importer, op: &OpIn) -> Result<()> {
    let x = im.operand(op.input(0)?)?;
    let dims = im.dims(x);
    let mut axes = super::ops_math::axes(op, &op.ints(0)?, dims.len())?;
    if axes.is_empty() {
        axes = (0..dims.len()).filter(|&i| dims[i] == Dim::Fixed(1)).collect();
    }
    let value = without(im, op, x, &axes)?;
    im.set_native(op, op.output(0)?, value)
}

pub(super) fn expand_dims(im: &mut Importer, op: &OpIn) -> Result<()> {
    let x = im.native(op.input(0)?)?;
    let axis = im.ints(op, 1)?.first().copied().unwrap_or(0);
    let axes = vec![op.axis(axis, im.rank(x) + 1)?];
    let value = im.push(&format!("{}.unsqueeze", op.name), Op::Unsqueeze { axes }, &[x])?;
    im.set_native(op, op.output(0)?, value)
}

pub(super) fn transpose(im: &mut Importer, op: &OpIn) -> Result<()> {
    let x = im.operand(op.input(0)?)?;
    let rank = im.rank(x);
    let given = im.ints(op, 1)?;
    if given.len() != rank {
        return Err(op.malformed(format!("{given:?} does not permute {rank} dimensions")));
    }
    let perm = given.iter().map(|&p| op.axis(p, rank)).collect::<Result<Vec<usize>>>()?;
    // Output dimension j in NCHW is native dimension TO_NCHW[j], which comes from perm of that.
    let perm = match rank {
        4 => TO_NCHW.iter().map(|&j| TO_NHWC[perm[j]]).collect(),
        _ => perm,
    };
    let value = im.push(&format!("{}.transpose", op.name), Op::Transpose { perm }, &[x])?;
    im.set(op, op.output(0)?, value)
}

/// The native dimensions of a value.
pub(super) fn native_dims(im: &Importer, x: ValueId) -> Vec<Dim> {
    let dims = im.dims(x);
    (0..dims.len()).map(|i| dims[place(i, dims.len())].clone()).collect()
}

/// Inputs: x, how often along each dimension.
pub(super) fn tile(im: &mut Importer, op: &OpIn) -> Result<()> {
    let x = im.operand(op.input(0)?)?;
    let rank = im.rank(x);
    let given = im.ints(op, 1)?;
    let counts: Option<Vec<usize>> = given.iter().map(|&n| usize::try_from(n).ok()).collect();
    let counts = counts.filter(|c| c.len() == rank);
    let counts = counts.ok_or_else(|| op.malformed(format!("repeats {given:?}")))?;
    let mut repeats = vec![1; rank];
    counts.iter().enumerate().for_each(|(axis, &n)| repeats[place(axis, rank)] = n);
    let value = im.push(&format!("{}.tile", op.name), Op::Tile { repeats }, &[x])?;
    im.set(op, op.output(0)?, value)
}

/// Inputs: x, shape.
pub(super) fn broadcast_to(im: &mut Importer, op: &OpIn) -> Result<()> {
    let x = im.native(op.input(0)?)?;
    let given = im.ints(op, 1)?;
    let shape: Option<Vec<usize>> = given.iter().map(|&n| usize::try_from(n).ok()).collect();
    let shape = shape.ok_or_else(|| op.malformed(format!("its shape is {given:?}")))?;
    let value = im.push(&format!("{}.expand", op.name), Op::Expand { shape }, &[x])?;
    im.set_native(op, op.output(0)?, value)
}

pub(super) fn pack(im: &mut Importer, op: &OpIn) -> Result<()> {
    if let Some(ints) = joined(im, op)? {
        im.set_ints(op.output(0)?, ints);
        return Ok(());
    }
    let mut parts = vec![];
    let mut axis = 0;
    for i in 0..op.input_count() {
        let x = im.native(op.input(i)?)?;
        axis = op.axis(op.int(1, 0)?.into(), im.rank(x) + 1)?;
        let axes = vec![axis];
        parts.push(im.push(&format!("{}.unsqueeze", op.name), Op::Unsqueeze { axes }, &[x])?);
    }
    let value = im.push(&format!("{}.concat", op.name), Op::Concat { axis }, &parts)?;
    im.set_native(op, op.output(0)?, value)
}

pub(super) fn unpack(im: &mut Importer, op: &OpIn) -> Result<()> {
    let x = im.native(op.input(0)?)?;
    let axis = op.axis(op.int(1, 0)?.into(), im.rank(x))?;
    for part in 0..op.output_count() {
        let cuts = vec![Cut { axis, start: part, len: 1, step: 1 }];
        let value = im.push(&format!("{}.slice", op.name), Op::Slice { cuts }, &[x])?;
        let squeeze = Op::Squeeze { axes: vec![axis] };
        let value = im.push(&format!("{}.squeeze", op.name), squeeze, &[value])?;
        im.set_native(op, op.output(part)?, value)?;
    }
    Ok(())
}

/// Height and width in input 1. Positions follow the options as TensorFlow defines them.
pub(super) fn resize(im: &mut Importer, op: &OpIn, nearest: bool) -> Result<()> {
    let x = im.operand(op.input(0)?)?;
    let size = im.ints(op, 1)?;
    // The options of bilinear resampling begin with two fields of old files.
    let first = if nearest { 0 } else { 2 };
    let (align, half) = (op.flag(first)?, op.flag(first + 1)?);
    let mut axes = vec![];
    for i in 0..2 {
        let wrong = || op.malformed(format!("its size is {size:?}"));
        let len = size.get(i).and_then(|&n| usize::try_from(n).ok()).ok_or_else(wrong)?;
        let from = im.graph.value(x).shape.extent(2 + i, &op.name)?.max(1);
        let scale = len as f32 / from as f32;
        axes.push(ResizeAxis { axis: 2 + i, len, scale, region: (0.0, 1.0) });
    }
    let coordinates = match (align, half, nearest) {
        (true, _, _) => Coordinates::AlignCorners,
        (_, true, true) => Coordinates::TfHalfPixelForNearest,
        (_, true, false) => Coordinates::HalfPixel,
        _ => Coordinates::Asymmetric,
    };
    let mode = match (nearest, align) {
        (false, _) => ResizeMode::Linear,
        (true, true) => ResizeMode::Nearest(Nearest::RoundPreferCeil),
        (true, false) => ResizeMode::Nearest(Nearest::Floor),
    };
    let (antialias, exclude_outside, extrapolation) = (false, false, 0.0);
    let resize = Resize { axes, mode, coordinates, antialias, exclude_outside, extrapolation };
    let value = im.push(&format!("{}.resize", op.name), Op::Resize(resize), &[x])?;
    im.set(op, op.output(0)?, value)
}

pub(super) fn depth_to_space(im: &mut Importer, op: &OpIn) -> Result<()> {
    let x = im.operand(op.input(0)?)?;
    let block = op.count(0, 0, "block_size")?;
    let op_out = Op::DepthToSpace { block, order: DepthOrder::Dcr };
    let value = im.push(&format!("{}.depth_to_space", op.name), op_out, &[x])?;
    im.set(op, op.output(0)?, value)
}

pub(super) fn space_to_depth(im: &mut Importer, op: &OpIn) -> Result<()> {
    let x = im.operand(op.input(0)?)?;
    let block = op.count(0, 0, "block_size")?;
    let op_out = Op::SpaceToDepth { block };
    let value = im.push(&format!("{}.space_to_depth", op.name), op_out, &[x])?;
    im.set(op, op.output(0)?, value)
}
