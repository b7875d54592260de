//! Matrix products: with weights, and of two computed matrices.

use edgecut_graph::{Gemm, Node};

use super::Compiler;
use super::values::Seen;
use crate::error::{Result, TrainError};
use crate::grad::{Layer, Linear, MatMul, Moves, Pairs, Side, Source, Spread};
use crate::params::{Kind, Layout, ParamId};

impl Compiler<'_> {
    pub fn gemm(&mut self, index: usize, gemm: &Gemm) -> Result<()> {
        let node = &self.graph.nodes[index].clone();
        if !self.has_weights(node)? {
            return self.computed_gemm(node, gemm);
        }
        if gemm.trans_a {
            return Err(TrainError::unsupported(node, "transA must be 0 where B holds weights"));
        }
        let columns = self.shape(node.output())[1];
        let added = node.inputs.get(2).copied().flatten();
        let vector = added.is_some_and(|c| self.len(c) == columns && gemm.beta == 1.0);
        let stored = added.is_some_and(|c| self.source.constant(c).is_some());
        let bias = match vector && stored {
            true => Some(self.param(index, 2, Kind::Bias, Layout::plain(columns))?),
            false => None,
        };
        let product = self.linear(index, gemm.trans_b, bias, gemm.alpha)?;
        if added.is_some() && bias.is_none() {
            return self.gemm_sum(node, product, gemm.beta);
        }
        Ok(())
    }

    /// A product with a matrix of weights.
    fn linear(
        &mut self,
        index: usize,
        transposed: bool,
        bias: Option<ParamId>,
        factor: f32,
    ) -> Result<Seen> {
        let node = &self.graph.nodes[index].clone();
        let shape = self.shape(node.input(0)?);
        let out = self.shape(node.output());
        let (k, m) = (shape[shape.len() - 1], out[out.len() - 1]);
        let rows = self.len(node.output()) / m.max(1);
        let x = self.input(node, 0)?;
        // A flattened image keeps its order: the weights are permuted instead, once.
        let flattened = x.pixels.filter(|e| rows == 1 && e.len() == k);
        let (x, layout) = match flattened {
            Some(e) => (x, Layout::linear(e.c, e.pixels(), m, transposed)),
            None => (self.rows(node, 0)?, Layout::linear(k, 1, m, transposed)),
        };
        let weight = self.weight(index, layout)?;
        let in_half = self.options.precision.is_bf16();
        let layer = Linear::new([self.batch, rows, k, m], weight, bias, factor, in_half);
        Ok(self.push(node, Layer::Linear(layer), &[x], None))
    }

    /// Adds Gemm's C to its product.
    fn gemm_sum(&mut self, node: &Node, product: Seen, beta: f32) -> Result<()> {
        if beta != 1.0 {
            return Err(TrainError::unsupported(
                node,
                "beta must be 1 where C is no vector of weights",
            ));
        }
        let (out, added) = (self.shape(node.output()), self.shape(node.input(2)?));
        let c = self.rows(node, 2)?;
        let sides = [(0, &out), (1, &added)].map(|(i, shape)| Side {
            source: Source::Input(i),
            map: self.broadcast_map((shape, None), (&out, None)),
        });
        let op = edgecut_kernels::elementwise::Binary::Add;
        self.operator(node, Pairs::new(op, self.batch, sides), &[product, c], None);
        Ok(())
    }

    /// Gemm of two computed matrices.
    fn computed_gemm(&mut self, node: &Node, gemm: &Gemm) -> Result<()> {
        if gemm.alpha != 1.0 {
            return Err(TrainError::unsupported(node, "alpha must be 1 where B is computed"));
        }
        let mut sides = vec![];
        for (i, transposed) in [(0, gemm.trans_a), (1, gemm.trans_b)] {
            let (x, shape) = (self.rows(node, i)?, self.shape(node.input(i)?));
            sides.push(if transposed { self.turned(node, x, &shape) } else { (x, shape) });
        }
        let product = self.product(node, &sides[0], &sides[1])?;
        match node.inputs.get(2).copied().flatten() {
            Some(_) => self.gemm_sum(node, product, gemm.beta),
            None => Ok(()),
        }
    }

    /// A matrix, transposed.
    fn turned(&mut self, node: &Node, x: Seen, shape: &[usize]) -> (Seen, Vec<usize>) {
        let (rows, columns) = (shape[0], shape[1]);
        let from = (0..rows * columns).map(|i| (i % rows * columns + i / rows) as u32).collect();
        let layer = Moves::new(self.batch, vec![Spread::new(from, rows * columns)], 0.0);
        let name = format!("{}.transposed", node.name);
        let layer = Layer::Operator(Box::new(layer));
        let activation = self.step(&name, layer, vec![x.activation], rows * columns);
        (Seen { activation, ..x }, vec![columns, rows])
    }

    pub fn mat_mul(&mut self, index: usize) -> Result<()> {
        let node = &self.graph.nodes[index].clone();
        if self.has_weights(node)? && self.shape(node.input(1)?).len() == 2 {
            return self.linear(index, false, None, 1.0).map(|_| ());
        }
        let sides = [
            (self.rows(node, 0)?, self.shape(node.input(0)?)),
            (self.rows(node, 1)?, self.shape(node.input(1)?)),
        ];
        self.product(node, &sides[0], &sides[1]).map(|_| ())
    }

    fn product(
        &mut self,
        node: &Node,
        (a, a_shape): &(Seen, Vec<usize>),
        (b, b_shape): &(Seen, Vec<usize>),
    ) -> Result<Seen> {
        let out = self.shape(node.output());
        let rank = out.len();
        let size = [out[rank - 2], a_shape[a_shape.len() - 1], out[rank - 1]];
        let sides = [a_shape, b_shape].map(|shape| {
            let outer = &shape[..shape.len() - 2];
            let from = self.broadcast(outer, &out[..rank - 2]);
            let count = outer.iter().product::<usize>();
            (from.into_iter().map(|at| at as u32).collect::<Vec<u32>>(), count)
        });
        let [(a_outer, a_count), (b_outer, b_count)] = sides;
        let layer = MatMul::new(self.batch, size, [a_outer, b_outer], [a_count, b_count]);
        Ok(self.push(node, Layer::Operator(Box::new(layer)), &[*a, *b], None))
    }
}
