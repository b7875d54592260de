//! The float graph with a quantised twin beside each layer, on the same input.
//!
//! One pass over it tells what every layer does wrong by itself.

use std::collections::BTreeMap;

use edgecut_graph::{Binary, DType, Graph, Op, Reduction, Tensor, ValueId};

use crate::bias::unique_node;
use crate::probe::Probe;
use crate::scheme::{Learning, Scheme};
use crate::{Result, weights};

/// The graph and its pairs of layers.
pub(crate) struct Twin {
    pub graph: Graph,
    pub layers: Vec<Pair>,
}

/// A layer and its twin.
pub(crate) struct Pair {
    pub name: String,
    /// Result of the float layer.
    pub float: ValueId,
    /// Result of the quantised layer less that of the float one.
    pub error: ValueId,
}

impl Twin {
    /// Every layer that `scheme` quantises, with codes from `learning`, beside that of `truth`: the
    /// float graph of `scheme` with the biases that it had before any were corrected.
    pub fn of(scheme: &Scheme, learning: &Learning, truth: &Graph) -> Result<Twin> {
        let mut graph = truth.clone();
        let mut quantised: BTreeMap<ValueId, ValueId> = BTreeMap::new();
        let mut layers = vec![];
        for node in scheme.layers() {
            let params = scheme.input_params(node)?;
            let x = node.input(0)?;
            let x = match quantised.get(&x) {
                Some(&done) => done,
                None => params.round(&mut graph, x, "twin")?,
            };
            quantised.insert(node.input(0)?, x);
            let config = scheme.config.weight_scheme(&node.name);
            let learned = learning.get(&node.name);
            let layer = weights::quantise(scheme.float, node, params.scale, config, learned)?;
            let bias_scales = layer.scales.iter().map(|s| params.scale * s).collect::<Vec<f32>>();
            let weight = dequantized(
                &mut graph,
                layer.codes,
                Tensor::vector(layer.scales),
                Some(DType::I8),
                layer.axis,
            )?;
            let mut inputs = vec![Some(x), Some(weight)];
            if let Some(bias) = layer.bias {
                let (bias, scales) = (Tensor::vector(bias), Tensor::vector(bias_scales));
                inputs.push(Some(dequantized(&mut graph, bias, scales, None, 0)?));
            }
            let op = match &node.op {
                Op::Gemm(gemm) => Op::Gemm(edgecut_graph::Gemm { alpha: 1.0, beta: 1.0, ..*gemm }),
                op => op.clone(),
            };
            let name = unique_node(&graph, &format!("{}.twin", node.name));
            let twin = graph.add_node(name, op, &inputs)?;
            let name = unique_node(&graph, &format!("{}.error", node.name));
            let inputs = [Some(twin), Some(node.output())];
            let error = graph.add_node(name, Op::Binary(Binary::Sub), &inputs)?;
            layers.push(Pair { name: node.name.clone(), float: node.output(), error });
        }
        Ok(Twin { graph, layers })
    }

    /// Signal to noise of each layer's result in decibels, by name.
    pub fn sqnr_db(mut self, probe: Probe) -> Result<BTreeMap<String, f64>> {
        let mut values = vec![];
        for pair in &self.layers {
            for value in [pair.float, pair.error] {
                let rank = self.graph.value(value).shape.rank();
                let axes = (1..rank).collect();
                let op = Op::Reduce { kind: Reduction::SumSquare, axes, keep_dims: false };
                let name = unique_node(&self.graph, "power");
                values.push(self.graph.add_node(name, op, &[Some(value)])?);
            }
        }
        let mut powers = vec![0f64; values.len()];
        probe.run(&self.graph, &values, &mut |_, position, elements| {
            powers[position] += elements.iter().map(|&v| f64::from(v)).sum::<f64>();
            Ok(())
        })?;
        let decibels = |pair: &[f64]| 10.0 * (pair[0].max(1e-30) / pair[1].max(1e-30)).log10();
        let names = self.layers.into_iter().map(|pair| pair.name);
        Ok(names.zip(powers.chunks_exact(2).map(decibels)).collect())
    }
}

/// Appends integer constants and their dequantisation; zero points of zero where they have a type.
fn dequantized(
    graph: &mut Graph,
    codes: Tensor,
    scales: Tensor,
    zeros: Option<DType>,
    axis: usize,
) -> Result<ValueId> {
    let channels = scales.len();
    let name = graph.unique_name("twin.codes");
    let mut inputs = vec![Some(graph.add_constant(name, codes))];
    let name = graph.unique_name("twin.scales");
    inputs.push(Some(graph.add_constant(name, scales)));
    if zeros.is_some() {
        let name = graph.unique_name("twin.zeros");
        inputs.push(Some(graph.add_constant(name, Tensor::vector(vec![0i8; channels]))));
    }
    let name = unique_node(graph, "twin.weights");
    Ok(graph.add_node(name, Op::Dequantize { axis }, &inputs)?)
}
