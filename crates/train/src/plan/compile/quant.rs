//! Quantised graphs: rounding that gradients pass.

use edgecut_graph::{Node, Op, ValueId};

use super::Compiler;
use crate::error::{Result, TrainError};
use crate::grad::{FakeQuant, Rounding, Weight, Zero};
use crate::params::{Kind, Layout};
use crate::qat::integers;

impl Compiler<'_> {
    /// QuantizeLinear: its result is what the bytes stand for, as DequantizeLinear says it.
    pub fn quantize(&mut self, node: &Node) -> Result<()> {
        let x = self.input(node, 0)?;
        let integers = integers(self.graph.value(node.output()).dtype);
        let zero = self.zero_points(node);
        let scale = node.input(1)?;
        let single = self.source.constant(scale).is_some_and(|t| t.len() == 1);
        let ([zero], true) = (&zero[..], single) else {
            let problem = "scale and zero point of an activation must be one constant each";
            return Err(TrainError::unsupported(node, problem));
        };
        let rate = self.options.rate(self.index_of(node));
        let (kind, layout) = (Kind::Scale, Layout::plain(1));
        let scale = self.out.params.add_shared(self.source, scale, kind, layout, rate);
        self.trains |= rate > 0.0;
        let mut zero = Zero::Fixed(*zero);
        if let Some(id) = node.inputs.get(2).copied().flatten()
            && self.options.zero_points.contains(&self.source.value(id).name)
        {
            let params = &mut self.out.params;
            zero = Zero::Learned(params.add_zero_point(self.source, id, scale, integers, rate));
        }
        let len = self.batch * self.len(node.output());
        let learned = x.learned;
        self.operator(node, FakeQuant::new(scale, zero, integers, len), &[x], x.pixels);
        if let Some(seen) = &mut self.seen[node.output().index()] {
            seen.learned = learned;
        }
        Ok(())
    }

    /// The weights at input 1 of the node at `index`: a constant, or one behind QuantizeLinear and
    /// DequantizeLinear.
    pub fn weight(&mut self, index: usize, layout: Layout) -> Result<Weight> {
        let id = self.graph.nodes[index].input(1)?;
        let Some((quantize, float, scales)) = self.rounded(id) else {
            return Ok(Weight::new(self.param(index, 1, Kind::Weight, layout)?, None));
        };
        let zeros = self.zero_points(quantize);
        let all = integers(self.graph.value(quantize.output()).dtype);
        let node = &self.graph.nodes[index];
        let len = |value: ValueId| self.source.constant(value).map_or(0, |t| t.len());
        let channels = len(scales);
        let fits = layout.len().checked_rem(channels) == Some(0);
        if len(float) != layout.len() || !fits || (zeros.len() != 1 && zeros.len() != channels) {
            let name = &self.source.value(float).name;
            let problem = format!("weights '{name}' and their scales do not fit the layer");
            return Err(TrainError::unsupported(node, problem));
        }
        let name = &self.source.value(float).name;
        let codes = self.options.codes.get(name).copied().unwrap_or(all);
        let codes = zeros.iter().map(|zero| codes.map(|code| code - zero)).collect();
        let rate = self.options.rate(index);
        self.trains |= rate > 0.0;
        let (params, source) = (&mut self.out.params, self.source);
        let weight = params.add_shared(source, float, Kind::Weight, layout, rate);
        let plain = Layout::plain(channels);
        let scales = params.add_shared(source, scales, Kind::Scale, plain, rate);
        Ok(Weight::new(weight, Some(Rounding { scales, codes })))
    }

    /// Whether a layer's input 1 holds weights.
    pub fn has_weights(&self, node: &Node) -> Result<bool> {
        let id = node.input(1)?;
        Ok(self.source.constant(id).is_some() || self.rounded(id).is_some())
    }

    /// The zero points of a QuantizeLinear: one, or one for each scale; none where they are no
    /// constants.
    fn zero_points(&self, quantize: &Node) -> Vec<f32> {
        let Some(id) = quantize.inputs.get(2).copied().flatten() else { return vec![0.0] };
        let zeros = self.source.constant(id).and_then(|t| t.to_i64().ok());
        zeros.unwrap_or_default().into_iter().map(|zero| zero as f32).collect()
    }

    /// The float constant and its scales that a value is the rounded form of, and what rounds it.
    fn rounded(&self, id: ValueId) -> Option<(&Node, ValueId, ValueId)> {
        let before = |id: ValueId| self.producers[id.index()].map(|i| &self.graph.nodes[i]);
        let dequantize = before(id).filter(|n| matches!(n.op, Op::Dequantize { .. }))?;
        let quantize =
            before(dequantize.input(0).ok()?).filter(|n| matches!(n.op, Op::Quantize { .. }))?;
        let (float, scales) = (quantize.input(0).ok()?, quantize.input(1).ok()?);
        self.source.constant(float)?.f32s().ok()?;
        self.source.constant(scales)?;
        Some((quantize, float, scales))
    }
}
