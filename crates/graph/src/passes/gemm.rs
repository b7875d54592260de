//! Fully connected layers written as a product and a sum.

use super::rewrite::{View, become_op, operands};
use crate::{Binary, Gemm, Graph, Op, Result, ValueId};

/// `MatMul(x, w) + b` of matrices, with constant w and b, becomes Gemm. The product is rounded once
/// less.
pub fn join_gemm(graph: &mut Graph) -> Result<usize> {
    let view = View::new(graph);
    let mut count = 0;
    for root in 0..graph.nodes.len() {
        if let Some(inputs) = as_gemm(graph, &view, root) {
            let gemm = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: false };
            count += usize::from(become_op(graph, root, Op::Gemm(gemm), &inputs));
        }
    }
    super::finish(graph, count)
}

fn as_gemm(graph: &Graph, view: &View, root: usize) -> Option<[ValueId; 3]> {
    let (a, b) = operands(graph.nodes.get(root)?, Binary::Add)?;
    [(a, b), (b, a)].into_iter().find_map(|(product, bias)| {
        let (_, node) = view.node(graph, product)?;
        let (x, w) = (node.input(0).ok()?, node.input(1).ok()?);
        let columns = graph.constant(w)?.shape().get(1).copied();
        let bias_shape = graph.constant(bias)?.shape();
        let fits = node.op == Op::MatMul
            && view.is_private(graph, product)
            && [x, w].iter().all(|&id| graph.value(id).shape.rank() == 2)
            && bias_shape.len() <= 2
            && bias_shape.last().copied() == columns
            && bias_shape.iter().rev().skip(1).all(|&n| n == 1);
        fits.then_some([x, w, bias])
    })
}
