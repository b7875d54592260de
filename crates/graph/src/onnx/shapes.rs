//! Evaluation of the computations that exporters write around shapes.
//!
//! `x.view(x.size(0), -1)` becomes Shape, Gather, Unsqueeze, Concat and Reshape in a traced model.
//! With a batch of unknown size those nodes cannot be folded to numbers, but their elements are
//! numbers or multiples of a symbol: `[N, -1]`. This evaluates small vectors of such elements, so
//! that Reshape sees what it copies and what it infers, and the chain disappears.

use std::fmt;
use std::sync::Arc;

use super::import::{Importer, Slot};
use super::node::{Meaning, NodeIn};
use super::tensors;
use crate::limits::MAX_SHAPE_ITEMS;
use crate::{DType, Data, Dim, Result, Shape, Tensor};

/// One element.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    Int(i64),
    /// On the way from one integer to another, as in `floor(size * 0.5)`.
    Float(f64),
    /// A multiple of an unknown extent.
    Symbol(Arc<str>, i64),
}

impl Item {
    /// The extent of a dimension as an element of a shape computation; `None` beyond 2^63.
    pub fn of(dim: &Dim) -> Option<Item> {
        match dim {
            Dim::Fixed(n) => i64::try_from(*n).ok().map(Item::Int),
            Dim::Symbol(name) => Some(Item::Symbol(name.clone(), 1)),
        }
    }

    /// All extents of a shape.
    pub fn all_of(shape: &Shape) -> Option<Vec<Item>> {
        shape.dims().iter().map(Item::of).collect()
    }
}

/// A small tensor of elements, row-major.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Items {
    dims: Vec<usize>,
    items: Vec<Item>,
}

impl fmt::Display for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |item: &Item| match item {
            Item::Int(n) => n.to_string(),
            Item::Float(x) => x.to_string(),
            Item::Symbol(name, 1) => name.to_string(),
            Item::Symbol(name, n) => format!("{n}*{name}"),
        };
        let items: Vec<String> = self.items.iter().map(show).collect();
        write!(f, "[{}]", items.join(", "))
    }
}

impl Items {
    /// A result within the limit.
    fn new(dims: Vec<usize>, items: Vec<Item>) -> Option<Items> {
        let fits = dims.iter().product::<usize>() == items.len() && items.len() <= MAX_SHAPE_ITEMS;
        fits.then_some(Items { dims, items })
    }

    fn vector(items: Vec<Item>) -> Option<Items> {
        Items::new(vec![items.len()], items)
    }

    fn scalar(item: Item) -> Option<Items> {
        Items::new(vec![], vec![item])
    }

    /// The elements of a constant: small, of integers or floats.
    pub fn of(tensor: &Tensor) -> Option<Items> {
        if tensor.len() > MAX_SHAPE_ITEMS {
            return None;
        }
        let items = match tensor.data() {
            Data::F32(values) => values.iter().map(|&v| Item::Float(v.into())).collect(),
            Data::I64(_) | Data::I32(_) => {
                tensor.to_i64().ok()?.into_iter().map(Item::Int).collect()
            }
            _ => return None,
        };
        Items::new(tensor.shape().to_vec(), items)
    }

    pub fn rank(&self) -> usize {
        self.dims.len()
    }

    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The elements where all are known integers.
    pub fn ints(&self) -> Option<Vec<i64>> {
        self.items.iter().map(|i| if let Item::Int(n) = i { Some(*n) } else { None }).collect()
    }

    /// As a constant, where no element is a symbol.
    pub fn tensor(&self) -> Option<Tensor> {
        let data: Data = match self.ints() {
            Some(ints) => ints.into(),
            None => {
                let float = |item: &Item| match item {
                    Item::Int(n) => Some(*n as f32),
                    Item::Float(x) => Some(*x as f32),
                    Item::Symbol(..) => None,
                };
                self.items.iter().map(float).collect::<Option<Vec<f32>>>()?.into()
            }
        };
        Tensor::new(self.dims.clone(), data).ok()
    }

