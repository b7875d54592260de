//! Small tensors whose elements are numbers or multiples of an unknown extent, and the operators
//! on them that shape computations are made of.

use std::fmt;
use std::sync::Arc;

use crate::limits::MAX_SHAPE_ITEMS;
use crate::{DType, Data, Dim, Shape, Tensor};

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

/// A small tensor of elements, row-major. Booleans are 0 and 1.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Items {
    dims: Vec<usize>,
    items: Vec<Item>,
    dtype: DType,
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
    fn new(dims: Vec<usize>, items: Vec<Item>, dtype: DType) -> Option<Items> {
        let fits = dims.iter().product::<usize>() == items.len() && items.len() <= MAX_SHAPE_ITEMS;
        fits.then_some(Items { dims, items, dtype })
    }

    /// A vector of int64.
    pub fn vector(items: Vec<Item>) -> Option<Items> {
        Items::new(vec![items.len()], items, DType::I64)
    }

    /// An int64 without dimensions.
    pub fn scalar(item: Item) -> Option<Items> {
        Items::new(vec![], vec![item], DType::I64)
    }

    /// Other elements of the same type.
    fn with(&self, dims: Vec<usize>, items: Vec<Item>) -> Option<Items> {
        Items::new(dims, items, self.dtype)
    }

    /// The elements of a constant: small, of integers or floats.
    pub fn of(tensor: &Tensor) -> Option<Items> {
        if tensor.len() > MAX_SHAPE_ITEMS {
            return None;
        }
        let items = match tensor.data() {
            Data::F32(values) => values.iter().map(|&v| Item::Float(v.into())).collect(),
            Data::I64(_) | Data::I32(_) | Data::Bool(_) => {
                tensor.to_i64().ok()?.into_iter().map(Item::Int).collect()
            }
            _ => return None,
        };
        Items::new(tensor.shape().to_vec(), items, tensor.dtype())
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

    /// Extents, outermost first.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// As a constant, where no element is a symbol.
    pub fn tensor(&self) -> Option<Tensor> {
        let narrow = |n: i64| i32::try_from(n).ok();
        let data: Data = match self.dtype {
            DType::I64 => self.ints()?.into(),
            DType::I32 => self.ints()?.into_iter().map(narrow).collect::<Option<Vec<_>>>()?.into(),
            DType::Bool => self.ints()?.into_iter().map(|n| n != 0).collect::<Vec<_>>().into(),
            _ => self
                .items
                .iter()
                .map(|x| Some(number(x)? as f32))
                .collect::<Option<Vec<_>>>()?
                .into(),
        };
        Tensor::new(self.dims.clone(), data).ok()
    }

    /// Element `i` of this, broadcast to `dims`; `None` where it does not.
    fn spread<'a>(&'a self, dims: &[usize]) -> Option<impl Fn(usize) -> &'a Item + use<'a>> {
        let same = self.dims == dims;
        let fits = same || (self.items.len() == 1 && self.rank() <= dims.len());
        fits.then_some(move |i| &self.items[if same { i } else { 0 }])
    }

    /// Element `i` of the result is element `from[i]`.
    fn pick(&self, dims: Vec<usize>, from: impl Iterator<Item = usize>) -> Option<Items> {
        self.with(dims, from.map(|i| self.items.get(i).cloned()).collect::<Option<_>>()?)
    }
}

