//! What a graph costs: parameters, multiply-adds, and the largest set of live activations.
//!
//! Counts follow the papers, so that they can be compared with them. They are properties of the
//! graph, not predictions of time: that is measured.

use std::collections::BTreeSet;

use crate::{Binary, DType, Graph, Node, Op, Result, ValueId};

/// Cost of a graph.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Cost {
    /// Size that every symbolic extent was given.
    pub batch: usize,
    /// Elements of weights and biases, as PyTorch counts parameters: BatchNorm's scale and bias
    /// are among them, its running mean and variance are not. A tensor shared by several nodes
    /// counts once.
    pub parameters: u64,
    /// Multiply-adds of convolutions and matrix products. Padding counts like pixels; biases,
    /// normalisation, activations, additions and pooling do not count.
    pub macs: u64,
    /// Bytes of all stored tensors: 4 for each float parameter, 1 for each int8 one.
    pub weight_bytes: u64,
    /// Most bytes of computed values and inputs that are needed at one time, when nodes run in
    /// order, one by one. A value lives from the node that computes it to its last reader; inputs
    /// live from the start and outputs to the end. Every node writes to fresh memory: reuse of an
    /// input's memory in place, and reshaping without a copy, are not assumed.
    pub peak_activation_bytes: u64,
    /// The nodes, in order.
    pub nodes: Vec<NodeCost>,
}

/// Cost of one node.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct NodeCost {
    /// Name of the node.
    pub name: String,
    /// ONNX operator.
    pub op: &'static str,
    /// Shape of the first output.
    pub output: Vec<usize>,
    /// Parameters that this node is the first to use.
    pub parameters: u64,
    /// Multiply-adds.
    pub macs: u64,
    /// Bytes of values that are alive while the node runs, its inputs and outputs included.
    pub live_bytes: u64,
}

/// Counts the cost of `graph` with every symbolic extent equal to `batch`. Fails where a shape
/// exceeds the limits with that batch.
pub fn cost(graph: &Graph, batch: usize) -> Result<Cost> {
    let live = live_bytes(graph, batch)?;
    let stored = Stored::new(graph);
    let mut counted = BTreeSet::new();
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for (node, live_bytes) in graph.nodes.iter().zip(live.while_running) {
        let mut parameters = 0;
        for id in stored.parameters(node) {
            if counted.insert(id) {
                parameters += graph.value(id).shape.len_with(1, &node.name)? as u64;
            }
        }
        nodes.push(NodeCost {
            name: node.name.clone(),
            op: node.op.name(),
            output: graph.value(node.output()).shape.with_symbols(batch),
            parameters,
            macs: macs(graph, node, batch)?,
            live_bytes,
        });
    }
    let constants = graph.values().iter().filter_map(|v| v.constant.as_ref());
    let peak = nodes.iter().map(|n| n.live_bytes).max().unwrap_or(0);
    Ok(Cost {
        batch,
        parameters: nodes.iter().map(|n| n.parameters).sum(),
        macs: nodes.iter().fold(0, |sum, n| n.macs.saturating_add(sum)),
        weight_bytes: constants.map(|t| t.bytes() as u64).sum(),
        peak_activation_bytes: peak.max(live.at_rest),
        nodes,
    })
}

/// Multiply-adds of one node: for each element of the output, the length of its dot product; for
/// each element of the input of a transposed convolution, the number of elements it is spread to.
fn macs(graph: &Graph, node: &Node, batch: usize) -> Result<u64> {
    let extents = |index| -> Result<Vec<usize>> {
        Ok(graph.value(node.input(index)?).shape.with_symbols(batch))
    };
    let (each, depth) = match &node.op {
        Op::Conv(_) | Op::ConvInteger(_) => (node.output(), extents(1)?[1..].iter().product()),
        Op::ConvTranspose(_) => (node.input(0)?, extents(1)?[1..].iter().product()),
        Op::Gemm(gemm) => (node.output(), extents(0)?[usize::from(!gemm.trans_a)]),
        Op::MatMul | Op::MatMulInteger => (node.output(), extents(0)?.last().copied().unwrap_or(1)),
        _ => return Ok(0),
    };
    let count = graph.value(each).shape.len_with(batch, &node.name)?;
    Ok((count as u64).saturating_mul(depth as u64))
}