    /// Element `i` of the result is element `from[i]`.
    fn pick(&self, dims: Vec<usize>, from: impl Iterator<Item = usize>) -> Option<Items> {
        Items::new(dims, from.map(|i| self.items.get(i).cloned()).collect::<Option<_>>()?)
    }
}

/// Evaluates `node` where it computes on shapes: the result, or `None` where it is an operator on
/// tensors. Fails where it is certainly a shape computation, but beyond what is understood.
pub(super) fn evaluate(im: &mut Importer, node: &mut NodeIn) -> Result<Option<Meaning>> {
    let op = node.proto.op_type();
    if matches!(op, "Shape" | "Size") {
        let result = extents(im, node)?;
        return finish(node, result).map(Some);
    }
    const OPERATORS: [&str; 19] = [
        "Add",
        "Cast",
        "Ceil",
        "Concat",
        "ConstantOfShape",
        "Div",
        "Floor",
        "Gather",
        "Identity",
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
    let symbolic = inputs.iter().flat_map(|x| &x.items).any(|i| matches!(i, Item::Symbol(..)));
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
            Some(items.dims.iter().map(|&d| Item::Int(d as i64)).collect::<Vec<_>>())
        }
        _ => {
            let id = node.value(im, 0)?;
            Item::all_of(&im.graph.value(id).shape)
        }
    };
    let Some(items) = items else { return Ok(None) };
    if node.proto.op_type() == "Size" {
        return Ok(product(&items).and_then(Items::scalar));
    }
    let rank = items.len() as i64;
    let clamp = |v: i64| (if v < 0 { v.saturating_add(rank) } else { v }).clamp(0, rank) as usize;
    let (start, end) = (clamp(node.int("start", 0)?), clamp(node.int("end", rank)?));
    Ok(Items::vector(items.get(start..end).unwrap_or_default().to_vec()))
}

fn product(items: &[Item]) -> Option<Item> {
    items.iter().try_fold(Item::Int(1), |a, b| arithmetic("Mul", &a, b))
}

fn apply(node: &mut NodeIn, inputs: &[Items]) -> Result<Option<Items>> {
    let x = &inputs[0];
    Ok(match node.proto.op_type() {
        "Identity" => Some(x.clone()),
        "Add" | "Sub" | "Mul" | "Div" => elementwise(node.proto.op_type(), inputs),
        "Cast" => match tensors::dtype(i32::try_from(node.int("to", 0)?).unwrap_or(0)) {
            Some(DType::F32) => to_float(x),
            Some(DType::I64 | DType::I32) => to_int(x),
            _ => None,
        },
        "Floor" => rounded(x, f64::floor),
        "Ceil" => rounded(x, f64::ceil),
        "Neg" => {
            elementwise("Mul", &[x.clone(), Items { dims: vec![], items: vec![Item::Int(-1)] }])
        }
        "ReduceProd" => {
            let keep = node.flag("keepdims", true)?;
            node.ints("axes")?;
            node.flag("noop_with_empty_axes", false)?;
            let dims = if keep { vec![1] } else { vec![] };
            if x.rank() == 1 {
                product(&x.items).and_then(|p| Items::new(dims, vec![p]))
            } else {
                None
            }
        }
        "Range" => range(inputs),
        "Gather" => gather(x, inputs.get(1), node.int("axis", 0)?),
        "Slice" => {
            let attributes = [node.ints("starts")?, node.ints("ends")?, node.ints("axes")?];
            slice(x, attributes, &inputs[1..])
        }
        "Concat" => concat(inputs, node.int("axis", 0)?),
        "Transpose" => {
            let reversed = node.ints("perm")?.is_none_or(|p| p == [1, 0]);
            transpose(x, reversed)
        }
        "Reshape" => {
            node.flag("allowzero", false)?;
            inputs.get(1).and_then(Items::ints).and_then(|to| reshape(x, &to))
        }
        "Squeeze" | "Unsqueeze" => {
            let insert = node.proto.op_type() == "Unsqueeze";
            let axes = match node.ints("axes")? {
                Some(axes) => Some(axes.to_vec()),
                None => inputs.get(1).and_then(Items::ints),
            };
            relabel(x, axes, insert)
        }
        _ => None,
    })
}

