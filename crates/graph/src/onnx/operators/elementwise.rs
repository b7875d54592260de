//! Functions of single elements.

use super::Family;
use crate::onnx::import::Importer;
use crate::onnx::node::{Meaning, NodeIn};
use crate::op::{Binary, Compare, Logic, Op, Unary};
use crate::{DType, Result, Tensor, ValueId};

pub(super) const OPERATORS: &Family = &[
    ("Abs", |im, n| unary(im, n, Unary::Abs)),
    ("Add", |im, n| binary(im, n, Binary::Add)),
    ("And", |im, n| pair(im, n, Op::Logic(Logic::And))),
    ("Cast", cast),
    ("CastLike", cast_like),
    ("Ceil", |im, n| unary(im, n, Unary::Ceil)),
    ("Celu", |im, n| {
        let alpha = n.float("alpha", 1.0)?;
        unary(im, n, Unary::Celu { alpha })
    }),
    ("Clip", clip),
    ("Cos", |im, n| unary(im, n, Unary::Cos)),
    ("Div", |im, n| binary(im, n, Binary::Div)),
    ("Elu", |im, n| {
        let alpha = n.float("alpha", 1.0)?;
        unary(im, n, Unary::Elu { alpha })
    }),
    ("Equal", |im, n| pair(im, n, Op::Compare(Compare::Equal))),
    ("Erf", |im, n| unary(im, n, Unary::Erf)),
    ("Exp", |im, n| unary(im, n, Unary::Exp)),
    ("Floor", |im, n| unary(im, n, Unary::Floor)),
    ("Gelu", gelu),
    ("Greater", |im, n| pair(im, n, Op::Compare(Compare::Greater))),
    ("GreaterOrEqual", |im, n| pair(im, n, Op::Compare(Compare::GreaterOrEqual))),
    ("HardSigmoid", |im, n| {
        let (alpha, beta) = (n.float("alpha", 0.2)?, n.float("beta", 0.5)?);
        unary(im, n, Unary::HardSigmoid { alpha, beta })
    }),
    ("HardSwish", |im, n| unary(im, n, Unary::HardSwish)),
    ("IsInf", |im, n| {
        let (negative, positive) =
            (n.flag("detect_negative", true)?, n.flag("detect_positive", true)?);
        single(im, n, Op::IsInf { negative, positive })
    }),
    ("IsNaN", |im, n| single(im, n, Op::IsNan)),
    ("LeakyRelu", |im, n| {
        let alpha = n.float("alpha", 0.01)?;
        unary(im, n, Unary::LeakyRelu { alpha })
    }),
    ("Less", |im, n| pair(im, n, Op::Compare(Compare::Less))),
    ("LessOrEqual", |im, n| pair(im, n, Op::Compare(Compare::LessOrEqual))),
    ("Log", |im, n| unary(im, n, Unary::Log)),
    ("Max", |im, n| joined(im, n, Binary::Max)),
    ("Mean", mean),
    ("Min", |im, n| joined(im, n, Binary::Min)),
    ("Mish", |im, n| unary(im, n, Unary::Mish)),
    ("Mod", modulo),
    ("Mul", |im, n| binary(im, n, Binary::Mul)),
    ("Neg", |im, n| unary(im, n, Unary::Neg)),
    ("Not", |im, n| single(im, n, Op::Not)),
    ("Or", |im, n| pair(im, n, Op::Logic(Logic::Or))),
    ("PRelu", prelu),
    ("Pow", pow),
    ("Reciprocal", |im, n| unary(im, n, Unary::Reciprocal)),
    ("Relu", |im, n| unary(im, n, Unary::Relu)),
    ("Round", |im, n| unary(im, n, Unary::Round)),
    ("Selu", |im, n| {
        // The defaults of ONNX, which are rounded to float32 from opset 6 on.
        let (alpha, gamma) = (n.float("alpha", 1.673_263_2)?, n.float("gamma", 1.050_701)?);
        unary(im, n, Unary::Selu { alpha, gamma })
    }),
    ("Shrink", |im, n| {
        let (bias, lambda) = (n.float("bias", 0.0)?, n.float("lambd", 0.5)?);
        unary(im, n, Unary::Shrink { bias, lambda })
    }),
    ("Sigmoid", |im, n| unary(im, n, Unary::Sigmoid)),
    ("Sign", |im, n| unary(im, n, Unary::Sign)),
    ("Sin", |im, n| unary(im, n, Unary::Sin)),
    ("Softplus", |im, n| unary(im, n, Unary::Softplus)),
    ("Softsign", |im, n| unary(im, n, Unary::Softsign)),
    ("Sqrt", |im, n| unary(im, n, Unary::Sqrt)),
    ("Sub", |im, n| binary(im, n, Binary::Sub)),
    ("Sum", |im, n| joined(im, n, Binary::Add)),
    ("Swish", swish),
    ("Tan", tan),
    ("Tanh", |im, n| unary(im, n, Unary::Tanh)),
    ("ThresholdedRelu", |im, n| {
        let alpha = n.float("alpha", 1.0)?;
        unary(im, n, Unary::ThresholdedRelu { alpha })
    }),
    ("Where", choose),
    ("Xor", |im, n| pair(im, n, Op::Logic(Logic::Xor))),
];

