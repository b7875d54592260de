//! Float inputs and outputs for models whose own are 8-bit integers.
//!
//! A uint8 model takes pixels and returns codes. With a Quantize in front and a Dequantize behind,
//! the parameters of which are the model's own, it takes and returns numbers like a float model:
//! `Quantize` of an exact code gives that code back, so nothing changes inside.

use edgecut_graph::{DType, Graph, Node, Op, ValueId};
use edgecut_kernels::quant::Affine;
use edgecut_train::data::Preprocess;

use crate::errors::{Failure, Result};

/// Scale and zero point of an 8-bit input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Codes {
    /// Difference between neighbouring codes.
    pub scale: f32,
    /// Code of zero.
    pub zero_point: f32,
    /// Smallest code: 0, or -128.
    pub lowest: f32,
}

impl Codes {
    /// The codes of an input, int8 with 128 added like the bytes of a picture.
    pub fn of(affine: Affine) -> Codes {
        Codes { scale: affine.scale, zero_point: affine.zero_point.into(), lowest: 0.0 }
    }

    /// The preset `base`, such that byte `p` of a picture becomes code `p + lowest`: pixels as they
    /// are, the way such models are usually fed.
    pub fn pixels(&self, base: Preprocess) -> Preprocess {
        let channels = base.mean.len();
        // (p - mean) / std = scale * (p + lowest - zero_point)
        Preprocess {
            scale: 1.0,
            mean: vec![self.zero_point - self.lowest; channels],
            std: vec![1.0 / self.scale; channels],
            ..base
        }
    }
}

/// `graph` with float inputs and outputs, and the codes of its first input where that was 8-bit.
pub fn float_ports(graph: &Graph) -> Result<(Graph, Option<Codes>)> {
    let mut graph = graph.clone();
    let mut first = None;
    for index in 0..graph.inputs.len() {
        let input = graph.inputs[index];
        if !graph.value(input).dtype.is_quantised() {
            continue;
        }
        let (scale, zero) = input_parameters(&graph, input)?;
        if index == 0 {
            first = Some(codes(&graph, input, scale, zero)?);
        }
        let (name, shape) = (graph.value(input).name.clone(), graph.value(input).shape.clone());
        graph.value_mut(input).name = graph.unique_name(&format!("{name}_codes"));
        let real = graph.add_value(name.clone(), DType::F32, shape);
        graph.inputs[index] = real;
        let node = graph.unique_name(&format!("{name}_quantize"));
        let made =
            graph.add_node(node, Op::Quantize { axis: 0 }, &[Some(real), Some(scale), zero])?;
        graph.replace_uses(input, made);
    }
    for index in 0..graph.outputs.len() {
        let output = graph.outputs[index];
        if !graph.value(output).dtype.is_quantised() {
            continue;
        }
        let (scale, zero) = output_parameters(&graph, output)?;
        let name = graph.unique_name(&format!("{}_real", graph.value(output).name));
        graph.outputs[index] =
            graph.add_node(name, Op::Dequantize { axis: 0 }, &[Some(output), Some(scale), zero])?;
    }
    graph.sort()?;
    graph.remove_unused();
    Ok((graph, first))
}

/// Scale and zero point of an 8-bit input or output, where they are single numbers.
pub fn quantisation(graph: &Graph, id: ValueId) -> Option<(f32, i64)> {
    if !graph.value(id).dtype.is_quantised() {
        return None;
    }
    let found = input_parameters(graph, id).or_else(|_| output_parameters(graph, id));
    let (scale, zero) = found.ok()?;
    let single = |id: ValueId| graph.constant(id).filter(|t| t.len() == 1);
    let zero = zero.map_or(Some(0), |zero| single(zero)?.to_i64().ok()?.first().copied())?;
    Some((*single(scale)?.to_f32().first()?, zero))
}

fn parameters(node: &Node) -> Option<(ValueId, Option<ValueId>)> {
    let scale = node.inputs.get(1).copied().flatten()?;
    Some((scale, node.inputs.get(2).copied().flatten()))
}

