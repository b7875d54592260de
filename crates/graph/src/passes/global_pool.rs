//! Means over the whole map, the way each framework writes them.

use super::rewrite::{Names, add_before, become_op};
use crate::{Graph, Node, Op, Reduction, Result, ValueId};

/// ReduceMean over height and width, and AveragePool over a whole map, become GlobalAveragePool,
/// followed by Flatten where the dimensions go (PyTorch's `mean([2, 3])`). Differs by rounding at
/// most.
pub fn global_pool(graph: &mut Graph) -> Result<usize> {
    let mut names = Names::new(graph);
    let mut count = 0;
    for root in 0..graph.nodes.len() {
        let Some((x, keeps)) = as_global(graph, &graph.nodes[root]) else { continue };
        if keeps {
            count += usize::from(become_op(graph, root, Op::GlobalAveragePool, &[x]));
            continue;
        }
        let stem = format!("{}.pool", graph.nodes[root].name);
        if let Some(pool) = add_before(graph, &mut names, &stem, Op::GlobalAveragePool, &[x]) {
            count += usize::from(become_op(graph, root, Op::Flatten { axis: 1 }, &[pool]));
        }
    }
    super::finish(graph, count)
}

/// The map that a node is the mean of, and whether it keeps height and width as 1.
fn as_global(graph: &Graph, node: &Node) -> Option<(ValueId, bool)> {
    let x = node.input(0).ok()?;
    let dims = graph.value(x).shape.dims();
    let [_, _, height, width] = dims else { return None };
    match &node.op {
        Op::Reduce { kind: Reduction::Mean, axes, keep_dims } if axes[..] == [2, 3] => {
            Some((x, *keep_dims))
        }
        Op::AveragePool(pool) => {
            let window = &pool.window;
            let whole = [height.fixed()?, width.fixed()?] == window.kernel;
            let plain = window.pads == [0; 4] && window.dilations == [1; 2];
            // A window of one element is an identity, not a mean.
            (whole && plain && window.kernel != [1; 2]).then_some((x, true))
        }
        _ => None,
    }
}
