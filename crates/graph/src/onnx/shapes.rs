//! Evaluation of the computations that exporters write around shapes.
//!
//! `x.view(x.size(0), -1)` becomes Shape, Gather, Unsqueeze, Concat and Reshape in a traced model.
//! With a batch of unknown size those nodes cannot be folded to numbers, but their elements are
//! numbers or multiples of a symbol: `[N, -1]`. This evaluates small vectors of such elements, so
//! that Reshape sees what it copies and what it infers, and the chain disappears.

use super::import::{Importer, Slot};
use super::items::{self, Item, Items};
use super::node::{Meaning, NodeIn};
use super::tensors;
use crate::limits::MAX_SHAPE_ITEMS;
use crate::{DType, Data, Result, Tensor};

/// Evaluates `node` where it computes on shapes: the result, or `None` where it is an operator on
/// tensors. Fails where it is certainly a shape computation, but beyond what is understood.
pub(super) fn evaluate(im: &mut Importer, node: &mut NodeIn) -> Result<Option<Meaning>> {
    let op = node.proto.op_type();
    if matches!(op, "Shape" | "Size") {
        let result = extents(im, node)?;
        return finish(node, result).map(Some);
    }
    const OPERATORS: [&str; 24] = [
        "Add",
        "Cast",
        "Ceil",
        "Concat",
        "ConstantOfShape",
        "Div",
        "Equal",
        "Floor",
        "Gather",
        "Identity",
        "Max",
        "Min",
        "Mod",
        "Mul",
        "Neg",
        "Range",
        "ReduceProd",
        "Reshape",
        "Slice",
        "Squeeze",
        "Sub",
        "Transpose",
        "Unsqueeze",
        "Where",
    ];
    let inputs = &node.proto.input;
    if !OPERATORS.contains(&op) || inputs.len() > MAX_SHAPE_ITEMS || inputs.contains(&String::new())
    {
        return Ok(None);
    }
    // The first input decides; a float constant may come first where a shape is scaled.
    let names = || inputs.iter().map(String::as_str);
    let computed = |name: &str| matches!(im.slots.get(name), Some(Slot::Items(_)));
    let integers = |name: &str| match im.slots.get(name) {
        Some(Slot::Value(id)) => im.graph.value(*id).dtype == DType::I64,
        Some(Slot::Items(_)) => true,
        None => false,
    };
    let scaled = matches!(op, "Add" | "Sub" | "Mul" | "Div") && names().any(computed);
    if !scaled && !names().next().is_some_and(integers) {
        return Ok(None);
    }
    let Some(inputs) = names().map(|name| im.items(name)).collect::<Option<Vec<Items>>>() else {
        return Ok(None);
    };
    if op == "ConstantOfShape" {
        return constant_of_shape(im, node, &inputs[0]).map(Some);
    }
    let attributes = node.attributes.clone();
    let result = apply(node, &inputs)?;
    let symbolic = inputs.iter().flat_map(Items::items).any(|i| matches!(i, Item::Symbol(..)));
    if result.is_none() && !symbolic {
        // An operator on constants, which folding computes.
        node.attributes = attributes;
        return Ok(None);
    }
    finish(node, result).map(Some)
}

fn finish(node: &NodeIn, result: Option<Items>) -> Result<Meaning> {
    result.map(Meaning::Items).ok_or_else(|| {
        node.unsupported("this computation on shapes is not understood; export with fixed extents")
    })
}

/// Shape (with `start` and `end` since opset 15) and Size.
fn extents(im: &mut Importer, node: &mut NodeIn) -> Result<Option<Items>> {
    let items = match node.input(0).and_then(|name| im.slots.get(name)) {
        Some(Slot::Items(items)) => {
            Some(items.dims().iter().map(|&d| Item::Int(d as i64)).collect::<Vec<_>>())
        }
        _ => {
            let id = node.value(im, 0)?;
            Item::all_of(&im.graph.value(id).shape)
        }
    };
    let Some(items) = items else { return Ok(None) };
    if node.proto.op_type() == "Size" {
        return Ok(items::product(&items).and_then(Items::scalar));
    }
    let rank = items.len() as i64;
    let clamp = |v: i64| (if v < 0 { v.saturating_add(rank) } else { v }).clamp(0, rank) as usize;
    let (start, end) = (clamp(node.int("start", 0)?), clamp(node.int("end", rank)?));
    Ok(Items::vector(items.get(start..end).unwrap_or_default().to_vec()))
}

