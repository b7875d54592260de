//! Quantisation-aware training: a quantised graph learns, and stays what it is.
//!
//! A graph in QDQ form is unfolded: integer weights become float ones behind QuantizeLinear and
//! DequantizeLinear, integer biases float ones. Training rounds weights and activations in the forward
//! pass as the graph says, lets gradients pass the rounding (Bengio et al. 2013), and learns the scales
//! (LSQ, Esser et al. 2020, arXiv:1902.08153) and, where that is asked for, zero points of activations
//! (LSQ+, Bhalgat et al. 2020, arXiv:2004.09576). Folding rounds once more and for good, so that the integers are those that
//! were trained with.
//!
//! A zero point at an end of its range says that there is nothing beyond 0, as behind a ReLU, and an
//! int8 one of 0 that the range is symmetric: these stay, as all zero points of weights do.

use std::collections::BTreeMap;

use edgecut_graph::{DType, Graph, Node, Op, Shape, Tensor, ValueId, interpret};

use crate::error::{Result, TrainError};

/// Smallest scale, in training and in the result: training may push one towards 0.
pub(crate) const LEAST_SCALE: f32 = 1e-8;
/// Largest code of 4 bits.
const FOUR_BITS: i64 = 7;
/// Largest magnitude of an integer bias: products of bytes still fit beside it.
const MAX_BIAS: f64 = (1u32 << 30) as f64;

/// A quantised graph in the form that is trained.
#[derive(Clone, Debug)]
pub struct Unfolded {
    /// The same function. Values of the quantised graph have their numbers here.
    pub graph: Graph,
    /// Smallest and largest code of each float constant.
    pub codes: BTreeMap<String, [f32; 2]>,
    weights: Vec<Weights>,
    biases: Vec<Bias>,
    zeros: Vec<ZeroPoint>,
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
    /// Smallest and largest code.
    limits: [f32; 2],
    /// One zero point, or one for each scale.
    zeros: Vec<f32>,
}

#[derive(Clone, Debug)]
struct Bias {
    /// The DequantizeLinear.
    node: usize,
    /// The layer that reads it.
    layer: usize,
}

