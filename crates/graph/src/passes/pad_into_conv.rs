//! A convolution can pad for itself. TensorFlow exporters write the asymmetric padding of "SAME"
//! as a node of its own.

use crate::limits::MAX_WINDOW;
use crate::{Graph, Node, Op, PadMode, Result};

/// Moves every zero padding of height and width, whose readers are all convolutions (as data, not
/// weights), into them. Returns how many Pad nodes went. The results are the same bytes.
pub fn pad_into_conv(graph: &mut Graph) -> Result<usize> {
    let consumers = graph.consumers();
    let mut moved = vec![];
    for index in 0..graph.nodes.len() {
        let pad = graph.nodes[index].clone();
        let Some(extra) = spatial_zeros(&pad) else { continue };
        let readers = &consumers[pad.output().index()];
        let takes = |&reader: &usize| takes_pads(&graph.nodes[reader], &pad, extra);
        if graph.is_output(pad.output()) || readers.is_empty() || !readers.iter().all(takes) {
            continue;
        }
        for &reader in readers {
            let conv = &mut graph.nodes[reader];
            conv.inputs[0] = pad.inputs[0];
            if let Op::Conv(conv) = &mut conv.op {
                conv.window.pads.iter_mut().zip(extra).for_each(|(p, e)| *p += e);
            }
        }
        moved.push(index);
    }
    super::tidy(graph, &moved)?;
    Ok(moved.len())
}

/// Top, left, bottom and right of a Pad that adds zeros there and nowhere else.
fn spatial_zeros(node: &Node) -> Option<[usize; 4]> {
    match &node.op {
        Op::Pad { before, after, mode: PadMode::Constant(0.0) } => {
            match (before.as_slice(), after.as_slice()) {
                ([0, 0, top, left], [0, 0, bottom, right]) => Some([*top, *left, *bottom, *right]),
                _ => None,
            }
        }
        _ => None,
    }
}

fn takes_pads(node: &Node, pad: &Node, extra: [usize; 4]) -> bool {
    let Op::Conv(conv) = node.op else { return false };
    let uses = node.inputs.iter().flatten().filter(|&&id| id == pad.output()).count();
    let fits = conv.window.pads.iter().zip(extra).all(|(p, e)| p.saturating_add(e) <= MAX_WINDOW);
    uses == 1 && node.inputs[0] == Some(pad.output()) && fits
}
