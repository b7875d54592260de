//! What pruning did to each layer.

use std::collections::HashMap;

use edgecut_graph::cost::{NodeCost, cost};
use edgecut_graph::{Graph, Op};
use serde::Serialize;

use crate::errors::Result;

/// A layer before and after.
#[derive(Clone, Debug, Serialize)]
pub struct LayerChange {
    /// Name of the node.
    pub node: String,
    /// ONNX operator.
    pub op: &'static str,
    /// Channels that it made.
    pub channels_before: usize,
    /// Channels that it makes.
    pub channels_after: usize,
    /// Multiply-adds before.
    pub macs_before: u64,
    /// Multiply-adds after.
    pub macs_after: u64,
    /// Parameters before.
    pub params_before: u64,
    /// Parameters after.
    pub params_after: u64,
}

/// Layers with weights, in order.
pub fn changes(before: &Graph, after: &Graph) -> Result<Vec<LayerChange>> {
    let (old, new) = (cost(before, 1)?, cost(after, 1)?);
    let left: HashMap<&str, &NodeCost> = new.nodes.iter().map(|n| (n.name.as_str(), n)).collect();
    let layers = before.nodes.iter().zip(&old.nodes).filter(|(_, cost)| cost.macs > 0);
    let change = |(node, old): (&edgecut_graph::Node, &NodeCost)| {
        // Nothing is left of a layer that is gone.
        let new = left.get(old.name.as_str());
        let channels = |cost: &NodeCost| {
            let maps = matches!(node.op, Op::Conv(_) | Op::ConvTranspose(_) | Op::ConvInteger(_));
            let extent = if maps { cost.output.get(1) } else { cost.output.last() };
            extent.copied().unwrap_or(1)
        };
        LayerChange {
            node: old.name.clone(),
            op: old.op,
            channels_before: channels(old),
            channels_after: new.map_or(0, |new| channels(new)),
            macs_before: old.macs,
            macs_after: new.map_or(0, |new| new.macs),
            params_before: old.parameters,
            params_after: new.map_or(0, |new| new.parameters),
        }
    };
    Ok(layers.map(change).collect())
}
