//! Operators that move elements.

use edgecut_graph::{Node, Op, PadMode};

use super::super::Extent;
use super::values::Seen;
use super::{Compiler, extent};
use crate::error::Result;
use crate::grad::{Concat, Layer, Moves, Shuffle, Spread};

impl Compiler<'_> {
    /// The same elements under another shape: nothing to do where they lie in the graph's order, or
    /// where the graph sees an image as a row.
    pub fn reshape(&mut self, node: &Node) -> Result<()> {
        let x = self.input(node, 0)?;
        let keeps = x.is_rows() || self.is_row(node);
        let x = if keeps { x } else { self.rows(node, 0)? };
        let rows = x.is_rows() && !self.is_row(node);
        let pixels = x.pixels.filter(|_| !rows);
        self.define(node.output(), Seen { pixels, ..x });
        Ok(())
    }

    /// Whether the output has one dimension that is not 1.
    fn is_row(&self, node: &Node) -> bool {
        let (shape, len) = (self.shape(node.output()), self.len(node.output()));
        shape.contains(&len)
    }

    pub fn concat(&mut self, node: &Node, axis: usize) -> Result<()> {
        let count = node.inputs.len();
        let out = self.shape(node.output());
        let of_images = out.len() == 4 && axis == 1 && {
            let pixels = |i: usize| {
                let id = node.input(i).ok()?;
                self.seen[id.index()]?.pixels.filter(|e| self.shape(id) == [1, e.c, e.h, e.w])
            };
            (0..count).all(|i| pixels(i).is_some())
        };
        let mut inputs = vec![];
        for i in 0..count {
            inputs.push(if of_images { self.image(node, i)?.0 } else { self.rows(node, i)? });
        }
        let (outer, pixels) = match of_images {
            true => (out[2] * out[3], extent(&self.graph, node.output())),
            false => (out[..axis].iter().product(), None),
        };
        let widths = inputs
            .iter()
            .map(|x| self.out.activations[x.activation].len / usize::max(outer, 1))
            .collect();
        let layer = Layer::Concat(Concat::new(self.batch, outer, widths));
        self.push(node, layer, &inputs, pixels);
        Ok(())
    }

    pub fn shuffle(&mut self, node: &Node, groups: usize) -> Result<()> {
        let (x, e) = self.image(node, 0)?;
        self.operator(node, Shuffle { channels: e.c, groups }, &[x], Some(e));
        Ok(())
    }

    /// An operator of one computed input that moves its elements.
    pub fn moves(&mut self, node: &Node) -> Result<()> {
        let fill = match node.op {
            Op::Pad { mode: PadMode::Constant(fill), .. } => fill,
            _ => 0.0,
        };
        let x = self.input(node, 0)?;
        let from = self.sources(node, &[(0, x)])?;
        self.place(node, &[x], &from, fill)
    }

    /// Writes a layer whose output element i is element `from[i]` of its inputs, counted through,
    /// in the order that moves least: none at all, or that of the first input.
    pub fn place(&mut self, node: &Node, inputs: &[Seen], from: &[u32], fill: f32) -> Result<()> {
        let out = self.shape(node.output());
        let image = (out.len() == 4).then(|| extent(&self.graph, node.output())).flatten();
        let orders: Vec<Option<Extent>> = match (image, inputs[0].pixels) {
            (Some(e), Some(_)) => vec![Some(e), None],
            (Some(e), None) => vec![None, Some(e)],
            (None, _) => vec![None],
        };
        let lens: Vec<usize> =
            inputs.iter().map(|x| self.out.activations[x.activation].len).collect();
        if let [len] = lens[..] {
            for &order in &orders {
                if Spread::new(self.arranged(from, order), len).is_same() {
                    self.define(node.output(), Seen { pixels: order, ..inputs[0] });
                    return Ok(());
                }
            }
        }
        let arranged = self.arranged(from, orders[0]);
        let mut first = 0;
        let mut maps = vec![];
        for len in lens {
            let own = |&at: &u32| at.checked_sub(first).filter(|at| (*at as usize) < len);
            let own = arranged.iter().map(|at| own(at).unwrap_or(crate::grad::NOWHERE));
            maps.push(Spread::new(own.collect(), len));
            first += len as u32;
        }
        self.operator(node, Moves::new(self.batch, maps, fill), inputs, orders[0]);
        Ok(())
    }
}