/// The zero point of all activations with one scale.
#[derive(Clone, Debug)]
struct ZeroPoint {
    scale: ValueId,
    old: ValueId,
    /// In the unfolded graph: its own, where `old` belongs to other scales, too.
    value: ValueId,
    name: String,
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
            codes: BTreeMap::new(),
            weights: vec![],
            biases: vec![],
            zeros: vec![],
        };
        unfolded.zeros(graph);
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
                DType::I8 | DType::U8 if reads(1) && zeros(graph, node).is_some() => {
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
        let limits = limits(codes)?;
        let own = &mut self.graph;
        let name = own.unique_name(&format!("{}.float", graph.value(source).name));
        self.codes.insert(name.clone(), limits);
        let float = own.add_constant(name, dequantised(graph, node)?);
        let zero_points = match node.inputs.get(2).copied().flatten() {
            Some(zeros) => zeros,
            None => {
                let shape = graph.value(scales).shape.with_symbols(1);
                let count = shape.iter().product();
                let name = own.unique_name(&format!("{}.zero_point", graph.value(source).name));
                let tensor = match codes.dtype() {
                    DType::U8 => Tensor::new(shape, vec![0u8; count])?,
                    _ => Tensor::new(shape, vec![0i8; count])?,
                };
                own.add_constant(name, tensor)
            }
        };
        let shape = Shape::fixed(codes.shape());
        let name = own.unique_name(&format!("{}.rounded", graph.value(source).name));
        let rounded = own.add_value(name, codes.dtype(), shape);
        // The DequantizeLinear of the same number reads it instead of the constant.
        for reader in own.nodes.iter_mut().filter(|n| n.outputs == node.outputs) {
            reader.inputs[0] = Some(rounded);
        }
        let zeros = zeros(graph, node).unwrap_or_default();
        self.weights.push(Weights {
            node: index,
            codes: source,
            scales,
            axis,
            float,
            limits,
            zeros,
        });
        Ok(Node {
            name: format!("{}.round", node.name),
            op: Op::Quantize { axis },
            inputs: vec![Some(float), Some(scales), Some(zero_points)],
            outputs: vec![rounded],
        })
    }

    /// Finds the zero points that are trained, and gives each scale one of its own.
    fn zeros(&mut self, graph: &Graph) {
        let mut pairs: BTreeMap<ValueId, Vec<Option<ValueId>>> = BTreeMap::new();
        let is_codes = |op: &Op| matches!(op, Op::Quantize { .. } | Op::Dequantize { .. });
        for node in graph.nodes.iter().filter(|node| is_codes(&node.op)) {
            let Some(scale) = node.inputs.get(1).copied().flatten() else { continue };
            // Zero points of weights stay.
            let computed = node.inputs[0].is_some_and(|id| graph.constant(id).is_none());
            let zero = node.inputs.get(2).copied().flatten().filter(|_| computed);
            pairs.entry(scale).or_default().push(zero);
        }
        for node in graph.nodes.iter().filter(|n| matches!(n.op, Op::Quantize { .. })) {
            let &[_, Some(scale), Some(old)] = &node.inputs[..] else { continue };
            let single = graph.constant(scale).is_some_and(|t| t.len() == 1);
            let alone = pairs[&scale].iter().all(|&zero| zero == Some(old));
            let known = self.zeros.iter().any(|zero| zero.scale == scale);
            if !single || !alone || known || !moves(graph, old) {
                continue;
            }
            let others = has_others(graph, scale, old);
            let value = match graph.constant(old).filter(|_| others) {
                Some(tensor) => give_own(&mut self.graph, scale, old, tensor.clone()),
                None => old,
            };
            let name = self.graph.value(value).name.clone();
            self.zeros.push(ZeroPoint { scale, old, value, name });
        }
    }

    /// Names of the zero points in [`Unfolded::graph`] that can be trained.
    pub fn zero_points(&self) -> impl Iterator<Item = String> {
        self.zeros.iter().map(|zero| zero.name.clone())
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
        for zero in &self.zeros {
            let (old, new) = (quantised.constant(zero.old), trained.constant(zero.value));
            let Some(new) = new.filter(|new| Some(*new) != old) else { continue };
            match has_others(quantised, zero.scale, zero.old) {
                true => drop(give_own(&mut out, zero.scale, zero.old, new.clone())),
                false => out.set_constant(zero.old, new.clone()),
            }
        }
        for weights in &self.weights {
            let codes = weights.fold(quantised, trained, &out)?;
            replace(&mut out, weights.node, weights.codes, codes);
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

impl Weights {
    /// What the trained weights are rounded to with the scales of `out`.
    fn fold(&self, quantised: &Graph, trained: &Graph, out: &Graph) -> Result<Tensor> {
        let shape = quantised.value(self.codes).shape.with_symbols(1);
        let (float, scales) = (floats(trained, self.float)?, floats(out, self.scales)?);
        let inner: usize = shape[(self.axis + 1).min(shape.len())..].iter().product();
        let [low, high] = self.limits;
        let code = |(i, w): (usize, &f32)| {
            let channel = i / inner.max(1);
            let zero = self.zeros[channel % self.zeros.len()];
            let steps = w / scales[channel % scales.len()];
            steps.clamp(low - zero, high - zero).round_ties_even() + zero
        };
        let codes = float.iter().enumerate().map(code);
        Ok(match quantised.value(self.codes).dtype {
            DType::U8 => Tensor::new(shape, codes.map(|code| code as u8).collect::<Vec<u8>>())?,
            _ => Tensor::new(shape, codes.map(|code| code as i8).collect::<Vec<i8>>())?,
        })
    }
}

/// Smallest and largest integer of a type of 8 bits.
pub(crate) fn integers(dtype: DType) -> [f32; 2] {
    if dtype == DType::U8 { [0.0, 255.0] } else { [-128.0, 127.0] }
}

/// The integer that stands for 0 where the smallest one stands for about `lowest`.
pub(crate) fn zero_point(lowest: f32, scale: f32, [low, high]: [f32; 2]) -> f32 {
    (low - lowest / scale).clamp(low, high).round_ties_even()
}

/// Smallest and largest code that weights may have: those of 4 bits where all are, else all of the
/// type but for the smallest, which many quantisers leave out, where no weight has it.
fn limits(codes: &Tensor) -> Result<[f32; 2]> {
    let values = codes.to_i64()?;
    if codes.dtype() == DType::I8 && values.iter().all(|c| (-FOUR_BITS..=FOUR_BITS).contains(c)) {
        return Ok([-FOUR_BITS as f32, FOUR_BITS as f32]);
    }
    let [low, high] = integers(codes.dtype());
    let narrow = values.iter().all(|&code| code as f32 > low);
    Ok([if narrow { low + 1.0 } else { low }, high])
}

/// Whether a zero point is trained: neither at an end of its range nor the middle of int8.
fn moves(graph: &Graph, zero: ValueId) -> bool {
    let Some(tensor) = graph.constant(zero) else { return false };
    let [low, high] = integers(tensor.dtype());
    match tensor.to_i64().as_deref() {
        Ok(&[zero]) => {
            let middle = tensor.dtype() == DType::I8 && zero == 0;
            (zero as f32) > low && (zero as f32) < high && !middle
        }
        _ => false,
    }
}

/// Whether nodes with other scales than `scale` read the zero point `zero`.
fn has_others(graph: &Graph, scale: ValueId, zero: ValueId) -> bool {
    graph
        .nodes
        .iter()
        .any(|node| node.inputs.contains(&Some(zero)) && node.inputs.get(1) != Some(&Some(scale)))
}

/// Gives all nodes with the scale `scale` a zero point of their own instead of `old`.
fn give_own(graph: &mut Graph, scale: ValueId, old: ValueId, tensor: Tensor) -> ValueId {
    let name = graph.unique_name(&graph.value(old).name);
    let own = graph.add_constant(name, tensor);
    let with_scale = |node: &&mut Node| node.inputs.get(1) == Some(&Some(scale));
    for node in graph.nodes.iter_mut().filter(with_scale) {
        node.inputs.iter_mut().skip(2).filter(|i| **i == Some(old)).for_each(|i| *i = Some(own));
    }
    own
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

/// The zero points of a DequantizeLinear: one, or one for each scale.
fn zeros(graph: &Graph, node: &Node) -> Option<Vec<f32>> {
    let Some(id) = node.inputs.get(2).copied().flatten() else { return Some(vec![0.0]) };
    let zeros: Vec<f32> =
        graph.constant(id)?.to_i64().ok()?.into_iter().map(|zero| zero as f32).collect();
    let scales = graph.constant(node.input(1).ok()?)?.len();
    (zeros.len() == 1 || zeros.len() == scales).then_some(zeros)
}

fn dequantised(graph: &Graph, node: &Node) -> Result<Tensor> {
    let inputs: Vec<Option<&Tensor>> =
        node.inputs.iter().map(|id| id.and_then(|id| graph.constant(id))).collect();
    let mut results = interpret::run_node(graph, node, &inputs)?;
    Ok(results.swap_remove(0))
}