/// Finds the stored tensors that are parameters, through what a quantised or rearranged weight
/// passes before it is used.
struct Stored<'a> {
    graph: &'a Graph,
    producers: Vec<Option<usize>>,
}

impl<'a> Stored<'a> {
    fn new(graph: &'a Graph) -> Stored<'a> {
        Stored { graph, producers: graph.producers() }
    }

    /// Parameters among the inputs of `node`: stored operands of products, of sums and
    /// multiplications (a bias or scale that a file keeps as a node of its own; single numbers
    /// are not learnt and do not count), scales and biases of normalisations, slopes of PRelu, and
    /// tables whose rows Gather looks up. Positions and masks are not learnt.
    fn parameters(&self, node: &Node) -> Vec<ValueId> {
        let (first, last, least) = match node.op {
            Op::Conv(_) | Op::ConvTranspose(_) | Op::Gemm(_) | Op::MatMul => (0, 2, 1),
            Op::ConvInteger(_) | Op::MatMulInteger => (0, 1, 1),
            Op::BatchNorm { .. }
            | Op::LayerNorm { .. }
            | Op::InstanceNorm { .. }
            | Op::GroupNorm { .. } => (1, 2, 1),
            Op::Binary(Binary::PRelu) => (1, 1, 1),
            Op::Binary(_) => (0, 1, 2),
            Op::Gather { .. } => (0, 0, 2),
            _ => return vec![],
        };
        let learnt = |id: &ValueId| {
            self.graph
                .constant(*id)
                .is_some_and(|t| t.len() >= least && !matches!(t.dtype(), DType::I64 | DType::Bool))
        };
        let inputs = node.inputs.iter().take(last + 1).skip(first).flatten();
        inputs.filter_map(|&id| self.origin(id)).filter(learnt).collect()
    }

    fn origin(&self, mut id: ValueId) -> Option<ValueId> {
        while self.graph.constant(id).is_none() {
            let node = &self.graph.nodes[self.producers[id.index()]?];
            match node.op {
                Op::Quantize { .. }
                | Op::Dequantize { .. }
                | Op::Cast { .. }
                | Op::Transpose { .. }
                | Op::Reshape { .. }
                | Op::Squeeze { .. }
                | Op::Unsqueeze { .. } => id = node.inputs.first().copied().flatten()?,
                _ => return None,
            }
        }
        Some(id)
    }
}

struct Live {
    /// Bytes alive while each node runs.
    while_running: Vec<u64>,
    /// Bytes of the inputs, and of the outputs, whichever is more: what is needed without nodes.
    at_rest: u64,
}

/// Walks the nodes in order and keeps account of what is alive. What depends on constants alone,
/// such as a dequantised weight, is not an activation.
fn live_bytes(graph: &Graph, batch: usize) -> Result<Live> {
    let mut last: Vec<Option<usize>> =
        graph.consumers().into_iter().map(|readers| readers.last().copied()).collect();
    graph.outputs.iter().for_each(|o| last[o.index()] = Some(usize::MAX));
    let computed = depends_on_input(graph);
    let bytes = |id: ValueId| -> Result<u64> {
        let value = graph.value(id);
        let len = value.shape.len_with(batch, &value.name)?;
        Ok(if computed[id.index()] { (len * value.dtype.bytes()) as u64 } else { 0 })
    };
    let mut sizes = vec![0; graph.values().len()];
    for &id in &graph.inputs {
        sizes[id.index()] = bytes(id)?;
    }
    let inputs: u64 = sizes.iter().sum();
    let mut alive = inputs;
    let mut while_running = Vec::with_capacity(graph.nodes.len());
    for (index, node) in graph.nodes.iter().enumerate() {
        for &output in &node.outputs {
            sizes[output.index()] = bytes(output)?;
            alive += sizes[output.index()];
        }
        while_running.push(alive);
        for id in node.inputs.iter().flatten().chain(&node.outputs) {
            if last[id.index()].is_none_or(|reader| reader <= index) {
                // Taken, so that a value read twice is freed once.
                alive -= std::mem::take(&mut sizes[id.index()]);
            }
        }
    }
    Ok(Live { while_running, at_rest: inputs.max(alive) })
}

fn depends_on_input(graph: &Graph) -> Vec<bool> {
    let mut depends = vec![false; graph.values().len()];
    graph.inputs.iter().for_each(|i| depends[i.index()] = true);
    for node in &graph.nodes {
        if node.inputs.iter().flatten().any(|i| depends[i.index()]) {
            node.outputs.iter().for_each(|o| depends[o.index()] = true);
        }
    }
    depends
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Builder, Conv, ConvTranspose, Tensor, Window};

