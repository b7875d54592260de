//! What the rule of an operator says about one node.

use edgecut_graph::{Graph, Node, Result, ValueId};

use super::grid::Grid;
use super::space::{Axis, Pin, Space};
use super::{Member, Role};

/// Follows indices through one node. A rule takes the dimensions that it can follow by
/// [`Tracer::input`] and [`Tracer::output`] and says how they belong together; dimensions that no
/// rule took are pinned at the end, so that what is not understood is never removed.
pub(crate) struct Tracer<'a> {
    pub graph: &'a Graph,
    pub node: &'a Node,
    /// Place of the node in its graph.
    pub index: usize,
    pub space: &'a mut Space,
    pub grids: &'a mut Vec<Grid>,
    pub members: &'a mut Vec<Member>,
    /// Whether each value depends on constants alone.
    pub stored: &'a [bool],
    /// By input or output, by dimension: whether a rule took it.
    taken: [Vec<Vec<bool>>; 2],
    /// Why dimensions that no rule takes are pinned.
    why: &'static str,
}

/// An operand: inputs and outputs are counted apart.
const INPUT: usize = 0;
const OUTPUT: usize = 1;

impl<'a> Tracer<'a> {
    pub fn new(
        (graph, index): (&'a Graph, usize),
        (space, grids): (&'a mut Space, &'a mut Vec<Grid>),
        members: &'a mut Vec<Member>,
        stored: &'a [bool],
    ) -> Tracer<'a> {
        let node = &graph.nodes[index];
        let of = |id: ValueId| vec![false; space.of(id).len()];
        let inputs = node.inputs.iter().map(|id| id.map_or_else(Vec::new, of)).collect();
        let outputs = node.outputs.iter().map(|&id| of(id)).collect();
        let taken = [inputs, outputs];
        Tracer { graph, node, index, space, grids, members, stored, taken, why: "mixes it" }
    }

    /// Says why dimensions that the rule does not take are pinned, for a person: "sums to 1 over
    /// it".
    pub fn otherwise(&mut self, why: &'static str) {
        self.why = why;
    }

    /// Whether input `i` is present.
    pub fn has(&self, i: usize) -> bool {
        self.node.inputs.get(i).is_some_and(Option::is_some)
    }

    /// Number of dimensions of input `i`; 0 where it is absent.
    pub fn rank(&self, i: usize) -> usize {
        self.taken[INPUT].get(i).map_or(0, Vec::len)
    }

    /// Number of dimensions of the first output.
    pub fn output_rank(&self) -> usize {
        self.taken[OUTPUT][0].len()
    }

    /// Dimension `dim` of input `i`.
    pub fn input(&mut self, i: usize, dim: usize) -> Result<Axis> {
        let id = self.node.input(i)?;
        self.taken[INPUT][i][dim] = true;
        Ok(self.space.of(id)[dim])
    }

    /// Dimension `dim` of the first output.
    pub fn output(&mut self, dim: usize) -> Axis {
        self.output_of(0, dim)
    }

    /// Dimension `dim` of output `o`.
    pub fn output_of(&mut self, o: usize, dim: usize) -> Axis {
        self.taken[OUTPUT][o][dim] = true;
        self.space.of(self.node.outputs[o])[dim]
    }

    /// Both dimensions keep the same indices.
    pub fn same(&mut self, a: Axis, b: Axis) {
        if a.len() != b.len() {
            self.pin(a, "meets another number of indices");
            self.pin(b, "meets another number of indices");
            return;
        }
        for (a, b) in a.indices().zip(b.indices()) {
            self.space.join(a, b);
        }
    }

    /// Dimensions of the same number of input `i` and the first output keep the same indices.
    pub fn same_dims(&mut self, i: usize, dims: impl IntoIterator<Item = usize>) -> Result<()> {
        for dim in dims {
            let (a, b) = (self.input(i, dim)?, self.output(dim));
            self.same(a, b);
        }
        Ok(())
    }

    /// Index `from[j]` of `a`, where there is one, is index `j` of `b`.
    pub fn moved(&mut self, a: Axis, b: Axis, from: impl IntoIterator<Item = Option<usize>>) {
        for (j, from) in from.into_iter().enumerate() {
            if let Some(i) = from {
                self.space.join(a.at(i), b.at(j));
            }
        }
    }

    /// `cells` are the product of `sides`.
    pub fn grid(&mut self, sides: &[Axis], cells: Axis) {
        let product: usize = sides.iter().map(|s| s.len()).product();
        if product != cells.len() {
            self.pin(cells, "does not divide evenly");
            return;
        }
        match sides {
            [side] => self.same(*side, cells),
            _ => self.grids.push(Grid { sides: sides.to_vec(), cells }),
        }
    }

    /// A dimension that only this node has.
    pub fn inner(&mut self, len: usize) -> Axis {
        self.space.axis(len)
    }

    /// No index of `axis` may go.
    pub fn pin(&mut self, axis: Axis, why: &'static str) {
        let pin = Pin { node: Some(self.index), why };
        for index in axis.indices() {
            self.space.pin(index, &pin);
        }
    }

    /// Index `index` may not go.
    pub fn pin_index(&mut self, index: u32, why: &'static str) {
        self.space.pin(index, &Pin { node: Some(self.index), why });
    }

    /// The node takes a mean over `axis`.
    pub fn mean_over(&mut self, axis: Axis) {
        axis.indices().for_each(|index| self.space.mark_mean(index));
    }

    /// What dimension `dim` of input `i` means to the node, where it is stored.
    pub fn role(&mut self, i: usize, dim: usize, role: Role) {
        let Some(value) = self.node.inputs.get(i).copied().flatten() else { return };
        if self.stored[value.index()] && dim < self.rank(i) {
            self.members.push(Member { value, dim, role, node: self.index });
        }
    }

    /// Pins what no rule took.
    pub fn finish(self) {
        let pin = Pin { node: Some(self.index), why: self.why };
        let inputs = self.node.inputs.iter().zip(&self.taken[INPUT]);
        let inputs = inputs.filter_map(|(id, taken)| Some(((*id)?, taken)));
        let outputs = self.node.outputs.iter().copied().zip(&self.taken[OUTPUT]);
        for (value, taken) in inputs.chain(outputs) {
            for (dim, _) in taken.iter().enumerate().filter(|(_, taken)| !**taken) {
                for index in self.space.of(value)[dim].indices() {
                    self.space.pin(index, &pin);
                }
            }
        }
    }
}