fn single(im: &mut Importer, node: &mut NodeIn, op: Op) -> Result<Meaning> {
    let inputs = node.values(im, 1)?;
    Ok(Meaning::Op(op, inputs))
}

fn unary(im: &mut Importer, node: &mut NodeIn, function: Unary) -> Result<Meaning> {
    single(im, node, Op::Unary(function))
}

fn pair(im: &mut Importer, node: &mut NodeIn, op: Op) -> Result<Meaning> {
    let [a, b] = operands(im, node)?;
    Ok(Meaning::Op(op, vec![Some(a), Some(b)]))
}

fn binary(im: &mut Importer, node: &mut NodeIn, function: Binary) -> Result<Meaning> {
    pair(im, node, Op::Binary(function))
}

/// Both inputs. Before opset 7 the second one broadcasts where the node says so, its dimensions
/// laid beside those of the first from `axis` on.
fn operands(im: &mut Importer, node: &mut NodeIn) -> Result<[ValueId; 2]> {
    node.values(im, 2)?;
    let (a, mut b) = (node.value(im, 0)?, node.value(im, 1)?);
    if node.opset < 7 && node.flag("broadcast", false)? {
        let (wide, narrow) = (node.shape(im, a).rank(), node.shape(im, b).rank());
        let suffix = wide.saturating_sub(narrow);
        let axis = node.int("axis", suffix as i64)?;
        let axis = if axis == wide as i64 { wide } else { node.axis(axis, wide)? };
        let Some(behind) = wide.checked_sub(axis + narrow) else {
            return Err(node.malformed(format!("axis {axis} leaves no room for the second input")));
        };
        b = widened(im, node, b, behind)?;
    }
    Ok([a, b])
}

/// `x` with `count` dimensions of extent 1 behind its own.
fn widened(im: &mut Importer, node: &NodeIn, x: ValueId, count: usize) -> Result<ValueId> {
    let rank = node.shape(im, x).rank();
    match count {
        0 => Ok(x),
        _ => {
            let axes = (rank..rank + count).collect();
            im.emit(node, "widened", Op::Unsqueeze { axes }, &[Some(x)])
        }
    }
}

/// Any number of inputs, joined from the left.
fn joined(im: &mut Importer, node: &mut NodeIn, function: Binary) -> Result<Meaning> {
    let inputs = node.all_values(im)?;
    let [first, middle @ .., last] = inputs.as_slice() else {
        return Ok(Meaning::Same(node.value(im, 0)?));
    };
    let mut total = *first;
    for &next in middle {
        total = im.binary(node, function, total, next)?;
    }
    Ok(Meaning::Op(Op::Binary(function), vec![Some(total), Some(*last)]))
}

fn mean(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let inputs = node.all_values(im)?;
    let Some((&first, rest)) = inputs.split_first() else {
        return Err(node.malformed("has no inputs"));
    };
    let mut total = first;
    for &next in rest {
        total = im.binary(node, Binary::Add, total, next)?;
    }
    let count = im.scalar(node, inputs.len() as f32)?;
    Ok(Meaning::Op(Op::Binary(Binary::Div), vec![Some(total), Some(count)]))
}

/// The exponent may have a type of its own; the result has that of the base.
fn pow(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let [base, exponent] = operands(im, node)?;
    if node.dtype(im, base) != DType::F32 {
        let dtype = node.dtype(im, base);
        return Err(node.unsupported(format!("the base is {dtype}, must be float32")));
    }
    let exponent = im.cast(node, exponent, DType::F32)?;
    Ok(Meaning::Op(Op::Binary(Binary::Pow), vec![Some(base), Some(exponent)]))
}

fn modulo(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let function = if node.flag("fmod", false)? { Binary::Fmod } else { Binary::Mod };
    binary(im, node, function)
}

/// The slope broadcasts to the input. Before opset 7 a vector of slopes is one for each channel.
fn prelu(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    node.values(im, 2)?;
    let (x, mut slope) = (node.value(im, 0)?, node.value(im, 1)?);
    let slopes = node.shape(im, slope);
    if node.opset < 7 && slopes.rank() == 1 && slopes.dims()[0].fixed() != Some(1) {
        let behind = node.shape(im, x).rank().saturating_sub(2);
        slope = widened(im, node, slope, behind)?;
    }
    Ok(Meaning::Op(Op::Binary(Binary::PRelu), vec![Some(x), Some(slope)]))
}

