//! Operators that move elements without changing them.

use super::import::Importer;
use super::node::{Meaning, NodeIn};
use super::shapes::Item;
use crate::limits::MAX_ELEMENTS;
use crate::op::{Cut, Op, PadMode, ReshapeDim};
use crate::{DType, Data, Dim, Result, Tensor};

pub(super) fn concat(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let inputs = node.all_values(im)?;
    let Some(&first) = inputs.first() else { return Err(node.malformed("has no inputs")) };
    let axis = node.int("axis", 1)?;
    let axis = node.axis(axis, node.shape(im, first).rank())?;
    Ok(Meaning::Op(Op::Concat { axis }, inputs.into_iter().map(Some).collect()))
}

/// The target is an input whose elements must be known, with at most one that is not a number or
/// a copy of the same dimension. A symbol anywhere else is "what is left".
pub(super) fn reshape(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let input = node.shape(im, x);
    let zero_is_zero = node.flag("allowzero", false)?;
    let target = node.input(1).and_then(|name| im.items(name)).filter(|t| t.rank() == 1);
    let Some(target) = target else {
        return Err(node.unsupported("the new shape must be computable without running the model"));
    };
    let mut dims = Vec::with_capacity(target.items().len());
    for (index, item) in target.items().iter().enumerate() {
        dims.push(match item {
            Item::Int(0) if !zero_is_zero => ReshapeDim::Copy,
            Item::Int(-1) => ReshapeDim::Infer,
            Item::Int(n) if (0..=MAX_ELEMENTS as i64).contains(n) => ReshapeDim::Fixed(*n as usize),
            Item::Symbol(_, _)
                if input.dims().get(index).and_then(Item::of) == Some(item.clone()) =>
            {
                ReshapeDim::Copy
            }
            Item::Symbol(_, _) => ReshapeDim::Infer,
            _ => return Err(node.malformed(format!("cannot reshape to {target}"))),
        });
    }
    if dims.iter().filter(|d| **d == ReshapeDim::Infer).count() > 1 {
        return Err(
            node.unsupported(format!("reshapes {input} to {target}: two extents are unknown"))
        );
    }
    Ok(Meaning::Op(Op::Reshape { dims }, vec![Some(x)]))
}

pub(super) fn flatten(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let rank = node.shape(im, x).rank();
    let axis = node.int("axis", 1)?;
    // Here alone the axis may equal the rank.
    let axis = if axis == rank as i64 { rank } else { node.axis(axis, rank)? };
    Ok(Meaning::Op(Op::Flatten { axis }, vec![Some(x)]))
}

pub(super) fn transpose(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let rank = node.shape(im, x).rank();
    let perm = match node.ints("perm")? {
        Some(perm) => perm.iter().map(|&p| node.axis(p, rank)).collect::<Result<_>>()?,
        None => (0..rank).rev().collect(),
    };
    Ok(Meaning::Op(Op::Transpose { perm }, vec![Some(x)]))
}

/// Pads are an attribute up to opset 10, an input from 11 on, for some axes from 18 on.
pub(super) fn pad(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let rank = node.shape(im, x).rank();
    match node.string("mode")?.unwrap_or("constant") {
        "constant" => {}
        other => return Err(node.unsupported(format!("mode '{other}': only constant padding"))),
    }
    let value = match node.constant_float(im, 2)? {
        Some(value) => value,
        None => node.float("value", 0.0)?,
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
        let Some(pad) = usize::try_from(pad).ok().filter(|&p| p <= MAX_ELEMENTS) else {
            return Err(
                node.unsupported(format!("pads {pads:?}: they must not be negative or huge"))
            );
        };
        sides[index / axes.len()][axes[index % axes.len()]] = pad;
    }
    let [before, after] = sides;
    Ok(Meaning::Op(Op::Pad { before, after, mode: PadMode::Constant(value) }, vec![Some(x)]))
}

