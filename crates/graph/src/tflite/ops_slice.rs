//! Parts of tensors, and what is added around them.

use super::node::OpIn;
use super::ops_math::without;
use super::ops_shape::{native_dims, place};
use super::tensors::Info;
use super::values::Importer;
use crate::limits::{MAX_RANK, MAX_SHAPE_ITEMS};
use crate::{Cut, Op, PadMode, Result, ValueId};

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

/// REFLECT leaves the edge out of the mirror image, SYMMETRIC repeats it.
pub(super) fn mirror_pad(im: &mut Importer, op: &OpIn) -> Result<()> {
    let x = im.operand(op.input(0)?)?;
    let [before, after] = paddings(im, op, im.rank(x))?;
    if op.byte(0)? == 0 {
        let pad = Op::Pad { before, after, mode: PadMode::Reflect };
        let value = im.push(&format!("{}.pad", op.name), pad, &[x])?;
        return im.set(op, op.output(0)?, value);
    }
    let mut value = x;
    for axis in 0..before.len() {
        let (low, high) = (before[axis], after[axis]);
        if low == 0 && high == 0 {
            continue;
        }
        let n = im.graph.value(x).shape.extent(axis, &op.name)?;
        if low > n || high > n {
            return Err(op.malformed(format!("pads {n} elements by {low} and {high} of them")));
        }
        let (low, n) = (low as i64, n as i64);
        let mirrored = move |i: usize| match i as i64 - low {
            p if p < 0 => -1 - p,
            p if p >= n => 2 * n - 1 - p,
            p => p,
        };
        let positions = (0..before[axis] + n as usize + high).map(mirrored);
        value = super::ops_index::picked(im, op, value, axis, positions)?;
    }
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

/// What STRIDED_SLICE keeps of one dimension.
struct Cutting {
    begin: Option<i64>,
    end: Option<i64>,
    step: i64,
    /// Whether the dimension, of one element then, vanishes.
    shrinks: bool,
}

/// The cuts of a STRIDED_SLICE for each dimension of its input, and where its result has new
/// dimensions.
fn cuttings(im: &mut Importer, op: &OpIn, rank: usize) -> Result<(Vec<Cutting>, Vec<usize>)> {
    let [begin, end, step] = [im.ints(op, 1)?, im.ints(op, 2)?, im.ints(op, 3)?];
    let count = begin.len();
    if end.len() != count || step.len() != count || count > 2 * MAX_RANK {
        return Err(op.malformed("begin, end and strides differ in length"));
    }
    let masks = [op.int(0, 0)?, op.int(1, 0)?, op.int(2, 0)?, op.int(3, 0)?, op.int(4, 0)?];
    let set = |mask: usize, i: usize| masks[mask] >> i & 1 == 1;
    let (ellipsis, new, shrink) = (2, 3, 4);
    let taken = (0..count).filter(|&i| !set(ellipsis, i) && !set(new, i)).count();
    let all = || Cutting { begin: None, end: None, step: 1, shrinks: false };
    let (mut cuts, mut added, mut place) = (vec![], vec![], 0);
    for i in 0..count {
        if set(ellipsis, i) {
            let rest = rank.saturating_sub(taken);
            cuts.extend((0..rest).map(|_| all()));
            place += rest;
        } else if set(new, i) {
            added.push(place);
            place += 1;
        } else {
            let shrinks = set(shrink, i);
            let from = (shrinks || !set(0, i)).then_some(begin[i]);
            let to = (!shrinks && !set(1, i)).then_some(end[i]);
            let step = if shrinks { 1 } else { step[i] };
            cuts.push(Cutting { begin: from, end: to, step, shrinks });
            place += usize::from(!shrinks);
        }
    }
    if cuts.len() > rank {
        return Err(op.malformed("has more cuts than its input dimensions"));
    }
    cuts.resize_with(rank, all);
    Ok((cuts, added))
}

impl Cutting {
    fn is_all(&self) -> bool {
        self.begin.is_none_or(|b| b == 0) && self.end.is_none() && self.step == 1 && !self.shrinks
    }

    /// First element, number and step of what is kept of `n` elements.
    fn range(&self, op: &OpIn, n: i64) -> Result<(i64, usize, i64)> {
        let from_front = |v: i64| if v < 0 { v.saturating_add(n) } else { v };
        if self.shrinks {
            let at = from_front(self.begin.unwrap_or(0));
            let inside = (0..n).contains(&at).then_some((at, 1, 1));
            return inside.ok_or_else(|| op.malformed(format!("takes element {at} of {n}")));
        }
        let (low, high) = if self.step > 0 { (0, n) } else { (-1, n - 1) };
        let bound =
            |v: Option<i64>, absent: i64| v.map_or(absent, |v| from_front(v).clamp(low, high));
        let (first, last) = if self.step > 0 { (low, high) } else { (high, low) };
        let (start, stop) = (bound(self.begin, first), bound(self.end, last));
        let span = if self.step > 0 { stop - start } else { start - stop };
        match self.step.unsigned_abs() {
            0 => Err(op.malformed("has a stride of 0")),
            size => Ok((start, span.max(0).unsigned_abs().div_ceil(size) as usize, self.step)),
        }
    }
}

pub(super) fn strided_slice(im: &mut Importer, op: &OpIn) -> Result<()> {
    if op.flag(5)? {
        return Err(op.unsupported("ends counted from the beginning (offset) are not supported"));
    }
    let index = op.input(0)?;
    let is_vector = Info::read(im.model, index)?.shape.len() == 1;
    let known = if is_vector { im.known_ints(index)? } else { None };
    if let Some(ints) = known.filter(|ints| ints.len() <= MAX_SHAPE_ITEMS) {
        let (cuts, _) = cuttings(im, op, 1)?;
        let (start, len, step) = cuts[0].range(op, ints.len() as i64)?;
        let kept = (0..len as i64).filter_map(|i| ints.get((start + i * step) as usize).copied());
        im.set_ints(op.output(0)?, kept.collect());
        return Ok(());
    }
    let x = im.operand(index)?;
    let rank = im.rank(x);
    let dims = native_dims(im, x);
    let (cuttings, added) = cuttings(im, op, rank)?;
    let (mut cuts, mut value) = (vec![], x);
    for (axis, cutting) in cuttings.iter().enumerate().filter(|(_, c)| !c.is_all()) {
        let Some(n) = dims[axis].fixed() else {
            return Err(op.unsupported("it cuts the batch, which is open"));
        };
        let (start, len, step) = cutting.range(op, n as i64)?;
        if step < 0 {
            let positions = (0..len).map(|i| start + i as i64 * step);
            value = super::ops_index::picked(im, op, value, place(axis, rank), positions)?;
        } else {
            cuts.push(Cut { axis, start: start as usize, len, step: step as usize });
        }
    }
    value = cut(im, op, value, cuts)?;
    let dropped = (0..rank).filter(|&axis| cuttings[axis].shrinks);
    let mut dropped: Vec<usize> = dropped.map(|axis| place(axis, rank)).collect();
    if dropped.is_empty() && added.is_empty() {
        return im.set(op, op.output(0)?, value);
    }
    dropped.sort_unstable();
    value = without(im, op, value, &dropped)?;
    if !added.is_empty() {
        let add = Op::Unsqueeze { axes: added };
        value = im.push(&format!("{}.unsqueeze", op.name), add, &[value])?;
    }
    im.set_native(op, op.output(0)?, value)
}

/// Inputs: x, lengths of the parts, axis. One length may be -1: what is left.
pub(super) fn split_v(im: &mut Importer, op: &OpIn) -> Result<()> {
    let x = im.operand(op.input(0)?)?;
    let dims = native_dims(im, x);
    let axis = op.axis(im.ints(op, 2)?.first().copied().unwrap_or(0), dims.len())?;
    let lengths = im.ints(op, 1)?;
    let extent = dims[axis].fixed().ok_or_else(|| op.unsupported("it cuts an open dimension"))?;
    let known: i64 = lengths.iter().filter(|&&n| n >= 0).fold(0, |a, &n| a.saturating_add(n));
    let mut start = 0usize;
    for (part, &length) in lengths.iter().take(op.output_count()).enumerate() {
        let length = if length == -1 { extent as i64 - known } else { length };
        let wrong = || op.malformed(format!("cannot split {extent} into {lengths:?}"));
        let len = usize::try_from(length).ok().filter(|&n| start + n <= extent);
        let len = len.ok_or_else(wrong)?;
        let value = cut(im, op, x, vec![Cut { axis, start, len, step: 1 }])?;
        im.set(op, op.output(part)?, value)?;
        start += len;
    }
    Ok(())
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