    #[test]
    fn counts_of_a_hand_made_network() {
        let mut b = Builder::new("net", 0);
        let x = b.input("x", ["n".into(), 4.into(), 8.into(), 8.into()]);
        let y = b.conv(x, "depthwise", 4, Window::same(3, 1), 4, false).unwrap();
        let y = b.batch_norm(y, "norm").unwrap();
        let y = b.add(x, y).unwrap();
        let y = b.global_average_pool(y).unwrap();
        let y = b.flatten(y).unwrap();
        let y = b.linear(y, "linear", 10).unwrap();
        let graph = b.finish(&[y]).unwrap();
        let cost = cost(&graph, 2).unwrap();
        let column = |f: fn(&NodeCost) -> u64| cost.nodes.iter().map(f).collect::<Vec<_>>();
        assert_eq!(column(|n| n.parameters), [36, 8, 0, 0, 0, 50]);
        assert_eq!(column(|n| n.macs), [2 * 4 * 64 * 9, 0, 0, 0, 0, 2 * 4 * 10]);
        let map = 2 * 4 * 64 * 4;
        let live = [2 * map, 3 * map, 3 * map, map + 32, 64, 32 + 80];
        assert_eq!(column(|n| n.live_bytes), live);
        assert_eq!(cost.parameters, 94);
        assert_eq!(cost.weight_bytes, 4 * (94 + 8));
        assert_eq!(cost.peak_activation_bytes, 3 * map);
    }

    #[test]
    fn shared_and_quantised_weights() {
        let mut b = Builder::new("net", 0);
        let x = b.input("x", [1.into(), 3.into()]);
        let w = b.constant("w", Tensor::new([3, 3], vec![1i8; 9]).unwrap());
        let scale = b.constant("scale", Tensor::scalar(0.5));
        let w = b.apply("dequantised", Op::Dequantize { axis: 0 }, &[w, scale]).unwrap();
        let y = b.apply("first", Op::MatMul, &[x, w]).unwrap();
        let y = b.apply("second", Op::MatMul, &[y, w]).unwrap();
        let bias = b.constant("bias", Tensor::vector(vec![0f32; 3]));
        let y = b.add(y, bias).unwrap();
        // A single number is a constant of the formula, not a parameter.
        let y = b.apply("half", Op::Binary(Binary::Mul), &[y, scale]).unwrap();
        let cost = cost(&b.finish(&[y]).unwrap(), 1).unwrap();
        assert_eq!((cost.parameters, cost.macs), (9 + 3, 18));
        // The dequantised weight is derived from constants: two vectors are alive at most.
        assert_eq!(cost.peak_activation_bytes, 24);
    }

