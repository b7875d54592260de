//! Operators that cut elements off or add them at the edges.

use super::Family;
use crate::limits::MAX_ELEMENTS;
use crate::onnx::import::Importer;
use crate::onnx::node::{Meaning, NodeIn};
use crate::op::{Cut, Op, PadMode};
use crate::{Result, ValueId};

pub(super) const OPERATORS: &Family =
    &[("CenterCropPad", center_crop_pad), ("Pad", pad), ("Slice", slice), ("Split", split)];

/// Bounds are attributes up to opset 9, inputs from 10 on. Negative steps become a Gather at
/// constant positions.
fn slice(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let mut x = node.value(im, 0)?;
    let shape = node.shape(im, x);
    let (starts, ends) = (node.axes(im, "starts", 1)?, node.axes(im, "ends", 2)?);
    let (Some(starts), Some(ends)) = (starts, ends) else {
        return Err(node.malformed("starts or ends are missing"));
    };
    let axes = node.axes(im, "axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = node.constant_ints(im, 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err(node.malformed("starts, ends, axes and steps have different lengths"));
    }
    node.sorted_axes(&axes, shape.rank())?;
    let mut cuts = Vec::new();
    for i in 0..starts.len() {
        let axis = node.axis(axes[i], shape.rank())?;
        let all = starts[i] == 0 && ends[i] >= i64::from(i32::MAX) && steps[i] == 1;
        if all {
            continue;
        }
        let size = shape.extent(axis, &node.name)?;
        match steps[i] {
            0 => return Err(node.malformed("a step is 0")),
            1.. => cuts.extend(cut(axis, size, [starts[i], ends[i], steps[i]])),
            _ => {
                let backwards =
                    im.positions(node, backwards(size, [starts[i], ends[i], steps[i]]))?;
                x = im.emit(node, "backwards", Op::Gather { axis }, &[Some(x), Some(backwards)])?;
            }
        }
    }
    cuts.sort_by_key(|cut| cut.axis);
    match cuts.is_empty() {
        true => Ok(Meaning::Same(x)),
        false => Ok(Meaning::Op(Op::Slice { cuts }, vec![Some(x)])),
    }
}

/// Bounds clamped to the extent; `None` where everything stays. The step is positive.
fn cut(axis: usize, size: usize, [start, end, step]: [i64; 3]) -> Option<Cut> {
    let clamp = |bound: i64| {
        let from_front = if bound < 0 { bound.saturating_add(size as i64) } else { bound };
        from_front.clamp(0, size as i64) as usize
    };
    let (start, end, step) = (clamp(start), clamp(end), step as usize);
    let len = end.saturating_sub(start).div_ceil(step);
    let step = if len <= 1 { 1 } else { step };
    (len != size).then_some(Cut { axis, start: if len == 0 { 0 } else { start }, len, step })
}

/// Positions kept with a negative step: from `start` down to the one behind `end`. The extent is
/// within the limits of a tensor, so the positions are at most as many as an input has elements.
fn backwards(size: usize, [start, end, step]: [i64; 3]) -> Vec<i64> {
    let size = size as i64;
    let clamp = |bound: i64| {
        let from_front = if bound < 0 { bound.saturating_add(size) } else { bound };
        from_front.clamp(-1, size - 1)
    };
    let (start, end) = (clamp(start), clamp(end));
    let next = |at: &i64| at.checked_add(step).filter(|next| *next > end);
    std::iter::successors(Some(start).filter(|s| *s > end), next).collect()
}

/// A slice for each output. Sizes are an attribute up to opset 12, an input from 13 on; without
/// them parts are equal, the last one smaller from 18 on.
fn split(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let shape = node.shape(im, x);
    let axis = node.int("axis", 0)?;
    let axis = node.axis(axis, shape.rank())?;
    let size = shape.extent(axis, &node.name)?;
    let count = node.proto.output.len();
    if node.int("num_outputs", count as i64)? != count as i64 {
        return Err(node.malformed(format!("num_outputs differs from its {count} outputs")));
    }
    let sizes = match node.axes(im, "split", 1)? {
        Some(sizes) => sizes,
        None if size % count != 0 && node.opset < 18 => {
            return Err(node.malformed(format!("cannot split {size} into {count} equal parts")));
        }
        None => {
            let part = size.div_ceil(count);
            (0..count).map(|i| part.min(size.saturating_sub(i * part)) as i64).collect()
        }
    };
    let total = sizes.iter().try_fold(0i64, |sum, &s| sum.checked_add(s));
    if sizes.len() != count || total != Some(size as i64) || sizes.iter().any(|&s| s < 0) {
        return Err(node.malformed(format!("parts do not add up to {size} in {count} outputs")));
    }
    let mut start = 0;
    let parts = sizes.iter().map(|&len| {
        let cut = Cut { axis, start, len: len as usize, step: 1 };
        start += len as usize;
        (Op::Slice { cuts: vec![cut] }, vec![Some(x)])
    });
    Ok(Meaning::Each(parts.collect()))
}

