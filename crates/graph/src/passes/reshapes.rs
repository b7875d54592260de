//! Operators that only change the shape: Reshape, Flatten, Squeeze, Unsqueeze.

use super::rewrite::{View, become_op};
use crate::{Dim, Graph, Op, ReshapeDim, Result, Shape};

/// Whether elements stay in order and only the shape changes.
pub(super) fn is_reshape(op: &Op) -> bool {
    matches!(
        op,
        Op::Reshape { .. } | Op::Flatten { .. } | Op::Squeeze { .. } | Op::Unsqueeze { .. }
    )
}

/// A change of shape after a private one becomes a single one, and what makes a matrix of all
/// dimensions behind the first becomes Flatten, however it was written. Exact.
pub fn merge_reshapes(graph: &mut Graph) -> Result<usize> {
    let view = View::new(graph);
    let mut count = 0;
    for root in 0..graph.nodes.len() {
        let node = &graph.nodes[root];
        if !is_reshape(&node.op) {
            continue;
        }
        let Ok(mut x) = node.input(0) else { continue };
        while let Some((_, inner)) = view.node(graph, x) {
            match inner.input(0) {
                Ok(origin) if is_reshape(&inner.op) && view.is_private(graph, x) => x = origin,
                _ => break,
            }
        }
        let (from, to) = (&graph.value(x).shape, &graph.value(node.output()).shape);
        let merged = node.inputs.first() != Some(&Some(x));
        let op = if is_flatten(from, to) { Some(Op::Flatten { axis: 1 }) } else { None };
        let op = op.or_else(|| merged.then(|| reshape(from, to)).flatten());
        if let Some(op) = op
            && (merged || op != node.op)
        {
            count += usize::from(become_op(graph, root, op, &[x]));
        }
    }
    super::finish(graph, count)
}

/// Whether a map `[n, c, ...]` becomes the matrix `[n, c * ...]`.
fn is_flatten(from: &Shape, to: &Shape) -> bool {
    let ([n, inner @ ..], [n2, columns]) = (from.dims(), to.dims()) else { return false };
    let product = inner.iter().try_fold(1usize, |p, d| p.checked_mul(d.fixed()?));
    inner.len() > 1 && n == n2 && product.is_some() && product == columns.fixed()
}

/// Reshape from one shape to another. A first dimension that stays is copied, so that the node
/// holds for any batch. `None` where symbols move in a way that no Reshape states.
pub(super) fn reshape(from: &Shape, to: &Shape) -> Option<Op> {
    let mut inferred = false;
    let mut dims = Vec::with_capacity(to.rank());
    for (i, dim) in to.dims().iter().enumerate() {
        let stays = from.dims().get(i) == Some(dim);
        dims.push(match dim {
            _ if i == 0 && stays => ReshapeDim::Copy,
            Dim::Fixed(0) => return None,
            Dim::Fixed(n) => ReshapeDim::Fixed(*n),
            Dim::Symbol(_) if stays => ReshapeDim::Copy,
            Dim::Symbol(_) if inferred => return None,
            Dim::Symbol(_) => {
                inferred = true;
                ReshapeDim::Infer
            }
        });
    }
    Some(Op::Reshape { dims })
}
