//! Every operator by values worked out by hand, and by the laws that hold between operators.

mod arrange;
mod elementwise;
mod graph;
mod index;
mod norm;
mod order;
mod product;
mod quantize;
mod reduce;
mod resize;
mod window;

use super::*;
use crate::*;

pub fn tensor(shape: &[usize], values: impl Into<Data>) -> Tensor {
    Tensor::new(shape, values).unwrap()
}

pub fn ramp(shape: &[usize]) -> Tensor {
    let len = shape.iter().product::<usize>();
    tensor(shape, (0..len).map(|i| i as f32).collect::<Vec<_>>())
}

/// Runs one operator on concrete inputs.
pub fn apply(op: Op, inputs: &[&Tensor]) -> Result<Tensor> {
    let node = Node { name: "node".into(), op, inputs: vec![], outputs: vec![] };
    let inputs: Vec<Option<&Tensor>> = inputs.iter().map(|&t| Some(t)).collect();
    Ok(run_node(&Graph::default(), &node, &inputs)?.remove(0))
}

pub fn expect(op: Op, inputs: &[&Tensor], shape: &[usize], values: &[f32]) {
    let name = op.name();
    let result = apply(op, inputs).unwrap();
    assert_eq!(result.shape(), shape, "{name}");
    assert_eq!(result.f32s().unwrap(), values, "{name}");
}

/// As [`expect`] for results of any type.
pub fn expect_any(op: Op, inputs: &[&Tensor], shape: &[usize], values: impl Into<Data>) {
    let name = op.name();
    assert_eq!(apply(op, inputs).unwrap(), tensor(shape, values), "{name}");
}

/// The message of an operator that must fail.
pub fn failure(op: Op, inputs: &[&Tensor]) -> String {
    apply(op, inputs).unwrap_err().to_string()
}