/// Arithmetic of two elements; `None` where the result is no number or multiple of a symbol.
fn arithmetic(op: &str, a: &Item, b: &Item) -> Option<Item> {
    use Item::{Float, Int, Symbol};
    Some(match (op, a, b) {
        ("Add", Int(a), Int(b)) => Int(a.checked_add(*b)?),
        ("Sub", Int(a), Int(b)) => Int(a.checked_sub(*b)?),
        ("Mul", Int(a), Int(b)) => Int(a.checked_mul(*b)?),
        ("Div", Int(a), Int(b)) => Int(a.checked_div(*b)?),
        ("Add" | "Sub", Symbol(..), Int(0)) | ("Add", Int(0), Symbol(..)) => {
            if let Symbol(..) = a {
                a.clone()
            } else {
                b.clone()
            }
        }
        ("Mul", Symbol(s, n), Int(m)) | ("Mul", Int(m), Symbol(s, n)) => {
            Symbol(s.clone(), n.checked_mul(*m)?)
        }
        ("Div", Symbol(s, n), Int(m)) if *m != 0 && n.checked_rem(*m)? == 0 => {
            Symbol(s.clone(), n / m)
        }
        ("Div", Symbol(s, n), Symbol(t, m)) if s == t && *m != 0 && n.checked_rem(*m)? == 0 => {
            Int(n / m)
        }
        ("Sub", Symbol(..), Symbol(..)) if a == b => Int(0),
        (_, Int(_) | Float(_), Int(_) | Float(_)) => {
            let number = |item: &Item| if let Int(n) = item { *n as f64 } else { float(item) };
            let (a, b) = (number(a), number(b));
            Float(match op {
                "Add" => a + b,
                "Sub" => a - b,
                "Mul" => a * b,
                _ => a / b,
            })
        }
        _ => return None,
    })
}

fn float(item: &Item) -> f64 {
    if let Item::Float(x) = item { *x } else { f64::NAN }
}

fn elementwise(op: &str, inputs: &[Items]) -> Option<Items> {
    let [a, b] = inputs else { return None };
    let dims =
        if a.items.len() >= b.items.len() && a.rank() >= b.rank() { &a.dims } else { &b.dims };
    let count = dims.iter().product::<usize>();
    let fits = |x: &Items| x.dims == *dims || (x.items.len() == 1 && x.rank() <= dims.len());
    if !fits(a) || !fits(b) {
        return None;
    }
    let at = |x: &Items, i: usize| x.items[if x.dims == *dims { i } else { 0 }].clone();
    let items = (0..count).map(|i| arithmetic(op, &at(a, i), &at(b, i))).collect::<Option<_>>()?;
    Items::new(dims.clone(), items)
}

fn mapped(x: &Items, f: impl Fn(&Item) -> Item) -> Option<Items> {
    Items::new(x.dims.clone(), x.items.iter().map(f).collect())
}

fn to_float(x: &Items) -> Option<Items> {
    mapped(x, |item| if let Item::Int(n) = item { Item::Float(*n as f64) } else { item.clone() })
}

/// Towards zero, saturating.
fn to_int(x: &Items) -> Option<Items> {
    mapped(x, |item| if let Item::Float(v) = item { Item::Int(*v as i64) } else { item.clone() })
}

fn rounded(x: &Items, f: fn(f64) -> f64) -> Option<Items> {
    mapped(x, |item| if let Item::Float(v) = item { Item::Float(f(*v)) } else { item.clone() })
}

fn range(inputs: &[Items]) -> Option<Items> {
    let bounds: Vec<i64> = inputs.iter().map(Items::ints).collect::<Option<Vec<_>>>()?.concat();
    let [start, limit, step] = bounds[..] else { return None };
    let mut items = vec![];
    let mut next = start;
    while step != 0 && if step > 0 { next < limit } else { next > limit } {
        if items.len() == MAX_SHAPE_ITEMS {
            return None;
        }
        items.push(Item::Int(next));
        next = next.checked_add(step)?;
    }
    if step == 0 { None } else { Items::vector(items) }
}