/// Bounds are attributes up to opset 9, inputs from 10 on.
pub(super) fn slice(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let x = node.value(im, 0)?;
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
        if steps[i] < 1 {
            return Err(node.unsupported(format!("step {}: only positive steps", steps[i])));
        }
        let all = starts[i] == 0 && ends[i] >= i64::from(i32::MAX) && steps[i] == 1;
        if !all {
            let size = shape.extent(axis, &node.name)?;
            cuts.extend(cut(axis, size, [starts[i], ends[i], steps[i]]));
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

/// A slice for each output. Sizes are an attribute up to opset 12, an input from 13 on; without
/// them parts are equal, the last one smaller from 18 on.
pub(super) fn split(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
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

/// Axes are an attribute up to opset 12, an input from 13 on; none means all of extent 1.
pub(super) fn squeeze(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let shape = node.shape(im, x);
    let axes = match node.axes(im, "axes", 1)? {
        Some(axes) => node.sorted_axes(&axes, shape.rank())?,
        None => (0..shape.rank()).filter(|&i| shape.dims()[i] == Dim::Fixed(1)).collect(),
    };
    Ok(Meaning::Op(Op::Squeeze { axes }, vec![Some(x)]))
}

pub(super) fn unsqueeze(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let Some(axes) = node.axes(im, "axes", 1)? else {
        return Err(node.malformed("axes are missing"));
    };
    let axes = node.sorted_axes(&axes, node.shape(im, x).rank() + axes.len())?;
    Ok(Meaning::Op(Op::Unsqueeze { axes }, vec![Some(x)]))
}

/// Only where the graph's type stays the same (all floats are float32 in it), or on a constant.
pub(super) fn cast(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let to = node.int("to", 0)?;
    node.flag("saturate", true)?; // float8 only
    let Some(to) = i32::try_from(to).ok().and_then(super::tensors::dtype) else {
        return Err(node.unsupported(format!("to = {to}: no such element type in edgecut")));
    };
    let from = node.dtype(im, x);
    if from == to {
        return Ok(Meaning::Same(x));
    }
    let Some(tensor) = im.graph.constant(x).cloned() else {
        return Err(node.unsupported(format!("from {from} to {to} while the model runs")));
    };
    im.count_folded(tensor.len(), &node.name)?;
    Ok(Meaning::Constant(converted(&tensor, to)?))
}

/// Numbers of another type: floats are cut towards zero and saturate, integers wrap, and whatever
/// is not 0 is true.
fn converted(tensor: &Tensor, to: DType) -> Result<Tensor> {
    let shape = tensor.shape().to_vec();
    let data: Data = match (tensor.data(), to) {
        (_, DType::F32) => tensor.to_f32().into(),
        (Data::F32(v), DType::Bool) => v.iter().map(|&x| x != 0.0).collect::<Vec<_>>().into(),
        (Data::F32(v), DType::U8) => v.iter().map(|&x| x as u8).collect::<Vec<_>>().into(),
        (Data::F32(v), DType::I8) => v.iter().map(|&x| x as i8).collect::<Vec<_>>().into(),
        (Data::F32(v), DType::I32) => v.iter().map(|&x| x as i32).collect::<Vec<_>>().into(),
        (Data::F32(v), DType::I64) => v.iter().map(|&x| x as i64).collect::<Vec<_>>().into(),
        (_, to) => {
            let wide = tensor.to_i64()?;
            match to {
                DType::Bool => wide.iter().map(|&x| x != 0).collect::<Vec<_>>().into(),
                DType::U8 => wide.iter().map(|&x| x as u8).collect::<Vec<_>>().into(),
                DType::I8 => wide.iter().map(|&x| x as i8).collect::<Vec<_>>().into(),
                DType::I32 => wide.iter().map(|&x| x as i32).collect::<Vec<_>>().into(),
                _ => wide.into(),
            }
        }
    };
    Tensor::new(shape, data)
}
