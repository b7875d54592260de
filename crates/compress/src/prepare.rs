//! The float graph that is calibrated and quantised.
//!
//! Integer convolution has a bias but no normalisation, so BatchNorm is folded first; folding
//! after calibration would make the recorded ranges those of other values. Two spellings that
//! exporters use are rewritten to the operators that integer kernels exist for.

use edgecut_graph::{Gemm, Graph, Node, Op, Reduction, ValueId, passes};

use crate::Result;

/// A copy of `graph` with BatchNorm, constants, identities and padding folded, MatMul and Add of a
/// constant joined to Gemm, and ReduceMean over a whole image turned into GlobalAveragePool. It
/// computes the same function up to the rounding of folded weights. Idempotent.
pub fn prepare(graph: &Graph) -> Result<Graph> {
    graph.validate()?;
    let mut graph = graph.clone();
    passes::remove_identities(&mut graph)?;
    passes::fold_constants(&mut graph)?;
    join_linear(&mut graph);
    mean_to_pool(&mut graph);
    graph.remove_unused();
    passes::pad_into_conv(&mut graph)?;
    passes::fold_batch_norm(&mut graph)?;
    graph.validate()?;
    Ok(graph)
}

/// `MatMul(x, W) + b` becomes `Gemm(x, W, b)` for a matrix x and constant W `[k, n]`, b `[n]`.
fn join_linear(graph: &mut Graph) {
    let (producers, consumers) = (graph.producers(), graph.consumers());
    for index in 0..graph.nodes.len() {
        let add = &graph.nodes[index];
        if add.op != Op::Binary(edgecut_graph::Binary::Add) {
            continue;
        }
        let (Some(a), Some(b)) = (add.inputs[0], add.inputs[1]) else { continue };
        let joined = [(a, b), (b, a)].into_iter().find_map(|(product, bias)| {
            let producer = producers[product.index()]?;
            let private = consumers[product.index()].len() == 1 && !graph.is_output(product);
            let (x, w) = linear_operands(graph, &graph.nodes[producer])?;
            let n = graph.constant(w)?.shape()[1];
            let fits = graph.constant(bias)?.shape() == [n];
            (private && fits).then_some([Some(x), Some(w), Some(bias)])
        });
        if let Some(inputs) = joined {
            let node = &mut graph.nodes[index];
            node.op = Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: false });
            node.inputs = inputs.to_vec();
        }
    }
}

/// Input and weight of a MatMul of matrices whose second is constant.
fn linear_operands(graph: &Graph, node: &Node) -> Option<(ValueId, ValueId)> {
    let (x, w) = (node.inputs.first().copied()??, node.inputs.get(1).copied()??);
    let matrices = graph.value(x).shape.rank() == 2 && graph.constant(w)?.rank() == 2;
    (node.op == Op::MatMul && matrices).then_some((x, w))
}

/// ReduceMean over height and width that keeps dimensions becomes GlobalAveragePool.
fn mean_to_pool(graph: &mut Graph) {
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let Op::Reduce { kind: Reduction::Mean, axes, keep_dims: true } = &node.op else {
            continue;
        };
        let image = node.inputs[0].is_some_and(|x| graph.value(x).shape.rank() == 4);
        if image && axes[..] == [2, 3] {
            graph.nodes[index].op = Op::GlobalAveragePool;
        }
    }
}