/// From a vector, along axis 0.
fn gather(x: &Items, indices: Option<&Items>, axis: i64) -> Option<Items> {
    let (indices, len) = (indices?, x.items.len() as i64);
    if x.rank() != 1 || !matches!(axis, 0 | -1) {
        return None;
    }
    let index = |i: i64| usize::try_from(if i < 0 { i.checked_add(len)? } else { i }).ok();
    let from = indices.ints()?.into_iter().map(index).collect::<Option<Vec<_>>>()?;
    x.pick(indices.dims.clone(), from.into_iter())
}

/// Along axis 0, with any step; rows of a matrix move together.
fn slice(x: &Items, attributes: [Option<&[i64]>; 3], inputs: &[Items]) -> Option<Items> {
    let number = |attribute: usize, input: usize, default: Option<i64>| -> Option<i64> {
        let from_input = inputs.get(input).map(Items::ints);
        match (attributes.get(attribute).copied().flatten(), from_input) {
            (Some([n]), _) => Some(*n),
            (None, Some(Some(ints))) if ints.len() == 1 => Some(ints[0]),
            (None, None) => default,
            _ => None,
        }
    };
    let (start, end) = (number(0, 0, None)?, number(1, 1, None)?);
    let (axis, step) = (number(2, 2, Some(0))?, number(3, 3, Some(1))?);
    let rows = *x.dims.first()? as i64;
    if step == 0 || axis != 0 && axis.checked_add(x.rank() as i64) != Some(0) {
        return None;
    }
    let (low, high) = if step > 0 { (0, rows) } else { (-1, rows - 1) };
    let clamp = |v: i64| (if v < 0 { v.saturating_add(rows) } else { v }).clamp(low, high);
    let (mut at, end) = (clamp(start), clamp(end));
    let mut kept = vec![];
    while if step > 0 { at < end } else { at > end } {
        kept.push(at as usize);
        at = at.saturating_add(step);
    }
    let width = x.dims[1..].iter().product::<usize>();
    let mut dims = x.dims.clone();
    dims[0] = kept.len();
    x.pick(dims, kept.into_iter().flat_map(|row| row * width..(row + 1) * width))
}

/// Of vectors.
fn concat(inputs: &[Items], axis: i64) -> Option<Items> {
    if inputs.iter().any(|x| x.rank() != 1) || !matches!(axis, 0 | -1) {
        return None;
    }
    let total = inputs.iter().map(|x| x.items.len()).sum::<usize>();
    if total > MAX_SHAPE_ITEMS {
        return None;
    }
    Items::vector(inputs.iter().flat_map(|x| x.items.clone()).collect())
}

/// Of a matrix.
fn transpose(x: &Items, reversed: bool) -> Option<Items> {
    match x.dims[..] {
        [_] => Some(x.clone()),
        [h, w] if reversed => x.pick(vec![w, h], (0..h * w).map(|i| i % h * w + i / h)),
        _ => None,
    }
}

fn reshape(x: &Items, to: &[i64]) -> Option<Items> {
    let known = to.iter().filter(|&&n| n != -1).try_fold(1i64, |p, &n| p.checked_mul(n))?;
    let dims = to.iter().map(|&n| match n {
        -1 => (x.items.len() as i64).checked_div(known),
        n => (n >= 0).then_some(n),
    });
    let dims = dims.map(|n| n.and_then(|n| usize::try_from(n).ok())).collect::<Option<Vec<_>>>()?;
    if dims.len() > 2 { None } else { Items::new(dims, x.items.clone()) }
}

/// Between a scalar and a vector.
fn relabel(x: &Items, axes: Option<Vec<i64>>, insert: bool) -> Option<Items> {
    match (x.rank(), insert, axes.as_deref()) {
        (0, true, Some([0 | -1])) => Items::new(vec![1], x.items.clone()),
        (1, false, Some([0 | -1]) | None) => Items::new(vec![], x.items.clone()),
        _ => None,
    }
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
