//! Layers of a quantised graph, by the name that they have in the float graph.

use edgecut_graph::{Graph, Node, Op, Tensor, ValueId};

use crate::weights::{Learned, integer_bias};
use crate::{CompressError, Result};

/// Where a layer with integer weights keeps them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuantLayer {
    /// What the layer reads, dequantised.
    pub x: ValueId,
    /// What it computes, before anything that its step takes along.
    pub y: ValueId,
    /// Integer weights.
    pub codes: ValueId,
    scales: ValueId,
    bias: Option<(ValueId, ValueId)>,
}

impl QuantLayer {
    /// The layer `name` of `graph`, which [`crate::scheme::Scheme`] built.
    pub fn find(graph: &Graph, name: &str) -> Result<QuantLayer> {
        let missing = || CompressError::Uncalibrated { value: name.into() };
        let node = graph.nodes.iter().find(|node| node.name == name).ok_or_else(missing)?;
        let producers = graph.producers();
        let dequantize = |id: ValueId| -> Option<&Node> {
            let node = &graph.nodes[producers[id.index()]?];
            matches!(node.op, Op::Dequantize { .. }).then_some(node)
        };
        let weight = dequantize(node.input(1)?).ok_or_else(missing)?;
        let bias = node.inputs.get(2).copied().flatten().and_then(dequantize);
        let bias = bias.map(|node| Ok::<_, CompressError>((node.input(0)?, node.input(1)?)));
        Ok(QuantLayer {
            x: node.input(0)?,
            y: node.output(),
            codes: weight.input(0)?,
            scales: weight.input(1)?,
            bias: bias.transpose()?,
        })
    }

    /// Adds `shift`, one number an output channel, to the bias, as near as its scale allows.
    pub fn shift_bias(&self, graph: &mut Graph, shift: &[f32]) -> Result<()> {
        let Some((codes, scales)) = self.bias else { return Ok(()) };
        let (Some(tensor), Some(scales)) = (graph.constant(codes), graph.constant(scales)) else {
            return Ok(());
        };
        let pairs = tensor.i32s()?.iter().zip(scales.f32s()?).zip(shift);
        let values: Vec<i32> = pairs
            .map(|((&q, &scale), &shift)| {
                let steps = (f64::from(shift) / f64::from(scale)).round_ties_even();
                (f64::from(q) + steps).clamp(-f64::from(1 << 30), f64::from(1 << 30)) as i32
            })
            .collect();
        graph.set_constant(codes, Tensor::vector(values));
        Ok(())
    }

    /// Replaces integer weights and their scales.
    pub fn set_weights(&self, graph: &mut Graph, learned: &Learned) -> Result<()> {
        let shape = graph.value(self.codes).shape.with_symbols(1);
        graph.set_constant(self.codes, Tensor::new(shape, learned.codes.clone())?);
        graph.set_constant(self.scales, Tensor::vector(learned.scales.clone()));
        Ok(())
    }

    /// Replaces the bias by `bias`, in the units of the layer's scales and the input's.
    pub fn set_bias(&self, graph: &mut Graph, bias: Option<&[f32]>, x_scale: f32) -> Result<()> {
        let (Some(values), Some(bias)) = (self.bias, bias) else { return Ok(()) };
        let Some(scales) = graph.constant(self.scales) else { return Ok(()) };
        let scales: Vec<f32> = scales.f32s()?.iter().map(|s| x_scale * s).collect();
        graph.set_constant(values.0, Tensor::vector(integer_bias(bias, &scales)));
        graph.set_constant(values.1, Tensor::vector(scales));
        Ok(())
    }
}

/// Gives every convolution and Gemm with constant weights a bias, of zeros where there was none, so
/// that it can be corrected.
pub(crate) fn with_biases(graph: &Graph) -> Result<Graph> {
    let mut graph = graph.clone();
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let takes = match &node.op {
            Op::Conv(_) => true,
            Op::Gemm(gemm) => gemm.beta == 1.0,
            _ => false,
        };
        if !takes || node.inputs.get(2).copied().flatten().is_some() {
            continue;
        }
        let Some(channels) = graph.value(node.output()).shape.dims().get(1).and_then(|d| d.fixed())
        else {
            continue;
        };
        let name = graph.unique_name(&format!("{}.bias", node.name));
        let bias = graph.add_constant(name, Tensor::vector(vec![0f32; channels]));
        let node = &mut graph.nodes[index];
        node.inputs.truncate(2);
        node.inputs.push(Some(bias));
    }
    graph.validate()?;
    Ok(graph)
}

/// Adds `shift`, one number an output channel, to the float bias of the layer `name`.
pub(crate) fn shift_float_bias(graph: &mut Graph, name: &str, shift: &[f32]) -> Result<()> {
    let Some(node) = graph.nodes.iter().find(|node| node.name == name) else { return Ok(()) };
    let Some(bias) = node.inputs.get(2).copied().flatten() else { return Ok(()) };
    let beta = if let Op::Gemm(gemm) = &node.op { gemm.beta } else { 1.0 };
    let Some(tensor) = graph.constant(bias) else { return Ok(()) };
    let old = tensor.f32s()?;
    let at = |c: usize| if old.len() == 1 { old[0] } else { old[c] };
    let values: Vec<f32> =
        shift.iter().enumerate().map(|(c, s)| (at(c) * beta + s) / beta).collect();
    graph.set_constant(bias, Tensor::vector(values));
    Ok(())
}
