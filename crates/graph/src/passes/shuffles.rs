//! Reshape, Transpose, Reshape that together move channels: the channel shuffle of ShuffleNet and
//! the two kinds of pixel shuffle.

use super::rewrite::{View, become_op};
use crate::{DepthOrder, Dim, Graph, Op, Result, ValueId};

/// Splits channels into groups, swaps groups with channels and joins them again: becomes
/// ChannelShuffle. Space may be flattened in between. Exact.
pub fn channel_shuffle(graph: &mut Graph) -> Result<usize> {
    rearranged(graph, |m| {
        let ([n, c, ..], [n2, groups, per, ..]) = (m.x, m.split) else { return None };
        let (groups, per) = (groups.fixed()?, per.fixed()?);
        let swaps = m.perm[..3] == [0, 2, 1] && m.perm[3..].iter().copied().eq(3..m.perm.len());
        let splits = n == n2 && groups.checked_mul(per) == c.fixed() && same_space(m);
        (swaps && splits && m.x == m.out).then_some(Op::ChannelShuffle { groups })
    })
}

/// The extents behind the channels are the same in x and split, or flattened in split.
fn same_space(m: &Moved) -> bool {
    let product = |dims: &[Dim]| dims.iter().try_fold(1usize, |n, d| n.checked_mul(d.fixed()?));
    let whole = product(&m.x[2..]);
    m.x[2..] == m.split[3..] || (whole.is_some() && whole == product(&m.split[3..]))
}

/// PyTorch's and TensorFlow's pixel shuffle become DepthToSpace, TensorFlow's inverse becomes
/// SpaceToDepth. Exact.
pub fn depth_to_space(graph: &mut Graph) -> Result<usize> {
    rearranged(graph, |m| {
        let ([n, c, h, w], [n2, a, b, d, e, f]) = (m.x, m.split) else { return None };
        let block =
            |bh: &Dim, bw: &Dim| (bh == bw).then(|| bh.fixed()).flatten().filter(|&b| b > 0);
        let channels = |count: &Dim, block: usize| {
            count.fixed()?.checked_mul(block)?.checked_mul(block).map(Dim::from)
        };
        let grown = |count: &Dim, block: usize| {
            let out = |size: &Dim| Some(Dim::from(size.fixed()?.checked_mul(block)?));
            Some([n.clone(), count.clone(), out(h)?, out(w)?])
        };
        if n != n2 {
            return None;
        }
        match m.perm {
            [0, 1, 4, 2, 5, 3] if (e, f) == (h, w) => {
                let block = block(b, d)?;
                let is = channels(a, block)? == *c && m.out == grown(a, block)?;
                is.then_some(Op::DepthToSpace { block, order: DepthOrder::Crd })
            }
            [0, 3, 4, 1, 5, 2] if (e, f) == (h, w) => {
                let block = block(a, b)?;
                let is = channels(d, block)? == *c && m.out == grown(d, block)?;
                is.then_some(Op::DepthToSpace { block, order: DepthOrder::Dcr })
            }
            [0, 3, 5, 1, 2, 4] if a == c => {
                let block = block(d, f)?;
                let splits = cells_match(h, b, block) && cells_match(w, e, block);
                let out = [n.clone(), channels(c, block)?, b.clone(), e.clone()];
                (splits && m.out == out).then_some(Op::SpaceToDepth { block })
            }
            _ => None,
        }
    })
}

fn cells_match(all: &Dim, part: &Dim, block: usize) -> bool {
    part.fixed().and_then(|p| p.checked_mul(block)).is_some_and(|n| Some(n) == all.fixed())
}

/// The shapes on the way through Reshape, Transpose, Reshape.
struct Moved<'a> {
    x: &'a [Dim],
    split: &'a [Dim],
    perm: &'a [usize],
    out: &'a [Dim],
}

fn rearranged(graph: &mut Graph, meaning: impl Fn(&Moved) -> Option<Op>) -> Result<usize> {
    let view = View::new(graph);
    let mut count = 0;
    for root in 0..graph.nodes.len() {
        if let Some((op, x)) = as_rearranged(graph, &view, root, &meaning) {
            count += usize::from(become_op(graph, root, op, &[x]));
        }
    }
    super::finish(graph, count)
}

fn as_rearranged(
    graph: &Graph,
    view: &View,
    root: usize,
    meaning: &impl Fn(&Moved) -> Option<Op>,
) -> Option<(Op, ValueId)> {
    let node = graph.nodes.get(root)?;
    if !super::reshapes::is_reshape(&node.op) {
        return None;
    }
    let (middle, transpose) = view.node(graph, node.input(0).ok()?)?;
    let Op::Transpose { perm } = &transpose.op else { return None };
    let (first, reshape) = view.node(graph, transpose.input(0).ok()?)?;
    let x = reshape.input(0).ok()?;
    let dims = |id: ValueId| graph.value(id).shape.dims();
    let moved = Moved { x: dims(x), split: dims(reshape.output()), perm, out: dims(node.output()) };
    let fits = super::reshapes::is_reshape(&reshape.op)
        && moved.x.len() == 4
        && moved.split.len() >= 4
        && view.encloses(graph, root, &[first, middle]);
    Some((fits.then(|| meaning(&moved)).flatten()?, x))
}
