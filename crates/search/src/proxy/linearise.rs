//! What is left of a network for positive weights and images: its weights.

use edgecut_graph::{Binary, Graph, Node, Op, PadMode, Reduction, Unary, ValueId, passes};

use super::naswot;

/// `graph` without normalisations, activations and gates. Activations return what is positive as it is,
/// but for a limit such as ReLU6's, which would cut the flow off; a gate of a large positive number is
/// 1, so the branch of a squeeze-and-excitation block goes. Or says which node is in the way.
pub(super) fn linearise(graph: &Graph) -> Result<Graph, String> {
    let mut graph = graph.clone();
    let broken = |e: edgecut_graph::GraphError| e.to_string();
    // Decomposed activations become the one operator that they mean.
    passes::simplify(&mut graph).map_err(broken)?;
    for index in 0..graph.nodes.len() {
        let node = graph.nodes[index].clone();
        // What a gate was multiplied to may have lost its readers.
        if !is_read(&graph, node.output()) {
            continue;
        }
        match role(&graph, &node)? {
            Role::Linear => {}
            Role::Identity => graph.replace_uses(node.output(), input(&node)?),
            Role::Gate => open(&mut graph, &node)?,
        }
    }
    graph.remove_unused();
    graph.validate().map_err(broken)?;
    Ok(graph)
}

fn is_read(graph: &Graph, value: ValueId) -> bool {
    graph.is_output(value) || graph.nodes.iter().any(|node| node.inputs.contains(&Some(value)))
}

enum Role {
    /// Stays.
    Linear,
    /// Returns its first input.
    Identity,
    /// Is multiplied to something.
    Gate,
}

fn role(graph: &Graph, node: &Node) -> Result<Role, String> {
    let computed = |i: usize| node.input(i).is_ok_and(|id| graph.constant(id).is_none());
    let several = |i: usize| node.input(i).is_ok_and(|id| graph.value(id).shape.rank() > 0);
    match &node.op {
        Op::BatchNorm { .. }
        | Op::LayerNorm { .. }
        | Op::InstanceNorm { .. }
        | Op::GroupNorm { .. }
        | Op::LocalResponseNorm { .. } => Ok(Role::Identity),
        op if naswot::threshold(op).is_some() => Ok(Role::Identity),
        Op::Unary(Unary::Sigmoid | Unary::HardSigmoid { .. }) => Ok(Role::Gate),
        Op::Conv(_)
        | Op::ConvTranspose(_)
        | Op::Gemm(_)
        | Op::MaxPool(_)
        | Op::AveragePool(_)
        | Op::GlobalAveragePool
        | Op::Concat { .. }
        | Op::Reshape { .. }
        | Op::Flatten { .. }
        | Op::Transpose { .. }
        | Op::Pad { mode: PadMode::Constant(0.0), .. }
        | Op::Slice { .. }
        | Op::Reduce { kind: Reduction::Mean | Reduction::Sum | Reduction::Max, .. }
        | Op::Squeeze { .. }
        | Op::Unsqueeze { .. }
        | Op::Expand { .. }
        | Op::Tile { .. }
        | Op::Resize(_)
        | Op::DepthToSpace { .. }
        | Op::SpaceToDepth { .. }
        | Op::ChannelShuffle { .. } => Ok(Role::Linear),
        Op::Softmax { .. } | Op::LogSoftmax { .. } if graph.is_output(node.output()) => {
            Ok(Role::Linear)
        }
        Op::MatMul if !(computed(0) && computed(1)) => Ok(Role::Linear),
        // A single number is no bias that could be scaled with the image.
        Op::Binary(Binary::Add) if several(0) && several(1) => Ok(Role::Linear),
        Op::Binary(Binary::Max) if computed(0) && computed(1) => Ok(Role::Linear),
        Op::Binary(Binary::Mul) if !(computed(0) && computed(1)) => Ok(Role::Linear),
        op => {
            let (name, op) = (&node.name, op.name());
            Err(format!("node '{name}' ({op}) has no linear form for positive numbers"))
        }
    }
}

/// Makes everybody who multiplies by the gate use the other factor alone.
fn open(graph: &mut Graph, gate: &Node) -> Result<(), String> {
    let readers = graph.nodes.iter().filter(|n| n.inputs.contains(&Some(gate.output())));
    for reader in readers.cloned().collect::<Vec<_>>() {
        let factors = [input(&reader)?, reader.input(1).unwrap_or(gate.output())];
        let other = factors.into_iter().find(|&factor| factor != gate.output());
        let output = reader.output();
        let fits = |&other: &ValueId| graph.value(other).shape == graph.value(output).shape;
        match other.filter(fits) {
            Some(other) if reader.op == Op::Binary(Binary::Mul) => {
                graph.replace_uses(output, other)
            }
            _ => {
                let (gate, name, op) = (&gate.name, &reader.name, reader.op.name());
                return Err(format!(
                    "node '{name}' ({op}) does something else with the gate '{gate}' than multiply \
                     a map by it"
                ));
            }
        }
    }
    Ok(())
}

fn input(node: &Node) -> Result<ValueId, String> {
    node.input(0).map_err(|e| e.to_string())
}
