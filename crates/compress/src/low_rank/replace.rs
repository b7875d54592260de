//! Two layers in the place of one.

use edgecut_graph::{Conv, Gemm, Graph, Op, Tensor, Window};

use super::factors::Cut;
use crate::Result;

/// Puts the layer `NAME.in` of `cut.rank` outputs in front of the layer `name`, which keeps its name, its
/// bias and its output. Strides and padding are those of the first.
pub(super) fn replace(graph: &mut Graph, name: &str, cut: Cut) -> Result<()> {
    let Some(index) = graph.nodes.iter().position(|node| node.name == name) else { return Ok(()) };
    let node = graph.nodes[index].clone();
    let (input, old) = (node.input(0)?, node.input(1)?);
    let rank = cut.rank;
    let stored = graph.value(old).shape.with_symbols(1);
    let (first, ahead, second, op) = match (&node.op, &stored[..]) {
        (Op::Conv(conv), &[outputs, inputs, ..]) => {
            let point = Conv { window: Window::new([1, 1], [1, 1]), groups: 1 };
            (vec![rank, inputs, 1, 1], Op::Conv(*conv), vec![outputs, rank, 1, 1], Op::Conv(point))
        }
        (Op::Gemm(gemm), &[a, b]) => {
            let plain = Gemm { alpha: 1.0, beta: 1.0, ..*gemm };
            let [first, second] = match gemm.trans_b {
                true => [[rank, b], [a, rank]],
                false => [[a, rank], [rank, b]],
            };
            (first.to_vec(), Op::Gemm(plain), second.to_vec(), Op::Gemm(*gemm))
        }
        (op, &[inputs, outputs]) => {
            (vec![inputs, rank], op.clone(), vec![rank, outputs], op.clone())
        }
        _ => return Ok(()),
    };
    let weight = |graph: &mut Graph, stem: &str, shape: Vec<usize>, values: Vec<f32>| {
        let name = graph.unique_name(&format!("{}.{stem}", graph.value(old).name));
        Ok::<_, crate::CompressError>(graph.add_constant(name, Tensor::new(shape, values)?))
    };
    let first = weight(graph, "in", first, cut.first)?;
    let second = weight(graph, "out", second, cut.second)?;
    let taken = |name: &String| graph.nodes.iter().any(|node| node.name == *name);
    let ahead_name = (0..).map(|i| format!("{name}.in{}", "_".repeat(i))).find(|name| !taken(name));
    let between =
        graph.add_node(ahead_name.unwrap_or_default(), ahead, &[Some(input), Some(first)])?;
    // It was added at the end; its place is in front of the layer that reads it.
    graph.nodes[index..].rotate_right(1);
    let layer = &mut graph.nodes[index + 1];
    layer.op = op;
    layer.inputs[0] = Some(between);
    layer.inputs[1] = Some(second);
    Ok(())
}