/// Pads are an attribute up to opset 10, an input from 11 on, for some axes from 18 on. Negative
/// ones cut elements off.
fn pad(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    node.values(im, 4)?;
    let x = node.value(im, 0)?;
    let rank = node.shape(im, x).rank();
    let value = match node.constant_float(im, 2)? {
        Some(value) => value,
        None => node.float("value", 0.0)?,
    };
    let mode = match node.string("mode")?.unwrap_or("constant") {
        "constant" => PadMode::Constant(value),
        "reflect" => PadMode::Reflect,
        "edge" => PadMode::Edge,
        "wrap" => PadMode::Wrap,
        other => return Err(node.malformed(format!("attribute 'mode' is '{other}'"))),
    };
    let Some(pads) = node.axes(im, "pads", 1)? else {
        return Err(node.malformed("pads are missing"));
    };
    let axes = match node.constant_ints(im, 3)? {
        Some(axes) => axes.iter().map(|&a| node.axis(a, rank)).collect::<Result<Vec<_>>>()?,
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(node.malformed(format!("{} pads for {} dimensions", pads.len(), axes.len())));
    }
    let mut sides = [vec![0; rank], vec![0; rank]];
    for (index, &pad) in pads.iter().enumerate() {
        if pad.unsigned_abs() > MAX_ELEMENTS as u64 {
            return Err(node.unsupported(format!("pads {pads:?} are huge")));
        }
        sides[index / axes.len()][axes[index % axes.len()]] = pad;
    }
    if pads.iter().any(|&p| p < 0) && !matches!(mode, PadMode::Constant(_)) {
        return Err(node.unsupported("negative pads need mode 'constant'"));
    }
    let [before, after] = sides;
    framed(im, node, x, &before, &after, mode)
}

/// Cuts where pads are negative, then adds where they are positive.
fn framed(
    im: &mut Importer,
    node: &NodeIn,
    mut x: ValueId,
    before: &[i64],
    after: &[i64],
    mode: PadMode,
) -> Result<Meaning> {
    let shape = node.shape(im, x);
    let mut cuts = vec![];
    for axis in (0..before.len()).filter(|&axis| before[axis].min(after[axis]) < 0) {
        let size = shape.extent(axis, &node.name)?;
        let [start, end] = [before[axis], after[axis]].map(|pad| (-pad).max(0) as usize);
        let Some(len) = size.checked_sub(start.saturating_add(end)) else {
            return Err(node.malformed(format!("negative pads leave nothing of extent {size}")));
        };
        cuts.push(Cut { axis, start: if len == 0 { 0 } else { start }, len, step: 1 });
    }
    if !cuts.is_empty() {
        x = im.emit(node, "cut", Op::Slice { cuts }, &[Some(x)])?;
    }
    let added = |pads: &[i64]| pads.iter().map(|&p| p.max(0) as usize).collect();
    Ok(Meaning::Op(Op::Pad { before: added(before), after: added(after), mode }, vec![Some(x)]))
}

/// Cuts or pads evenly to given extents; the odd element goes to the end.
fn center_crop_pad(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let shape = node.shape(im, x);
    let Some(target) = node.constant_ints(im, 1)? else {
        return Err(node.malformed("the new shape is missing"));
    };
    let axes = match node.ints("axes")? {
        Some(axes) => {
            axes.iter().map(|&a| node.axis(a, shape.rank())).collect::<Result<Vec<_>>>()?
        }
        None => (0..shape.rank()).collect(),
    };
    if axes.len() != target.len() {
        return Err(node.malformed(format!("{} extents for {} axes", target.len(), axes.len())));
    }
    let (mut before, mut after) = (vec![0; shape.rank()], vec![0; shape.rank()]);
    for (&axis, &extent) in axes.iter().zip(&target) {
        if !(0..=MAX_ELEMENTS as i64).contains(&extent) {
            return Err(node.malformed(format!("extent {extent}")));
        }
        let more = extent - shape.extent(axis, &node.name)? as i64;
        // Division rounds towards zero: of an odd number the end gets one more, cut or added.
        (before[axis], after[axis]) = (more / 2, more - more / 2);
    }
    framed(im, node, x, &before, &after, PadMode::Constant(0.0))
}
