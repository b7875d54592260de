//! Operators that give elements another shape or order.

use super::Family;
use crate::limits::MAX_ELEMENTS;
use crate::onnx::import::Importer;
use crate::onnx::items::Item;
use crate::onnx::node::{Meaning, NodeIn};
use crate::op::{DepthOrder, Op, ReshapeDim};
use crate::{Dim, Result};

pub(super) const OPERATORS: &Family = &[
    ("Concat", concat),
    ("DepthToSpace", depth_to_space),
    ("Expand", expand),
    ("Flatten", flatten),
    ("Reshape", reshape),
    ("SpaceToDepth", space_to_depth),
    ("Squeeze", squeeze),
    ("Tile", tile),
    ("Transpose", transpose),
    ("Trilu", trilu),
    ("Unsqueeze", unsqueeze),
];

fn concat(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let inputs = node.all_values(im)?;
    let Some(&first) = inputs.first() else { return Err(node.malformed("has no inputs")) };
    let axis = node.int("axis", 1)?;
    let axis = node.axis(axis, node.shape(im, first).rank())?;
    Ok(Meaning::Op(Op::Concat { axis }, inputs.into_iter().map(Some).collect()))
}

/// The target is an input whose elements must be known, with at most one that is not a number or
/// a copy of the same dimension. A symbol anywhere else is "what is left".
fn reshape(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
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

/// Extents of 1 in the target leave the input's as they are, and so does a symbol that the input
/// has at that place.
fn expand(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let input = node.shape(im, x);
    let target = node.input(1).and_then(|name| im.items(name)).filter(|t| t.rank() == 1);
    let Some(target) = target else {
        return Err(node.unsupported("the new shape must be computable without running the model"));
    };
    let missing = target.items().len().saturating_sub(input.rank());
    let mut shape = Vec::with_capacity(target.items().len());
    for (index, item) in target.items().iter().enumerate() {
        let own = index.checked_sub(missing).and_then(|i| input.dims().get(i));
        shape.push(match item {
            Item::Int(n) if (0..=MAX_ELEMENTS as i64).contains(n) => *n as usize,
            Item::Symbol(..) if own.and_then(Item::of).as_ref() == Some(item) => 1,
            Item::Symbol(..) => {
                return Err(node.unsupported(format!(
                    "expands {input} to {target}: the extents must be fixed, or the input's own"
                )));
            }
            _ => return Err(node.malformed(format!("cannot expand to {target}"))),
        });
    }
    Ok(Meaning::Op(Op::Expand { shape }, vec![Some(x)]))
}

fn tile(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    node.values(im, 2)?;
    let x = node.value(im, 0)?;
    let repeats = node.constant_ints(im, 1)?.unwrap_or_default();
    let counts = repeats.iter().map(|&n| usize::try_from(n)).collect::<Result<_, _>>();
    let Ok(repeats) = counts else {
        return Err(node.malformed(format!("repeats {repeats:?} must not be negative")));
    };
    Ok(Meaning::Op(Op::Tile { repeats }, vec![Some(x)]))
}

fn flatten(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let rank = node.shape(im, x).rank();
    let axis = node.int("axis", 1)?;
    // Here alone the axis may equal the rank.
    let axis = if axis == rank as i64 { rank } else { node.axis(axis, rank)? };
    Ok(Meaning::Op(Op::Flatten { axis }, vec![Some(x)]))
}

fn transpose(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let rank = node.shape(im, x).rank();
    let perm = match node.ints("perm")? {
        Some(perm) => perm.iter().map(|&p| node.axis(p, rank)).collect::<Result<_>>()?,
        None => (0..rank).rev().collect(),
    };
    Ok(Meaning::Op(Op::Transpose { perm }, vec![Some(x)]))
}

/// Axes are an attribute up to opset 12, an input from 13 on; none means all of extent 1.
fn squeeze(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let shape = node.shape(im, x);
    let axes = match node.axes(im, "axes", 1)? {
        Some(axes) => node.sorted_axes(&axes, shape.rank())?,
        None => (0..shape.rank()).filter(|&i| shape.dims()[i] == Dim::Fixed(1)).collect(),
    };
    Ok(Meaning::Op(Op::Squeeze { axes }, vec![Some(x)]))
}

fn unsqueeze(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let Some(axes) = node.axes(im, "axes", 1)? else {
        return Err(node.malformed("axes are missing"));
    };
    let axes = node.sorted_axes(&axes, node.shape(im, x).rank() + axes.len())?;
    Ok(Meaning::Op(Op::Unsqueeze { axes }, vec![Some(x)]))
}

fn depth_to_space(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let block = node.count("blocksize", 0)?;
    let order = match node.string("mode")?.unwrap_or("DCR") {
        "DCR" => DepthOrder::Dcr,
        "CRD" => DepthOrder::Crd,
        other => return Err(node.malformed(format!("attribute 'mode' is '{other}'"))),
    };
    let inputs = node.values(im, 1)?;
    Ok(Meaning::Op(Op::DepthToSpace { block, order }, inputs))
}

fn space_to_depth(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let block = node.count("blocksize", 0)?;
    let inputs = node.values(im, 1)?;
    Ok(Meaning::Op(Op::SpaceToDepth { block }, inputs))
}

fn trilu(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let upper = node.flag("upper", true)?;
    let x = node.value(im, 0)?;
    let diagonal = if node.input(1).is_some() { node.constant_int(im, 1)? } else { 0 };
    Ok(Meaning::Op(Op::Trilu { upper, diagonal }, vec![Some(x)]))
}
