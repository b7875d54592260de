//! Operators that move elements: shapes, padding, slices, resampling.

use super::node::OpIn;
use super::ops_math::{activate, without};
use super::tensors::Info;
use super::values::{Importer, TO_NCHW, TO_NHWC};
use crate::{
    Coordinates, Cut, DepthOrder, Dim, Nearest, Op, PadMode, ReshapeDim, Resize, ResizeAxis,
    ResizeMode, Result, ValueId,
};

/// The canonical position of dimension `axis` of the file.
fn place(axis: usize, rank: usize) -> usize {
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

/// Pairs of paddings, as before and after each canonical dimension.
fn paddings(im: &mut Importer, op: &OpIn, rank: usize) -> Result<[Vec<usize>; 2]> {
    let pairs = im.ints(op, 1)?;
    let wrong = || op.malformed(format!("paddings {pairs:?} do not fit {rank} dimensions"));
    if pairs.len() != 2 * rank {
        return Err(wrong());
    }
    let mut pads = [vec![0; rank], vec![0; rank]];
    for axis in 0..rank {
        for side in 0..2 {
            let pad = usize::try_from(pairs[2 * axis + side]).map_err(|_| wrong())?;
            pads[side][place(axis, rank)] = pad;
        }
    }
    Ok(pads)
}

/// With zeros, or the number in input 2.
pub(super) fn pad(im: &mut Importer, op: &OpIn) -> Result<()> {
    let x = im.operand(op.input(0)?)?;
    let [before, after] = paddings(im, op, im.rank(x))?;
    let mut fill = 0.0;
    if op.optional(2).is_some() {
        let (info, value) = im.constant(op, 2)?;
        let raw = value.to_f32().first().copied().unwrap_or(0.0);
        fill = match &info.quant {
            Some(quant) => (raw - quant.zeros[0] as f32) * quant.scales[0],
            None => raw,
        };
    }
    let pad = Op::Pad { before, after, mode: PadMode::Constant(fill) };
    let value = im.push(&format!("{}.pad", op.name), pad, &[x])?;
    im.set(op, op.output(0)?, value)
}

pub(super) fn mirror_pad(im: &mut Importer, op: &OpIn) -> Result<()> {
    if op.byte(0)? != 0 {
        return Err(op.unsupported("mode SYMMETRIC: only REFLECT is supported"));
    }
    let x = im.operand(op.input(0)?)?;
    let [before, after] = paddings(im, op, im.rank(x))?;
    let pad = Op::Pad { before, after, mode: PadMode::Reflect };
    let value = im.push(&format!("{}.pad", op.name), pad, &[x])?;
    im.set(op, op.output(0)?, value)
}

/// `x` with the cuts, which are in the file's order of dimensions.
fn cut(im: &mut Importer, op: &OpIn, x: ValueId, cuts: Vec<Cut>) -> Result<ValueId> {
    let rank = im.rank(x);
    let moved = cuts.into_iter().map(|c| Cut { axis: place(c.axis, rank), ..c });
    let mut cuts: Vec<Cut> = moved.collect();
    cuts.sort_unstable_by_key(|c| c.axis);
    im.push(&format!("{}.slice", op.name), Op::Slice { cuts }, &[x])
}

/// The native dimensions of a value.
fn native_dims(im: &Importer, x: ValueId) -> Vec<Dim> {
    let dims = im.dims(x);
    (0..dims.len()).map(|i| dims[place(i, dims.len())].clone()).collect()
}

pub(super) fn slice(im: &mut Importer, op: &OpIn) -> Result<()> {
    let x = im.operand(op.input(0)?)?;
    let (begin, size) = (im.ints(op, 1)?, im.ints(op, 2)?);
    let dims = native_dims(im, x);
    if begin.len() != dims.len() || size.len() != dims.len() {
        return Err(op.malformed("begin and size do not fit its input"));
    }
    let mut cuts = vec![];
    for (axis, dim) in dims.iter().enumerate() {
        let Some(extent) = dim.fixed().filter(|_| begin[axis] != 0 || size[axis] != -1) else {
            continue;
        };
        let wrong = || op.malformed(format!("cuts {begin:?} and {size:?} outside its input"));
        let start = usize::try_from(begin[axis]).map_err(|_| wrong())?;
        let len = match size[axis] {
            -1 => extent.checked_sub(start).ok_or_else(wrong)?,
            n => usize::try_from(n).map_err(|_| wrong())?,
        };
        cuts.push(Cut { axis, start, len, step: 1 });
    }
    let value = cut(im, op, x, cuts)?;
    im.set(op, op.output(0)?, value)
}

/// Start, number and step of what one dimension of extent `n` keeps.
fn range(op: &OpIn, n: i64, begin: Option<i64>, end: Option<i64>, step: i64) -> Result<[usize; 3]> {
    if step < 1 {
        return Err(op.unsupported(format!("stride {step}: only positive ones are supported")));
    }
    let clamp = |v: i64| (if v < 0 { v.saturating_add(n) } else { v }).clamp(0, n);
    let (start, stop) = (begin.map_or(0, clamp), end.map_or(n, clamp));
    let len = (stop - start).max(0).unsigned_abs().div_ceil(step.unsigned_abs());
    Ok([start as usize, len as usize, step as usize])
}

pub(super) fn strided_slice(im: &mut Importer, op: &OpIn) -> Result<()> {
    let parts = [im.ints(op, 1)?, im.ints(op, 2)?, im.ints(op, 3)?];
    let masks = [op.int(0, 0)?, op.int(1, 0)?, op.int(4, 0)?];
    if op.int(2, 0)? != 0 || op.int(3, 0)? != 0 || op.flag(5)? {
        return Err(op.unsupported("ellipsis, new axis and offset are not supported"));
    }
    let [begin, end, step] = &parts;
    if begin.len() != end.len() || begin.len() != step.len() || begin.len() > 8 {
        return Err(op.malformed("begin, end and strides differ in length"));
    }
    let set = |mask: usize, axis: usize| masks[mask] >> axis & 1 == 1;
    let ends = |axis: usize| {
        let shrink = set(2, axis);
        let stop = if begin[axis] == -1 { None } else { Some(begin[axis].saturating_add(1)) };
        let end = if shrink { stop } else { (!set(1, axis)).then_some(end[axis]) };
        (if set(0, axis) { None } else { Some(begin[axis]) }, end)
    };
    let index = op.input(0)?;
    if let Some(ints) = im.known_ints(index)?.filter(|_| begin.len() == 1) {
        let (from, to) = ends(0);
        let [start, len, step] = range(op, ints.len() as i64, from, to, step[0])?;
        let kept = ints.into_iter().skip(start).step_by(step).take(len).collect();
        im.set_ints(op.output(0)?, kept);
        return Ok(());
    }
    let x = im.operand(index)?;
    let dims = native_dims(im, x);
    if begin.len() > dims.len() {
        return Err(op.malformed("has more cuts than its input dimensions"));
    }
    let (mut cuts, mut dropped) = (vec![], vec![]);
    for axis in 0..begin.len() {
        let (from, to) = ends(axis);
        if set(2, axis) {
            dropped.push(place(axis, dims.len()));
        }
        if from.is_none_or(|v| v == 0) && to.is_none() && step[axis] == 1 {
            continue;
        }
        let Some(n) = dims[axis].fixed() else {
            return Err(op.unsupported("it cuts the batch, which is open"));
        };
        let [start, len, step] = range(op, n as i64, from, to, step[axis])?;
        cuts.push(Cut { axis, start, len, step });
    }
    let mut value = cut(im, op, x, cuts)?;
    if dropped.is_empty() {
        return im.set(op, op.output(0)?, value);
    }
    dropped.sort_unstable();
    value = without(im, op, value, &dropped)?;
    im.set_native(op, op.output(0)?, value)
}

/// Inputs: axis, x. Equal parts.
pub(super) fn split(im: &mut Importer, op: &OpIn) -> Result<()> {
    let axis = im.ints(op, 0)?.first().copied().unwrap_or(0);
    let x = im.operand(op.input(1)?)?;
    let dims = native_dims(im, x);
    let axis = op.axis(axis, dims.len())?;
    let parts = op.output_count();
    let extent = dims[axis].fixed().filter(|&n| parts > 0 && n % parts == 0);
    let Some(extent) = extent else {
        return Err(op.malformed(format!("cannot split {} into {parts} parts", dims[axis])));
    };
    let len = extent / parts;
    for part in 0..parts {
        let value = cut(im, op, x, vec![Cut { axis, start: part * len, len, step: 1 }])?;
        im.set(op, op.output(part)?, value)?;
    }
    Ok(())
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
