//! Quantisation-aware training: a quantised graph learns, and stays what it is.
//!
//! A graph in QDQ form is unfolded: integer weights become float ones behind QuantizeLinear and
//! DequantizeLinear, integer biases float ones. Training rounds weights and activations in the forward
//! pass as the graph says, lets gradients pass the rounding (Bengio et al. 2013), and learns the scales
//! (LSQ, Esser et al. 2020, arXiv:1902.08153; LSQ+, Bhalgat et al. 2020, with zero points as
//! calibration chose them). Folding rounds once more and for good, so that the integers are those that
//! were trained with.

use std::collections::BTreeMap;

use edgecut_graph::{DType, Graph, Node, Op, Shape, Tensor, ValueId, interpret};

use crate::error::{Result, TrainError};

/// Smallest scale, in training and in the result: training may push one towards 0.
pub(crate) const LEAST_SCALE: f32 = 1e-8;
/// Largest code of 4 bits.
const FOUR_BITS: i8 = 7;
/// Largest magnitude of an integer bias: products of bytes still fit beside it.
const MAX_BIAS: f64 = (1u32 << 30) as f64;

/// A quantised graph in the form that is trained.
#[derive(Clone, Debug)]
pub struct Unfolded {
    /// The same function. Values of the quantised graph have their numbers here.
    pub graph: Graph,
    /// Largest code of each float constant.
    pub code_limits: BTreeMap<String, f32>,
    weights: Vec<Weights>,
    biases: Vec<Bias>,
}

#[derive(Clone, Debug)]
struct Weights {
    /// The DequantizeLinear.
    node: usize,
    codes: ValueId,
    scales: ValueId,
    axis: usize,
    /// In the unfolded graph.
    float: ValueId,
    limit: f32,
}

#[derive(Clone, Debug)]
struct Bias {
    /// The DequantizeLinear.
    node: usize,
    /// The layer that reads it.
    layer: usize,
}

impl Unfolded {
    /// `graph` to be trained; `None` where it has no integer weights.
    ///
    /// # Errors
    /// A graph that is not valid.
    pub fn of(graph: &Graph) -> Result<Option<Unfolded>> {
        let consumers = graph.consumers();
        let mut unfolded = Unfolded {
            graph: graph.clone(),
            code_limits: BTreeMap::new(),
            weights: vec![],
            biases: vec![],
        };
        // Behind every node that is there already, a QuantizeLinear reads constants alone.
        let mut added = vec![];
        for (index, node) in graph.nodes.iter().enumerate() {
            let Some(codes) = constant_codes(graph, node) else { continue };
            let readers = &consumers[node.output().index()];
            let reads = |input: usize| {
                readers.iter().all(|&reader| {
                    let inputs = &graph.nodes[reader].inputs;
                    has_weights(&graph.nodes[reader])
                        && inputs.get(input).copied().flatten() == Some(node.output())
                })
            };
            match codes.dtype() {
                DType::I8 if reads(1) && is_symmetric(graph, node) => {
                    added.push((index, unfolded.weights(graph, index, codes)?));
                }
                DType::I32 if readers.len() == 1 && reads(2) => {
                    unfolded.bias(graph, index, readers[0])?;
                }
                _ => {}
            }
        }
        if added.is_empty() {
            return Ok(None);
        }
        for (index, node) in added.into_iter().rev() {
            unfolded.graph.nodes.insert(index, node);
        }
        unfolded.graph.validate()?;
        Ok(Some(unfolded))
    }

