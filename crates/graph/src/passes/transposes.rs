//! Transposes in a row, and those that move nothing but dimensions of extent 1.

use super::rewrite::{View, become_op};
use crate::{Dim, Graph, Op, Result};

/// Transposes in a row become one, and a Transpose that leaves all dimensions but those of extent
/// 1 in order becomes Reshape. Exact.
pub fn merge_transposes(graph: &mut Graph) -> Result<usize> {
    let view = View::new(graph);
    let mut count = 0;
    for root in 0..graph.nodes.len() {
        let node = &graph.nodes[root];
        let Op::Transpose { perm } = &node.op else { continue };
        let Ok(x) = node.input(0) else { continue };
        let inner = view.node(graph, x).and_then(|(_, n)| match &n.op {
            Op::Transpose { perm } => Some((perm, n.input(0).ok()?)),
            _ => None,
        });
        let (perm, x, joined) = match inner {
            Some((first, origin)) if view.is_private(graph, x) => {
                (perm.iter().map(|&p| first[p]).collect(), origin, true)
            }
            _ => (perm.clone(), x, false),
        };
        let (from, to) = (&graph.value(x).shape, &graph.value(node.output()).shape);
        let long = perm.iter().filter(|&&p| from.dims()[p] != Dim::Fixed(1));
        let is_identity = perm.iter().enumerate().all(|(i, &p)| i == p);
        let op = match super::reshapes::reshape(from, to) {
            Some(reshape) if !is_identity && long.is_sorted() => Some(reshape),
            _ => joined.then_some(Op::Transpose { perm }),
        };
        if let Some(op) = op {
            count += usize::from(become_op(graph, root, op, &[x]));
        }
    }
    super::finish(graph, count)
}
