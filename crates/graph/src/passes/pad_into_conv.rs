//! A window can pad for itself. TensorFlow exporters write the asymmetric padding of "SAME" as a
//! node of its own.

use crate::limits::MAX_WINDOW;
use crate::{Graph, Node, Op, PadMode, Result};

/// Moves every padding of height and width, whose readers all can pad for themselves, into them:
/// zeros into convolutions (as data, not weights) and into average pooling that counts padding,
/// minus infinity into max pooling. Returns how many Pad nodes went. The results are the same
/// bytes.
pub fn pad_into_conv(graph: &mut Graph) -> Result<usize> {
    let consumers = graph.consumers();
    let mut moved = vec![];
    for index in 0..graph.nodes.len() {
        let pad = graph.nodes[index].clone();
        let Some((extra, value)) = spatial(&pad) else { continue };
        let readers = &consumers[pad.output().index()];
        let padded: Vec<Option<Node>> = readers
            .iter()
            .map(|&reader| with_pads(graph, &graph.nodes[reader], &pad, extra, value))
            .collect();
        if graph.is_output(pad.output()) || readers.is_empty() || padded.iter().any(Option::is_none)
        {
            continue;
        }
        for (&reader, node) in readers.iter().zip(padded) {
            graph.nodes[reader] = node.ok_or_else(|| pad.error("has a reader that cannot pad"))?;
        }
        moved.push(index);
    }
    super::tidy(graph, &moved)?;
    Ok(moved.len())
}

/// Top, left, bottom and right of a Pad that adds one number there and nowhere else.
fn spatial(node: &Node) -> Option<([usize; 4], f32)> {
    match &node.op {
        Op::Pad { before, after, mode: PadMode::Constant(value) } => {
            match (before.as_slice(), after.as_slice()) {
                ([0, 0, top, left], [0, 0, bottom, right]) => {
                    Some(([*top, *left, *bottom, *right], *value))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// `node` reading the input of `pad` and padding for itself, where that computes the same.
fn with_pads(
    graph: &Graph,
    node: &Node,
    pad: &Node,
    extra: [usize; 4],
    value: f32,
) -> Option<Node> {
    let mut result = node.clone();
    let window = match &mut result.op {
        Op::Conv(conv) if value == 0.0 => &mut conv.window,
        // Padding that the pool adds itself counts, or there is none: then that of Pad may.
        Op::AveragePool(pool)
            if value == 0.0 && (pool.count_include_pad || pool.window.pads == [0; 4]) =>
        {
            pool.count_include_pad = true;
            &mut pool.window
        }
        Op::MaxPool(pool) if value == f32::NEG_INFINITY => &mut pool.window,
        _ => return None,
    };
    let uses = node.inputs.iter().flatten().filter(|&&id| id == pad.output()).count();
    window.pads.iter_mut().zip(extra).for_each(|(p, e)| *p = p.saturating_add(e));
    if uses != 1
        || node.inputs[0] != Some(pad.output())
        || window.pads.iter().any(|&p| p > MAX_WINDOW)
    {
        return None;
    }
    result.inputs[0] = pad.inputs[0];
    // Pools refuse padding as wide as the window, and in ceil mode may end elsewhere.
    let inferred = crate::infer::infer_node(graph, &result).ok()?;
    let value = graph.value(node.output());
    let same =
        matches!(&inferred[..], [(dtype, shape)] if *dtype == value.dtype && *shape == value.shape);
    same.then_some(result)
}
