//! A new classifier on an old net.

use edgecut_graph::rng::Rng;
use edgecut_graph::{Binary, Graph, Node, Op, ReshapeDim, Shape, Tensor, ValueId, infer};

use crate::error::{Result, TrainError};

/// Standard deviation of a new head's weights: small, so that training begins near equal
/// probabilities and the first gradients do not upset what the net knows.
const DEVIATION: f32 = 0.01;

/// What became the head of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The node with its weights.
    pub node: String,
    /// The node that adds its bias, where that is another one.
    pub bias: Option<String>,
    /// Number of classes before.
    pub classes: usize,
}

/// `graph` with another number of classes: weights of the last layer are drawn from `seed`, its bias
/// is zero. The last layer is the Gemm, MatMul or convolution behind which nothing mixes classes.
///
/// # Errors
/// Where no such layer is found: names the node at which the search ended.
pub fn replace_head(graph: &Graph, classes: usize, seed: u64) -> Result<(Graph, Head)> {
    if classes == 0 {
        return Err(TrainError::config("head", "needs at least one class"));
    }
    let mut out = graph.clone();
    let place = find(&out)?;
    let head = &out.nodes[place.node].clone();
    let name = head.name.clone();
    let mut rng = Rng::keyed(&[seed, 0x6865_6164]);
    replace(&mut out, place.node, 1, place.classes, classes, &mut || rng.normal() * DEVIATION)?;
    if head.inputs.get(2).copied().flatten().is_some() {
        replace(&mut out, place.node, 2, place.classes, classes, &mut || 0.0)?;
    }
    let mut bias = None;
    if let Some((node, input)) = place.bias {
        replace(&mut out, node, input, place.classes, classes, &mut || 0.0)?;
        bias = Some(out.nodes[node].name.clone());
    }
    for &node in &place.behind {
        if let Op::Reshape { dims } = &mut out.nodes[node].op {
            let old = dims.iter_mut().filter(|d| **d == ReshapeDim::Fixed(place.classes));
            old.for_each(|d| *d = ReshapeDim::Fixed(classes));
        }
    }
    infer_again(&mut out)?;
    out.validate()?;
    Ok((out, Head { node: name, bias, classes: place.classes }))
}

/// Where the head of a graph is.
struct Place {
    node: usize,
    /// Node and input of a bias of its own.
    bias: Option<(usize, usize)>,
    classes: usize,
    /// Nodes between it and the output.
    behind: Vec<usize>,
}

fn find(graph: &Graph) -> Result<Place> {
    let fail = |problem: String| TrainError::Model { model: graph.name.clone(), problem };
    let Some(&output) = graph.outputs.first() else { return Err(fail("has no output".into())) };
    let producers = graph.producers();
    let (mut value, mut behind, mut bias) = (output, vec![], None);
    loop {
        let Some(index) = producers[value.index()] else {
            return Err(fail("has no layer with weights before its output".into()));
        };
        let node = &graph.nodes[index];
        match &node.op {
            Op::Conv(_) | Op::Gemm(_) | Op::MatMul => {
                let Some(classes) = outputs(graph, node) else {
                    let problem =
                        "is the last layer, but its weights are no stored matrix of one group";
                    return Err(node.error(problem).into());
                };
                return Ok(Place { node: index, bias, classes, behind });
            }
            Op::Binary(Binary::Add) if bias.is_none() => {
                let stored = |i: usize| node.input(i).is_ok_and(|id| graph.constant(id).is_some());
                let Some(input) = (0..2).find(|&i| stored(i)) else { return Err(stuck(node)) };
                bias = Some((index, input));
                value = node.input(1 - input)?;
            }
            op if keeps_classes(op) => value = node.input(0)?,
            _ => return Err(stuck(node)),
        }
        behind.push(index);
    }
}

fn stuck(node: &Node) -> TrainError {
    let problem = "lies between the output and the last layer with weights, and may mix classes: \
                   the head cannot be replaced";
    node.error(problem).into()
}

/// Outputs of a layer whose weights are stored.
fn outputs(graph: &Graph, node: &Node) -> Option<usize> {
    let weights = graph.constant(node.input(1).ok()?)?;
    match &node.op {
        Op::Conv(conv) => (conv.groups == 1).then(|| weights.shape()[0]),
        Op::Gemm(gemm) => Some(weights.shape()[usize::from(!gemm.trans_b)]),
        _ => (weights.rank() == 2).then(|| weights.shape()[1]),
    }
}

/// Whether an operator treats classes alike, or only normalises over them.
fn keeps_classes(op: &Op) -> bool {
    matches!(
        op,
        Op::Softmax { .. }
            | Op::LogSoftmax { .. }
            | Op::Unary(_)
            | Op::GlobalAveragePool
            | Op::AveragePool(_)
            | Op::Reduce { .. }
            | Op::Reshape { .. }
            | Op::Flatten { .. }
            | Op::Squeeze { .. }
            | Op::Unsqueeze { .. }
            | Op::Transpose { .. }
    )
}

/// Gives a node new numbers at an input, whose extent of `old` classes becomes `new`.
fn replace(
    graph: &mut Graph,
    node: usize,
    input: usize,
    old: usize,
    new: usize,
    draw: &mut dyn FnMut() -> f32,
) -> Result<()> {
    let reader = &graph.nodes[node];
    let id = reader.input(input)?;
    let Some(tensor) = graph.constant(id) else {
        return Err(reader.error(format!("input {input} must be a constant")).into());
    };
    let mut shape = tensor.shape().to_vec();
    // Classes are the first extent of a convolution's and a transposed matrix, else the last.
    let transposed = matches!(&reader.op, Op::Conv(_))
        || matches!(&reader.op, Op::Gemm(gemm) if gemm.trans_b && input == 1);
    let axis = if transposed { shape.first_mut() } else { shape.last_mut() };
    match axis {
        Some(extent) if *extent == old => *extent = new,
        // One number for all classes.
        _ => return Ok(()),
    }
    let values = (0..shape.iter().product()).map(|_| draw()).collect::<Vec<f32>>();
    let tensor = Tensor::new(shape, values)?;
    if readers(graph, id) > 1 {
        let name = graph.unique_name(&format!("{}.head", graph.value(id).name));
        let own = graph.add_constant(name, tensor);
        graph.nodes[node].inputs[input] = Some(own);
    } else {
        graph.set_constant(id, tensor);
    }
    Ok(())
}

fn readers(graph: &Graph, id: ValueId) -> usize {
    graph.nodes.iter().flat_map(|n| n.inputs.iter().flatten()).filter(|&&v| v == id).count()
}

/// Derives all shapes anew.
fn infer_again(graph: &mut Graph) -> Result<()> {
    for index in 0..graph.nodes.len() {
        let node = graph.nodes[index].clone();
        let inferred: Vec<(_, Shape)> = infer::infer_node(graph, &node)?;
        for (&output, (_, shape)) in node.outputs.iter().zip(inferred) {
            graph.value_mut(output).shape = shape;
        }
    }
    Ok(())
}