fn input_parameters(graph: &Graph, input: ValueId) -> Result<(ValueId, Option<ValueId>)> {
    let reads =
        |n: &&Node| matches!(n.op, Op::Dequantize { .. }) && n.inputs.first() == Some(&Some(input));
    let found = graph.nodes.iter().find(reads).and_then(parameters);
    found.ok_or_else(|| unknown(graph, input, "input"))
}

fn output_parameters(graph: &Graph, output: ValueId) -> Result<(ValueId, Option<ValueId>)> {
    let (producers, mut value) = (graph.producers(), output);
    // What only moves codes keeps their meaning.
    loop {
        let maker = producers[value.index()].map(|i| &graph.nodes[i]);
        match maker {
            Some(n) if matches!(n.op, Op::Quantize { .. }) => {
                return parameters(n).ok_or_else(|| unknown(graph, output, "output"));
            }
            Some(n)
                if matches!(
                    n.op,
                    Op::Reshape { .. }
                        | Op::Flatten { .. }
                        | Op::Squeeze { .. }
                        | Op::Unsqueeze { .. }
                        | Op::Transpose { .. }
                        | Op::MaxPool(_)
                ) =>
            {
                value = n.input(0)?;
            }
            _ => return Err(unknown(graph, output, "output")),
        }
    }
}

fn unknown(graph: &Graph, id: ValueId, what: &str) -> Failure {
    let value = graph.value(id);
    Failure::input(format!(
        "{what} '{}' is {} and no node says which numbers its codes stand for",
        value.name, value.dtype
    ))
}

fn codes(graph: &Graph, input: ValueId, scale: ValueId, zero: Option<ValueId>) -> Result<Codes> {
    let single = |id: ValueId| {
        let tensor = graph.constant(id).filter(|t| t.len() == 1);
        tensor.map(|t| t.to_f32()[0]).ok_or_else(|| unknown(graph, input, "input"))
    };
    let zero_point = zero.map_or(Ok(0.0), single)?;
    let lowest = if graph.value(input).dtype == DType::I8 { -128.0 } else { 0.0 };
    Ok(Codes { scale: single(scale)?, zero_point, lowest })
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgecut_graph::{Builder, Tensor, interpret};

    /// uint8 in, Relu in float, uint8 out.
    fn quantised() -> Graph {
        let mut b = Builder::new("net", 0);
        let (scale, zero) = (Tensor::scalar(0.5), Tensor::new([], vec![128u8]).unwrap());
        let (scale, zero) = (b.constant("scale", scale), b.constant("zero", zero));
        let mut graph = b.finish(&[]).unwrap();
        let x = graph.add_input("x", DType::U8, edgecut_graph::Shape::fixed(&[1, 4]));
        let parameters = [Some(scale), Some(zero)];
        let of = |v: ValueId| [Some(v), parameters[0], parameters[1]];
        let y = graph.add_node("dq", Op::Dequantize { axis: 0 }, &of(x)).unwrap();
        let y = graph.add_node("relu", Op::RELU, &[Some(y)]).unwrap();
        let y = graph.add_node("q", Op::Quantize { axis: 0 }, &of(y)).unwrap();
        graph.outputs = vec![y];
        graph
    }

    #[test]
    fn pixels_reach_the_model_as_they_are() {
        let graph = quantised();
        let (float, codes) = float_ports(&graph).unwrap();
        let codes = codes.unwrap();
        assert_eq!(codes, Codes { scale: 0.5, zero_point: 128.0, lowest: 0.0 });
        let pixels = [0u8, 127, 129, 255];
        let p = codes.pixels(Preprocess::tf(2));
        let fed: Vec<f32> =
            pixels.iter().map(|&v| (f32::from(v) * p.scale - p.mean[0]) / p.std[0]).collect();
        let real = interpret::run(&float, &[Tensor::new([1, 4], fed).unwrap()]).unwrap();
        let raw = interpret::run(&graph, &[Tensor::new([1, 4], pixels.to_vec()).unwrap()]).unwrap();
        let expected: Vec<f32> =
            raw[0].u8s().unwrap().iter().map(|&q| 0.5 * (f32::from(q) - 128.0)).collect();
        assert_eq!(real[0].f32s().unwrap(), expected);
        assert_eq!(float.value(float.inputs[0]).name, "x");
    }
}
