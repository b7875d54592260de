//! Where elements come from, asked of the reference interpreter: an operator that moves elements
//! is run on their positions, so that its definition is written once.

use edgecut_graph::{Data, Node, Op, PadMode, Tensor, interpret};

use super::super::Extent;
use super::Compiler;
use super::values::Seen;
use crate::error::{Result, TrainError};
use crate::grad::{NOWHERE, Spread};

impl Compiler<'_> {
    /// For each element of a value of `len` elements in the graph's order, its position inside.
    pub fn positions(&self, pixels: Option<Extent>, len: usize) -> Vec<u32> {
        match pixels {
            None => (0..len as u32).collect(),
            Some(e) => {
                let inside = |i: usize| {
                    let (image, i) = (i / e.len(), i % e.len());
                    (image * e.len() + i % e.pixels() * e.c + i / e.pixels()) as u32
                };
                (0..len).map(inside).collect()
            }
        }
    }

    /// `from`, in the graph's order of the output, in the order inside.
    pub fn arranged(&self, from: &[u32], pixels: Option<Extent>) -> Vec<u32> {
        let mut inside = vec![NOWHERE; from.len()];
        let places = self.positions(pixels, from.len());
        places.iter().zip(from).for_each(|(&at, &from)| inside[at as usize] = from);
        inside
    }

    /// For each element of `node`'s output, the input element that it is, in the order in which
    /// that input lies inside; inputs are counted through, one after the other.
    pub fn sources(&self, node: &Node, inputs: &[(usize, Seen)]) -> Result<Vec<u32>> {
        let mut node = node.clone();
        // What is added comes from nowhere: position -1, and each position counts from 1.
        if let Op::Pad { mode: mode @ PadMode::Constant(_), .. } = &mut node.op {
            *mode = PadMode::Constant(0.0);
        }
        let mut tensors: Vec<Option<Tensor>> =
            node.inputs.iter().map(|i| i.and_then(|id| self.constant(id).cloned())).collect();
        let mut first = 1;
        for &(index, seen) in inputs {
            let shape = self.shape(node.input(index)?);
            let positions = self.positions(seen.pixels, shape.iter().product());
            let len = positions.len() as i64;
            let values: Vec<i64> = positions.into_iter().map(|p| i64::from(p) + first).collect();
            tensors[index] = Some(Tensor::new(shape, values)?);
            first += len;
        }
        let tensors: Vec<Option<&Tensor>> = tensors.iter().map(Option::as_ref).collect();
        let results = interpret::run_node(&self.graph, &node, &tensors)?;
        match results.first().map(Tensor::data) {
            Some(Data::I64(from)) => Ok(from.iter().map(|&p| (p - 1) as u32).collect()),
            _ => Err(TrainError::unsupported(&node, "does not only move elements")),
        }
    }

    /// Where the elements of something of `shape` that broadcasts to `out` go, in the order of the
    /// graph: for each element of the result, the source's.
    pub fn broadcast(&self, shape: &[usize], out: &[usize]) -> Vec<usize> {
        let mut steps = vec![0; out.len()];
        let mut step = 1;
        for (i, &extent) in shape.iter().enumerate().rev() {
            if extent != 1 {
                steps[out.len() - shape.len() + i] = step;
            }
            step *= extent;
        }
        let len: usize = out.iter().product();
        let source = |flat: usize| {
            let mut rest = flat;
            let dims = out.iter().zip(&steps).rev();
            dims.fold(0, |at, (&extent, &step)| {
                let index = rest % extent;
                rest /= extent;
                at + index * step
            })
        };
        (0..len).map(source).collect()
    }

    /// The map of an operand of `shape`, which lies in the order `from`, broadcast to a result of
    /// shape `out` that lies in the order `to`.
    pub fn broadcast_map(
        &self,
        (shape, from): (&[usize], Option<Extent>),
        (out, to): (&[usize], Option<Extent>),
    ) -> Spread {
        let len = shape.iter().product();
        let own = self.positions(from, len);
        let sources: Vec<u32> = self.broadcast(shape, out).into_iter().map(|at| own[at]).collect();
        Spread::new(self.arranged(&sources, to), len)
    }
}
