//! Normalisations.

use edgecut_graph::{Node, Op};

use super::super::Step;
use super::Compiler;
use super::values::Seen;
use crate::error::Result;
use crate::grad::{Layer, Lines, Norm, RowNorm, Rule};
use crate::params::{Kind, Layout};

impl Compiler<'_> {
    pub fn norm(&mut self, index: usize, epsilon: f32, momentum: f32) -> Result<()> {
        let node = &self.graph.nodes[index].clone();
        let (x, extent) = self.image(node, 0)?;
        let plain = Layout::plain(extent.c);
        let scale = self.param(index, 1, Kind::Scale, plain)?;
        let shift = self.param(index, 2, Kind::Bias, plain)?;
        let mean = self.param(index, 3, Kind::Statistic, plain)?;
        let var = self.param(index, 4, Kind::Statistic, plain)?;
        let frozen = self.options.fixed_statistics || self.options.rate(index) == 0.0;
        let (affine, statistics) = ([scale, shift], [mean, var]);
        let repeat = self.repeat(node);
        let mut norm =
            Norm::new(self.batch * repeat, extent, affine, statistics, epsilon, momentum, frozen);
        let activation = self.sole_clamp(node);
        if let Some((at, bounds)) = activation {
            norm.clamp = Some(bounds);
            self.absorbed[at] = true;
        }
        let seen = self.push_images(node, Layer::Norm(Box::new(norm)), x, extent, repeat);
        if let Some((at, _)) = activation {
            self.define(self.graph.nodes[at].output(), seen);
        }
        Ok(())
    }

    /// The clamping activation that alone reads `node`'s output, and its bounds.
    fn sole_clamp(&self, node: &Node) -> Option<(usize, (f32, f32))> {
        let [reader] = self.consumers[node.output().index()].as_slice() else { return None };
        let (low, high) = self.graph.nodes[*reader].op.clamp_bounds()?;
        (low < high && !self.is_kept(node.output())).then_some((*reader, (low, high)))
    }

    /// Whether two values of one shape and order that depend on the image are added.
    pub fn is_residual(&self, node: &Node) -> bool {
        let seen = |i: usize| node.input(i).ok().and_then(|id| self.seen[id.index()]);
        let shape = |i: usize| node.input(i).ok().map(|id| self.shape(id));
        match (seen(0), seen(1)) {
            (Some(a), Some(b)) => {
                let rows = a.is_rows() && b.is_rows();
                shape(0) == shape(1) && (a.pixels == b.pixels || rows)
            }
            _ => false,
        }
    }

    pub fn add(&mut self, node: &Node) -> Result<()> {
        let (a, b) = (self.input(node, 0)?, self.input(node, 1)?);
        for (sum, other) in [(1, a), (0, b)] {
            if self.add_to_norm(node, sum, other)? {
                return Ok(());
            }
        }
        self.push(node, Layer::Add, &[a, b], a.pixels.or(b.pixels));
        Ok(())
    }

    /// Lets the BatchNorm that computes `node`'s input `index` add `other` as well, where it has
    /// no activation and nobody else reads its output: the end of an inverted residual.
    fn add_to_norm(&mut self, node: &Node, index: usize, other: Seen) -> Result<bool> {
        let id = node.input(index)?;
        let own = self.input(node, index)?;
        let made = self.producers[id.index()].map(|at| &self.graph.nodes[at].op);
        let alone = self.consumers[id.index()].len() == 1
            && matches!(made, Some(Op::BatchNorm { .. }))
            && !self.is_kept(id);
        let steps = &mut self.out.steps;
        let made_by = |activation: usize| steps.iter().position(|s| s.output == activation);
        // `other` must be there when the BatchNorm runs.
        let (Some(at), before) = (made_by(own.activation), made_by(other.activation)) else {
            return Ok(false);
        };
        let Step { layer: Layer::Norm(norm), inputs, output, .. } = &mut steps[at] else {
            return Ok(false);
        };
        if !alone || norm.clamp.is_some() || norm.residual || before.is_some_and(|b| b >= at) {
            return Ok(false);
        }
        norm.residual = true;
        inputs.push(other.activation);
        self.out.needs[*output] |= self.out.needs[other.activation];
        self.define(node.output(), own);
        Ok(true)
    }

    /// Layer, instance and group norm.
    pub fn row_norm(&mut self, index: usize) -> Result<()> {
        let node = &self.graph.nodes[index].clone();
        let shape = self.shape(node.input(0)?);
        let len = shape.iter().product::<usize>();
        let x = self.rows(node, 0)?;
        let space: usize = shape[2.min(shape.len())..].iter().product();
        let by_channel = |groups: usize| (len / (shape[0] * groups), space, shape[1]);
        // Elements of a run, neighbours that share a parameter, number of parameters.
        let (epsilon, (size, each, count)) = match node.op {
            Op::LayerNorm { axis, epsilon } => {
                let size = shape[axis..].iter().product();
                (epsilon, (size, 1, size))
            }
            Op::GroupNorm { groups, epsilon } => (epsilon, by_channel(groups)),
            Op::InstanceNorm { epsilon } => (epsilon, by_channel(shape[1])),
            _ => return self.detached(node),
        };
        let places = (0..len).map(|i| (i / each % count) as u32).collect();
        let scale = self.param(index, 1, Kind::Scale, Layout::plain(count))?;
        let bias = self.optional_bias(index, count)?;
        let norm = RowNorm::new(self.batch, size, epsilon, (scale, bias), (places, count));
        self.operator(node, norm, &[x], None);
        Ok(())
    }

    /// Norms along one dimension and running sums.
    pub fn lines(&mut self, node: &Node) -> Result<()> {
        let shape = self.shape(node.input(0)?);
        let (axis, rule) = match node.op {
            Op::LocalResponseNorm { alpha, beta, bias, size } => {
                (1, Rule::Response { alpha, beta, bias, size })
            }
            Op::LpNorm { axis, p } => (axis, Rule::LpNorm(p)),
            Op::CumSum { axis, exclusive, reverse } => (axis, Rule::Sums { exclusive, reverse }),
            _ => return self.detached(node),
        };
        let x = self.rows(node, 0)?;
        let (len, inner) = (shape[axis], shape[axis + 1..].iter().product());
        self.operator(node, Lines { len, inner, rule }, &[x], None);
        Ok(())
    }
}