pub(super) fn product(items: &[Item]) -> Option<Item> {
    items.iter().try_fold(Item::Int(1), |a, b| arithmetic("Mul", &a, b))
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
        ("Mod", Int(a), Int(b)) => Int(floored_remainder(*a, *b)?),
        ("Min", Int(a), Int(b)) => Int(*a.min(b)),
        ("Max", Int(a), Int(b)) => Int(*a.max(b)),
        ("Equal", Int(a), Int(b)) => Int(i64::from(a == b)),
        // An extent is never negative; whether it is a given number is not known.
        ("Equal", Symbol(_, n), Int(m)) | ("Equal", Int(m), Symbol(_, n)) if *n > 0 && *m < 0 => {
            Int(0)
        }
        ("Equal", Symbol(..), Symbol(..)) if a == b => Int(1),
        ("Add" | "Sub" | "Mul" | "Div", a, b) => {
            let (a, b) = (number(a)?, number(b)?);
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

/// With the sign of `b`, as in Python.
fn floored_remainder(a: i64, b: i64) -> Option<i64> {
    let rest = a.checked_rem(b)?;
    Some(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })
}

/// The number that an element is, where it is known.
fn number(item: &Item) -> Option<f64> {
    match item {
        Item::Int(n) => Some(*n as f64),
        Item::Float(x) => Some(*x),
        Item::Symbol(..) => None,
    }
}

/// A function of two broadcast operands: equal shapes, or one element against many.
pub(super) fn elementwise(op: &str, inputs: &[Items]) -> Option<Items> {
    let [a, b] = inputs else { return None };
    let dims = wider(a, b);
    let (a_at, b_at) = (a.spread(dims)?, b.spread(dims)?);
    let count = dims.iter().product::<usize>();
    let items = (0..count).map(|i| arithmetic(op, a_at(i), b_at(i))).collect::<Option<Vec<_>>>()?;
    let dtype = match op {
        "Equal" => DType::Bool,
        _ if items.iter().any(|i| matches!(i, Item::Float(_))) => DType::F32,
        _ => a.dtype,
    };
    Items::new(dims.to_vec(), items, dtype)
}

fn wider<'a>(a: &'a Items, b: &'a Items) -> &'a [usize] {
    if a.items.len() >= b.items.len() && a.rank() >= b.rank() { &a.dims } else { &b.dims }
}

/// Where: elements of the second operand where the first is true, else of the third.
pub(super) fn choose(inputs: &[Items]) -> Option<Items> {
    let [condition, a, b] = inputs else { return None };
    let condition_or_a = if condition.items.len() > a.items.len() { condition } else { a };
    let dims = wider(condition_or_a, b).to_vec();
    let (at, a_at, b_at) = (condition.spread(&dims)?, a.spread(&dims)?, b.spread(&dims)?);
    let items = (0..dims.iter().product()).map(|i| match at(i) {
        Item::Int(0) => Some(b_at(i).clone()),
        Item::Int(_) => Some(a_at(i).clone()),
        _ => None,
    });
    let items = items.collect::<Option<Vec<_>>>()?;
    a.with(dims, items)
}

fn mapped(x: &Items, dtype: DType, f: impl Fn(&Item) -> Item) -> Option<Items> {
    Items::new(x.dims.clone(), x.items.iter().map(f).collect(), dtype)
}

/// Cast: to float, or towards zero to integers, saturating.
pub(super) fn cast(x: &Items, to: DType) -> Option<Items> {
    match to {
        DType::F32 => mapped(x, to, |item| match item {
            Item::Int(n) => Item::Float(*n as f64),
            other => other.clone(),
        }),
        DType::I64 | DType::I32 => mapped(x, to, |item| match item {
            Item::Float(v) => Item::Int(*v as i64),
            other => other.clone(),
        }),
        _ => None,
    }
}

pub(super) fn rounded(x: &Items, f: fn(f64) -> f64) -> Option<Items> {
    mapped(x, x.dtype, |item| match item {
        Item::Float(v) => Item::Float(f(*v)),
        other => other.clone(),
    })
}

pub(super) fn range(inputs: &[Items]) -> Option<Items> {
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
pub(super) fn gather(x: &Items, indices: Option<&Items>, axis: i64) -> Option<Items> {
    let (indices, len) = (indices?, x.items.len() as i64);
    if x.rank() != 1 || !matches!(axis, 0 | -1) {
        return None;
    }
    let index = |i: i64| usize::try_from(if i < 0 { i.checked_add(len)? } else { i }).ok();
    let from = indices.ints()?.into_iter().map(index).collect::<Option<Vec<_>>>()?;
    x.pick(indices.dims.clone(), from.into_iter())
}

/// Along axis 0, with any step; rows of a matrix move together.
pub(super) fn slice(x: &Items, attributes: [Option<&[i64]>; 3], inputs: &[Items]) -> Option<Items> {
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
pub(super) fn concat(inputs: &[Items], axis: i64) -> Option<Items> {
    if inputs.iter().any(|x| x.rank() != 1) || !matches!(axis, 0 | -1) {
        return None;
    }
    let total = inputs.iter().map(|x| x.items.len()).sum::<usize>();
    if total > MAX_SHAPE_ITEMS {
        return None;
    }
    inputs.first()?.with(vec![total], inputs.iter().flat_map(|x| x.items.clone()).collect())
}

/// Of a matrix.
pub(super) fn transpose(x: &Items, reversed: bool) -> Option<Items> {
    match x.dims[..] {
        [_] => Some(x.clone()),
        [h, w] if reversed => x.pick(vec![w, h], (0..h * w).map(|i| i % h * w + i / h)),
        _ => None,
    }
}

pub(super) fn reshape(x: &Items, to: &[i64]) -> Option<Items> {
    let known = to.iter().filter(|&&n| n != -1).try_fold(1i64, |p, &n| p.checked_mul(n))?;
    let dims = to.iter().map(|&n| match n {
        -1 => (x.items.len() as i64).checked_div(known),
        n => (n >= 0).then_some(n),
    });
    let dims = dims.map(|n| n.and_then(|n| usize::try_from(n).ok())).collect::<Option<Vec<_>>>()?;
    if dims.len() > 2 { None } else { x.with(dims, x.items.clone()) }
}

/// Between a scalar and a vector.
pub(super) fn relabel(x: &Items, axes: Option<Vec<i64>>, insert: bool) -> Option<Items> {
    match (x.rank(), insert, axes.as_deref()) {
        (0, true, Some([0 | -1])) => x.with(vec![1], x.items.clone()),
        (1, false, Some([0 | -1]) | None) => x.with(vec![], x.items.clone()),
        _ => None,
    }
}
