//! From a graph and the channels to remove to a smaller graph.

mod attributes;
mod select;

use edgecut_graph::{Dim, Graph, GraphError, Result, Shape, ValueId, infer};

use super::Channels;
use super::flow::Axis;
pub(crate) use select::select;

/// The channels to remove: for each group in order, numbers of channels, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// By group.
    pub removed: Vec<Vec<usize>>,
}

impl Plan {
    /// Number of channels removed.
    pub fn len(&self) -> usize {
        self.removed.iter().map(Vec::len).sum()
    }

    /// Whether nothing is removed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Channels {
    /// The graph without the channels of `plan`: stored tensors lose rows and columns, and what
    /// counts indices (target shapes, cuts, groups, padding, positions) is counted anew. Inputs
    /// and outputs stay as they are.
    ///
    /// # Errors
    /// Where `plan` names a group or channel that does not exist, or would leave a dimension
    /// without any index.
    pub fn apply(&self, plan: &Plan) -> Result<Graph> {
        let kept = Kept::new(self, plan)?;
        let mut graph = self.graph.clone();
        for id in graph.value_ids() {
            let Some(tensor) = graph.constant(id) else { continue };
            let mut tensor = tensor.clone();
            for (dim, axis) in self.flow.space.of(id).iter().enumerate() {
                let keep = kept.of(*axis);
                if keep.len() < axis.len() {
                    tensor = select(&tensor, dim, &keep)?;
                }
            }
            graph.set_constant(id, tensor);
        }
        self.rewrite(&kept, &mut graph)?;
        graph.remove_unused();
        graph.validate()?;
        Ok(graph)
    }

    /// Rewrites what nodes say about extents, and derives the shapes behind them.
    fn rewrite(&self, kept: &Kept, graph: &mut Graph) -> Result<()> {
        let nodes = std::mem::take(&mut graph.nodes);
        for (index, node) in nodes.into_iter().enumerate() {
            let outputs = node.outputs.clone();
            for node in attributes::rewrite(self, kept, graph, (index, node))? {
                let typed = infer::infer_node(graph, &node)?;
                for (&output, (_, shape)) in node.outputs.iter().zip(typed) {
                    graph.value_mut(output).shape = shape;
                }
                graph.nodes.push(node);
            }
            for output in outputs {
                self.check(kept, graph, output)?;
            }
        }
        Ok(())
    }

    /// Fails where a value has not become what the flow of channels said.
    fn check(&self, kept: &Kept, graph: &Graph, id: ValueId) -> Result<()> {
        let old = &self.graph.value(id).shape;
        let axes = self.flow.space.of(id);
        let dims = old.dims().iter().zip(axes).map(|(dim, axis)| match dim {
            Dim::Fixed(_) => kept.of(*axis).len().into(),
            symbol => symbol.clone(),
        });
        let expected = Shape::new(dims.collect());
        let value = graph.value(id);
        if value.shape != expected {
            let problem = format!("became {}, expected {expected}: a defect", value.shape);
            return Err(GraphError::Shape { place: format!("'{}'", value.name), problem });
        }
        Ok(())
    }
}

/// Which indices are left.
pub(crate) struct Kept<'a> {
    channels: &'a Channels,
    /// By class.
    dead: Vec<bool>,
}

impl<'a> Kept<'a> {
    fn new(channels: &'a Channels, plan: &Plan) -> Result<Kept<'a>> {
        let malformed =
            |problem: String| GraphError::Malformed { place: "pruning plan".into(), problem };
        let mut dead = vec![false; channels.flow.space.len()];
        for (at, removed) in plan.removed.iter().enumerate() {
            for &number in removed {
                let group = channels.groups.get(at);
                let group = group.ok_or_else(|| malformed(format!("there is no group {at}")))?;
                let channel = group.channels.get(number).ok_or_else(|| {
                    malformed(format!("group '{}' has no channel {number}", group.name))
                })?;
                channel.classes.iter().for_each(|&class| dead[class as usize] = true);
            }
        }
        let kept = Kept { channels, dead };
        for id in channels.graph.value_ids() {
            let empty = |axis: &&Axis| axis.len() > 0 && kept.of(**axis).is_empty();
            if channels.flow.space.of(id).iter().any(|axis| empty(&axis)) {
                let name = &channels.graph.value(id).name;
                return Err(malformed(format!("it would leave nothing of '{name}'")));
            }
        }
        Ok(kept)
    }

    /// The indices of `axis` that are left, ascending.
    pub fn of(&self, axis: Axis) -> Vec<usize> {
        let alive = |i: &usize| !self.dead[self.channels.flow.space.class(axis.at(*i)) as usize];
        (0..axis.len()).filter(alive).collect()
    }
}