fn choose(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let inputs = node.values(im, 3)?;
    Ok(Meaning::Op(Op::Where, inputs))
}

/// All floats are float32 in the graph: between them nothing happens.
fn cast(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let to = node.int("to", 0)?;
    let to = node.element_type("to", to)?;
    convert(im, node, to)
}

fn cast_like(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let like = node.value(im, 1)?;
    let to = node.dtype(im, like);
    convert(im, node, to)
}

fn convert(im: &mut Importer, node: &mut NodeIn, to: DType) -> Result<Meaning> {
    node.flag("saturate", true)?; // float8 only
    node.string("round_mode")?; // float8e8m0 only
    let x = node.value(im, 0)?;
    match node.dtype(im, x) == to {
        true => Ok(Meaning::Same(x)),
        false => Ok(Meaning::Op(Op::Cast { to }, vec![Some(x)])),
    }
}

/// Bounds are attributes up to opset 10, inputs from 11 on. Where one is not a constant, or does
/// not fit float32, this is `Min(Max(x, low), high)`.
fn clip(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    node.values(im, 3)?;
    let x = node.value(im, 0)?;
    if node.opset < 11 {
        if node.dtype(im, x) != DType::F32 {
            return Err(node.malformed("clips integers, which it does from opset 12 on"));
        }
        // The extreme numbers are the old way to say "no bound".
        let (min, max) = (node.float("min", f32::MIN)?, node.float("max", f32::MAX)?);
        let (min, max) =
            (Some(min).filter(|&v| v != f32::MIN), Some(max).filter(|&v| v != f32::MAX));
        return clamp(node, x, min, max);
    }
    let mut constants = [None; 2];
    let mut bounds = [None; 2];
    for i in 0..2 {
        bounds[i] = node.optional(im, i + 1)?;
        constants[i] = bounds[i].and_then(|id| im.graph.constant(id)).and_then(exact_number);
    }
    if (0..2).all(|i| bounds[i].is_some() == constants[i].is_some()) {
        return clamp(node, x, constants[0], constants[1]);
    }
    let mut bounded = x;
    for (function, bound) in [(Binary::Max, bounds[0]), (Binary::Min, bounds[1])] {
        if let Some(bound) = bound {
            bounded = im.binary(node, function, bounded, bound)?;
        }
    }
    Ok(Meaning::Same(bounded))
}

fn clamp(node: &NodeIn, x: ValueId, min: Option<f32>, max: Option<f32>) -> Result<Meaning> {
    let (min, max) = (min.unwrap_or(f32::NEG_INFINITY), max.unwrap_or(f32::INFINITY));
    if min.is_nan() || max.is_nan() {
        return Err(node.malformed("a bound is not a number"));
    }
    Ok(Meaning::Op(Op::Unary(Unary::Clip { min, max }), vec![Some(x)]))
}

/// The only element of a tensor, where it is a float32 or an integer that is one.
fn exact_number(tensor: &Tensor) -> Option<f32> {
    if tensor.len() != 1 {
        return None;
    }
    let number = tensor.to_f32()[0];
    match tensor.dtype() {
        DType::F32 => Some(number),
        _ => Some(number).filter(|n| n.abs() <= (1 << 24) as f32),
    }
}

pub(super) fn gelu(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    match node.string("approximate")?.unwrap_or("none") {
        "none" => unary(im, node, Unary::Gelu { tanh: false }),
        "tanh" => unary(im, node, Unary::Gelu { tanh: true }),
        other => Err(node.malformed(format!("attribute 'approximate' is '{other}'"))),
    }
}

fn swish(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let alpha = node.float("alpha", 1.0)?;
    let x = node.value(im, 0)?;
    scaled_swish(im, node, x, alpha)
}

/// x * sigmoid(alpha * x)
pub(super) fn scaled_swish(
    im: &mut Importer,
    node: &NodeIn,
    x: ValueId,
    alpha: f32,
) -> Result<Meaning> {
    if alpha == 1.0 {
        return Ok(Meaning::Op(Op::Unary(Unary::Silu), vec![Some(x)]));
    }
    let alpha = im.scalar(node, alpha)?;
    let scaled = im.binary(node, Binary::Mul, x, alpha)?;
    let gate = im.unary(node, Unary::Sigmoid, scaled)?;
    Ok(Meaning::Op(Op::Binary(Binary::Mul), vec![Some(x), Some(gate)]))
}

fn tan(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let (sine, cosine) = (im.unary(node, Unary::Sin, x)?, im.unary(node, Unary::Cos, x)?);
    Ok(Meaning::Op(Op::Binary(Binary::Div), vec![Some(sine), Some(cosine)]))
}