    /// Float weights for the DequantizeLinear at `index`; the QuantizeLinear before it.
    fn weights(&mut self, graph: &Graph, index: usize, codes: &Tensor) -> Result<Node> {
        let node = &graph.nodes[index];
        let Op::Dequantize { axis } = node.op else { return Ok(node.clone()) };
        let (source, scales) = (node.input(0)?, node.input(1)?);
        let values = codes.i8s()?;
        let four = values.iter().all(|c| (-FOUR_BITS..=FOUR_BITS).contains(c));
        let limit = if four { f32::from(FOUR_BITS) } else { 127.0 };
        let own = &mut self.graph;
        let name = own.unique_name(&format!("{}.float", graph.value(source).name));
        self.code_limits.insert(name.clone(), limit);
        let float = own.add_constant(name, dequantised(graph, node)?);
        let zeros = match node.inputs.get(2).copied().flatten() {
            Some(zeros) => zeros,
            None => {
                let count = graph.constant(scales).map_or(1, |t| t.len());
                let name = own.unique_name(&format!("{}.zero_point", graph.value(source).name));
                own.add_constant(name, Tensor::vector(vec![0i8; count]))
            }
        };
        let shape = Shape::fixed(codes.shape());
        let name = own.unique_name(&format!("{}.rounded", graph.value(source).name));
        let rounded = own.add_value(name, DType::I8, shape);
        // The DequantizeLinear of the same number reads it instead of the constant.
        for reader in own.nodes.iter_mut().filter(|n| n.outputs == node.outputs) {
            reader.inputs[0] = Some(rounded);
        }
        self.weights.push(Weights { node: index, codes: source, scales, axis, float, limit });
        Ok(Node {
            name: format!("{}.round", node.name),
            op: Op::Quantize { axis },
            inputs: vec![Some(float), Some(scales), Some(zeros)],
            outputs: vec![rounded],
        })
    }

    /// A float bias for the layer `layer` instead of the DequantizeLinear at `index`.
    fn bias(&mut self, graph: &Graph, index: usize, layer: usize) -> Result<()> {
        let node = &graph.nodes[index];
        let name = self.graph.unique_name(&format!("{}.float", graph.value(node.output()).name));
        let float = self.graph.add_constant(name, dequantised(graph, node)?);
        self.graph.nodes[layer].inputs[2] = Some(float);
        self.biases.push(Bias { node: index, layer });
        Ok(())
    }

    /// `quantised`, which this was made of, with what `trained`, a trained copy of
    /// [`Unfolded::graph`], has learned.
    ///
    /// # Errors
    /// Other graphs than these.
    pub fn fold(&self, quantised: &Graph, trained: &Graph) -> Result<Graph> {
        let mut out = quantised.clone();
        out.metadata.extend(trained.metadata.clone());
        for id in self.scales(quantised) {
            let scales =
                floats(trained, id)?.iter().map(|s| s.max(LEAST_SCALE)).collect::<Vec<f32>>();
            let shape = quantised.value(id).shape.with_symbols(1);
            out.set_constant(id, Tensor::new(shape, scales)?);
        }
        for weights in &self.weights {
            let shape = quantised.value(weights.codes).shape.with_symbols(1);
            let (float, scales) = (floats(trained, weights.float)?, floats(&out, weights.scales)?);
            let inner: usize = shape[(weights.axis + 1).min(shape.len())..].iter().product();
            let code = |(i, w): (usize, &f32)| {
                let scale = scales[i / inner.max(1) % scales.len()];
                (w / scale).clamp(-weights.limit, weights.limit).round_ties_even() as i8
            };
            let codes: Vec<i8> = float.iter().enumerate().map(code).collect();
            replace(&mut out, weights.node, weights.codes, Tensor::new(shape, codes)?);
        }
        for bias in &self.biases {
            self.fold_bias(bias, quantised, trained, &mut out)?;
        }
        out.validate()?;
        Ok(out)
    }

    /// Scales of weights and activations: what training may have changed.
    fn scales(&self, quantised: &Graph) -> Vec<ValueId> {
        let activations = quantised.nodes.iter().filter(|n| matches!(n.op, Op::Quantize { .. }));
        let activations = activations.filter_map(|n| n.input(1).ok());
        let mut scales: Vec<ValueId> =
            activations.chain(self.weights.iter().map(|w| w.scales)).collect();
        scales.retain(|&id| quantised.constant(id).is_some());
        scales.sort_by_key(|id| id.index());
        scales.dedup();
        scales
    }