fn apply(node: &mut NodeIn, inputs: &[Items]) -> Result<Option<Items>> {
    let x = &inputs[0];
    Ok(match node.proto.op_type() {
        "Identity" => Some(x.clone()),
        op @ ("Add" | "Sub" | "Mul" | "Div" | "Equal" | "Min" | "Max") => {
            items::elementwise(op, inputs)
        }
        "Mod" if !node.flag("fmod", false)? => items::elementwise("Mod", inputs),
        "Where" => items::choose(inputs),
        "Cast" => {
            let to = i32::try_from(node.int("to", 0)?).ok().and_then(tensors::dtype);
            node.flag("saturate", true)?; // float8 only
            to.and_then(|to| items::cast(x, to))
        }
        "Floor" => items::rounded(x, f64::floor),
        "Ceil" => items::rounded(x, f64::ceil),
        "Neg" => Items::scalar(Item::Int(-1))
            .and_then(|minus| items::elementwise("Mul", &[x.clone(), minus])),
        "ReduceProd" => {
            let keep = node.flag("keepdims", true)?;
            node.ints("axes")?;
            node.flag("noop_with_empty_axes", false)?;
            let total = if x.rank() == 1 { items::product(x.items()) } else { None };
            match keep {
                true => total.and_then(|total| Items::vector(vec![total])),
                false => total.and_then(Items::scalar),
            }
        }
        "Range" => items::range(inputs),
        "Gather" => items::gather(x, inputs.get(1), node.int("axis", 0)?),
        "Slice" => {
            let attributes = [node.ints("starts")?, node.ints("ends")?, node.ints("axes")?];
            items::slice(x, attributes, &inputs[1..])
        }
        "Concat" => items::concat(inputs, node.int("axis", 0)?),
        "Transpose" => {
            let reversed = node.ints("perm")?.is_none_or(|p| p == [1, 0]);
            items::transpose(x, reversed)
        }
        "Reshape" => {
            node.flag("allowzero", false)?;
            inputs.get(1).and_then(Items::ints).and_then(|to| items::reshape(x, &to))
        }
        "Squeeze" | "Unsqueeze" => {
            let insert = node.proto.op_type() == "Unsqueeze";
            let axes = match node.ints("axes")? {
                Some(axes) => Some(axes.to_vec()),
                None => inputs.get(1).and_then(Items::ints),
            };
            items::relabel(x, axes, insert)
        }
        _ => None,
    })
}

/// A small result of integers stays an evaluation; anything else is a constant.
fn constant_of_shape(im: &mut Importer, node: &mut NodeIn, shape: &Items) -> Result<Meaning> {
    let place = format!("node '{}'", node.name);
    let value = node.attributes.tensor("value");
    let value = match node.attribute(value)? {
        Some(proto) => im.stored(proto, &place)?,
        None => Tensor::scalar(0.0),
    };
    let dims = shape.ints().filter(|_| shape.rank() == 1 && value.len() == 1);
    let dims = dims.and_then(|d| d.into_iter().map(|n| usize::try_from(n).ok()).collect());
    let Some(dims): Option<Vec<usize>> = dims else {
        return Err(node.unsupported(format!("shape {shape} with {} values", value.len())));
    };
    let count = crate::checked_len(&dims, &place)?;
    im.count_folded(count, &place)?;
    let data: Data = match value.data() {
        Data::F32(v) => vec![v[0]; count].into(),
        Data::U8(v) => vec![v[0]; count].into(),
        Data::I8(v) => vec![v[0]; count].into(),
        Data::I32(v) => vec![v[0]; count].into(),
        Data::I64(v) => vec![v[0]; count].into(),
        Data::Bool(v) => vec![v[0]; count].into(),
    };
    let tensor = Tensor::new(dims, data)?;
    match Items::of(&tensor).filter(|_| tensor.dtype() == DType::I64) {
        Some(items) => Ok(Meaning::Items(items)),
        None => Ok(Meaning::Constant(tensor)),
    }
}
