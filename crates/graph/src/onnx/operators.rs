//! Which mapping imports which operator.

use super::import::Importer;
use super::node::{Meaning, NodeIn};
use super::{ops_math, ops_quantize, ops_shape, ops_window};
use crate::op::{Binary, Op, Unary};
use crate::{Result, Tensor};

/// The operators that import understands, alphabetically. Those marked `*` only on integers that
/// become shapes.
pub const SUPPORTED: &[&str] = &[
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Ceil*",
    "Clip",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Conv",
    "DequantizeLinear",
    "Div",
    "Dropout",
    "Flatten",
    "Floor*",
    "Gather*",
    "Gemm",
    "GlobalAveragePool",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "MatMul",
    "MaxPool",
    "Mul",
    "Neg*",
    "Pad",
    "QuantizeLinear",
    "Range*",
    "ReduceMean",
    "ReduceProd*",
    "Relu",
    "Reshape",
    "Shape",
    "Sigmoid",
    "Size",
    "Slice",
    "Softmax",
    "Split",
    "Squeeze",
    "Sub",
    "Sum",
    "Transpose",
    "Unsqueeze",
];

/// The reason given for an operator that is not in the list.
pub(super) fn list() -> String {
    format!("supported operators (* only on shapes) are {}", SUPPORTED.join(", "))
}

/// What `node`, of the standard domain, means. Inputs are values by now: shape computations were
/// tried before.
pub(super) fn map(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    if node.proto.domain() == "com.microsoft" {
        return Err(node.unsupported(list()));
    }
    match node.proto.op_type() {
        "Conv" => ops_window::conv(im, node),
        "MaxPool" => ops_window::max_pool(im, node),
        "AveragePool" => ops_window::average_pool(im, node),
        "GlobalAveragePool" => {
            let x = node.values(im, 1)?;
            Ok(Meaning::Op(Op::GlobalAveragePool, x))
        }
        "Gemm" => ops_math::gemm(im, node),
        "MatMul" => {
            let inputs = node.values(im, 2)?;
            Ok(Meaning::Op(Op::MatMul, inputs))
        }
        "BatchNormalization" => ops_math::batch_norm(im, node),
        "Add" => ops_math::binary(im, node, Binary::Add),
        "Sub" => ops_math::binary(im, node, Binary::Sub),
        "Mul" => ops_math::binary(im, node, Binary::Mul),
        "Div" => ops_math::binary(im, node, Binary::Div),
        "Sum" => ops_math::sum(im, node),
        "Relu" => ops_math::unary(im, node, Unary::Relu),
        "Sigmoid" => ops_math::unary(im, node, Unary::Sigmoid),
        "HardSwish" => ops_math::unary(im, node, Unary::HardSwish),
        "LeakyRelu" => {
            let alpha = node.float("alpha", 0.01)?;
            ops_math::unary(im, node, Unary::LeakyRelu { alpha })
        }
        "HardSigmoid" => {
            let (alpha, beta) = (node.float("alpha", 0.2)?, node.float("beta", 0.5)?);
            ops_math::unary(im, node, Unary::HardSigmoid { alpha, beta })
        }
        "Clip" => ops_math::clip(im, node),
        "Softmax" => ops_math::softmax(im, node),
        "ReduceMean" => ops_math::reduce_mean(im, node),
        "QuantizeLinear" => ops_quantize::quantize(im, node),
        "DequantizeLinear" => ops_quantize::dequantize(im, node),
        "Concat" => ops_shape::concat(im, node),
        "Split" => ops_shape::split(im, node),
        "Slice" => ops_shape::slice(im, node),
        "Reshape" => ops_shape::reshape(im, node),
        "Flatten" => ops_shape::flatten(im, node),
        "Transpose" => ops_shape::transpose(im, node),
        "Pad" => ops_shape::pad(im, node),
        "Squeeze" => ops_shape::squeeze(im, node),
        "Unsqueeze" => ops_shape::unsqueeze(im, node),
        "Cast" => ops_shape::cast(im, node),
        "Identity" => same(im, node),
        "Dropout" => dropout(im, node),
        "Constant" => constant(im, node),
        other => Err(node.unsupported(match on_shapes(other) {
            true => "its inputs must be shapes, or integers known at import".to_string(),
            false => list(),
        })),
    }
}

/// Whether an operator is understood in shape computations, and nowhere else.
fn on_shapes(op: &str) -> bool {
    op == "ConstantOfShape" || SUPPORTED.iter().any(|known| known.strip_suffix('*') == Some(op))
}

fn same(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    Ok(Meaning::Same(node.value(im, 0)?))
}

/// Inference only: the input, whatever the ratio and seed. Opset 12 made the mode an input.
fn dropout(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    node.float("ratio", 0.5)?;
    node.int("seed", 0)?;
    if let Some(id) = node.optional(im, 2)? {
        let training = im.graph.constant(id).map(Tensor::to_f32);
        if training.is_none_or(|t| t.iter().any(|&v| v != 0.0)) {
            return Err(node.unsupported("its training mode must be the constant false"));
        }
    }
    same(im, node)
}

fn constant(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let place = format!("constant of node '{}'", node.name);
    let tensor = node.attributes.tensor("value");
    let tensor = if let Some(proto) = node.attribute(tensor)? {
        im.stored(proto, &place)?
    } else if node.attributes.has("value_float") {
        Tensor::scalar(node.float("value_float", 0.0)?)
    } else if node.attributes.has("value_int") {
        Tensor::new([], vec![node.int("value_int", 0)?])?
    } else if let Some(ints) = node.ints("value_ints")? {
        Tensor::vector(ints.to_vec())
    } else {
        let floats = node.attributes.floats("value_floats");
        match node.attribute(floats)? {
            Some(floats) => Tensor::vector(floats.to_vec()),
            None => return Err(node.unsupported("it must hold a dense tensor of numbers")),
        }
    };
    Ok(Meaning::Constant(tensor))
}