    /// A bias adds to products as it is, so its scale is that of a product.
    fn fold_bias(
        &self,
        bias: &Bias,
        quantised: &Graph,
        trained: &Graph,
        out: &mut Graph,
    ) -> Result<()> {
        let layer = &quantised.nodes[bias.layer];
        let producers = quantised.producers();
        let scales = |input: usize| -> Result<Vec<f32>> {
            let id = layer.input(input)?;
            let node = producers[id.index()].map(|i| &quantised.nodes[i]);
            let node = node.filter(|n| matches!(n.op, Op::Dequantize { .. }));
            let missing = || TrainError::unsupported(layer, "it has a bias, but no scales");
            floats(out, node.ok_or_else(missing)?.input(1)?)
        };
        let (x, w) = (scales(0)?, scales(1)?);
        // Nodes of the layer kept their order; QuantizeLinear were added between them.
        let trained_layer = trained.nodes.iter().find(|n| n.outputs == layer.outputs);
        let missing = || TrainError::unsupported(layer, "it is not in the trained graph");
        let float = floats(trained, trained_layer.ok_or_else(missing)?.input(2)?)?;
        let scale: Vec<f32> = (0..float.len()).map(|c| x[0] * w[c % w.len()]).collect();
        let code = |(b, s): (&f32, &f32)| {
            (f64::from(*b) / f64::from(*s)).round_ties_even().clamp(-MAX_BIAS, MAX_BIAS) as i32
        };
        let codes: Vec<i32> = float.iter().zip(&scale).map(code).collect();
        let inputs = quantised.nodes[bias.node].inputs.clone();
        let tensors = [Tensor::vector(codes), Tensor::vector(scale)];
        for (input, tensor) in inputs.into_iter().flatten().zip(tensors) {
            replace(out, bias.node, input, tensor);
        }
        Ok(())
    }
}

/// Gives a constant that the node at `node` reads other content; other readers keep the old one.
fn replace(graph: &mut Graph, node: usize, id: ValueId, tensor: Tensor) {
    let readers = graph.nodes.iter().flat_map(|n| n.inputs.iter().flatten());
    if readers.filter(|&&v| v == id).count() == 1 {
        return graph.set_constant(id, tensor);
    }
    let name = graph.unique_name(&graph.value(id).name);
    let own = graph.add_constant(name, tensor);
    let inputs = graph.nodes[node].inputs.iter_mut();
    inputs.filter(|input| **input == Some(id)).for_each(|input| *input = Some(own));
}

fn floats(graph: &Graph, id: ValueId) -> Result<Vec<f32>> {
    let missing = || TrainError::Model {
        model: graph.name.clone(),
        problem: format!("'{}' is not a constant", graph.value(id).name),
    };
    Ok(graph.constant(id).ok_or_else(missing)?.f32s()?.to_vec())
}

/// The constant that a DequantizeLinear reads.
fn constant_codes<'g>(graph: &'g Graph, node: &Node) -> Option<&'g Tensor> {
    let dequantize = matches!(node.op, Op::Dequantize { .. });
    graph.constant(node.input(0).ok().filter(|_| dequantize)?)
}

fn has_weights(node: &Node) -> bool {
    matches!(node.op, Op::Conv(_) | Op::Gemm(_) | Op::MatMul)
}

/// Whether all zero points are 0.
fn is_symmetric(graph: &Graph, node: &Node) -> bool {
    let zeros = node.inputs.get(2).copied().flatten();
    let codes = zeros.and_then(|id| graph.constant(id)).and_then(|t| t.to_i64().ok());
    zeros.is_none() || codes.is_some_and(|codes| codes.iter().all(|&z| z == 0))
}

fn dequantised(graph: &Graph, node: &Node) -> Result<Tensor> {
    let inputs: Vec<Option<&Tensor>> =
        node.inputs.iter().map(|id| id.and_then(|id| graph.constant(id))).collect();
    let mut results = interpret::run_node(graph, node, &inputs)?;
    Ok(results.swap_remove(0))
}