    #[test]
    fn transposed_convolutions_count_by_their_input() {
        let mut b = Builder::new("net", 0);
        let x = b.input("x", ["n".into(), 4.into(), 5.into(), 5.into()]);
        let window = Window::new([2, 2], [2, 2]);
        let up = ConvTranspose { window, groups: 2, output_padding: [0, 0] };
        let y = b.conv_transpose(x, "up", 6, up, true).unwrap();
        let y = b.prelu(y, "slope").unwrap();
        let y = b.group_norm(y, "norm", 3, 1e-5).unwrap();
        let cost = cost(&b.finish(&[y]).unwrap(), 2).unwrap();
        let column = |f: fn(&NodeCost) -> u64| cost.nodes.iter().map(f).collect::<Vec<_>>();
        assert_eq!(column(|n| n.parameters), [4 * 3 * 4 + 6, 6, 12]);
        // Every pixel of every channel reaches 3 maps of its group in 2x2 places.
        assert_eq!(column(|n| n.macs), [2 * 4 * 25 * 3 * 4, 0, 0]);
        let (small, large) = (2 * 4 * 25 * 4, 2 * 6 * 100 * 4);
        assert_eq!(column(|n| n.live_bytes), [small + large, 2 * large, 2 * large]);
    }

    #[test]
    fn integer_products_and_look_ups() {
        let mut b = Builder::new("net", 0);
        let x = b.input("x", [2.into(), 3.into(), 4.into(), 4.into()]);
        let q = b.apply("q", Op::DynamicQuantize, &[x]).unwrap();
        let outputs = b.graph().nodes[0].outputs.clone();
        let w = b.constant("w", Tensor::new([5, 3, 3, 3], vec![1i8; 135]).unwrap());
        let conv = Conv { window: Window::same(3, 1), groups: 1 };
        let y = b.apply("conv", Op::ConvInteger(conv), &[q, w, outputs[2]]).unwrap();
        let y = b.apply("narrow", Op::Cast { to: DType::I8 }, &[y]).unwrap();
        let m = b.constant("m", Tensor::new([4, 7], vec![1i8; 28]).unwrap());
        let zeros = b.constant("zeros", Tensor::vector(vec![0i8; 7]));
        let zero = b.constant("zero", Tensor::new([], vec![0i8]).unwrap());
        let y = b.apply("product", Op::MatMulInteger, &[y, m, zero, zeros]).unwrap();
        let at = b.apply("at", Op::Cast { to: DType::I64 }, &[y]).unwrap();
        let one = b.constant("one", Tensor::vector(vec![1i64; 7]));
        let at = b.apply("moved", Op::Binary(Binary::Mod), &[at, one]).unwrap();
        let table = b.constant("table", Tensor::zeros([9, 6]).unwrap());
        let y = b.apply("row", Op::Gather { axis: 0 }, &[table, at]).unwrap();
        let cost = cost(&b.finish(&[y]).unwrap(), 1).unwrap();
        let column = |f: fn(&NodeCost) -> u64| cost.nodes.iter().map(f).collect::<Vec<_>>();
        assert_eq!(column(|n| n.parameters), [0, 135, 0, 28, 0, 0, 54]);
        assert_eq!(column(|n| n.macs), [0, 2 * 5 * 16 * 27, 0, 2 * 5 * 4 * 7 * 4, 0, 0, 0]);
        // Quantised values, a float and a byte beside the floats they come from.
        assert_eq!(cost.nodes[0].live_bytes, 96 * 4 + 96 + 4 + 1);
    }

    #[test]
    fn a_graph_without_nodes_needs_its_inputs() {
        let mut b = Builder::new("empty", 0);
        let x = b.input("x", [5.into()]);
        assert_eq!(cost(&b.finish(&[x]).unwrap(), 1).unwrap().peak_activation_bytes, 20);
    }

    #[test]
    fn a_batch_beyond_the_limits_is_an_error() {
        let mut b = Builder::new("large", 0);
        let x = b.input("x", ["n".into(), 1024.into()]);
        let graph = b.finish(&[x]).unwrap();
        assert!(cost(&graph, 1 << 40).is_err());
        assert!(cost(&graph, usize::MAX).is_err());
    }
}
