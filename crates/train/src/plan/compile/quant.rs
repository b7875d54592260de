//! Quantised graphs: rounding that gradients pass.

use edgecut_graph::{DType, Node, Op, ValueId};

use super::Compiler;
use crate::error::{Result, TrainError};
use crate::grad::{FakeQuant, Rounding, Weight};
use crate::params::{Kind, Layout};

impl Compiler<'_> {
    /// QuantizeLinear: its result is what the bytes stand for, as DequantizeLinear says it.
    pub fn quantize(&mut self, node: &Node) -> Result<()> {
        let x = self.input(node, 0)?;
        let integers = match self.graph.value(node.output()).dtype {
            DType::U8 => [0.0, 255.0],
            _ => [-128.0, 127.0],
        };
        let zero = match node.inputs.get(2).copied().flatten() {
            Some(zero) => self.constant(zero).and_then(|t| t.to_i64().ok()).unwrap_or_default(),
            None => vec![0],
        };
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
        let range = integers.map(|i| i - *zero as f32);
        let len = self.batch * self.len(node.output());
        let learned = x.learned;
        self.operator(node, FakeQuant::new(scale, range, len), &[x], x.pixels);
        if let Some(seen) = &mut self.seen[node.output().index()] {
            seen.learned = learned;
        }
        Ok(())
    }

    /// The weights at input 1 of the node at `index`: a constant, or one behind QuantizeLinear and
    /// DequantizeLinear.
    pub fn weight(&mut self, index: usize, layout: Layout) -> Result<Weight> {
        let id = self.graph.nodes[index].input(1)?;
        let Some((float, scales)) = self.rounded(id) else {
            return Ok(Weight::new(self.param(index, 1, Kind::Weight, layout)?, None));
        };
        let node = &self.graph.nodes[index];
        let len = |value: ValueId| self.source.constant(value).map_or(0, |t| t.len());
        let channels = len(scales);
        if len(float) != layout.len() || channels == 0 || !layout.len().is_multiple_of(channels) {
            let name = &self.source.value(float).name;
            let problem = format!("weights '{name}' and their scales do not fit the layer");
            return Err(TrainError::unsupported(node, problem));
        }
        let name = &self.source.value(float).name;
        let limit = self.options.code_limits.get(name).copied().unwrap_or(127.0);
        let rate = self.options.rate(index);
        self.trains |= rate > 0.0;
        let (params, source) = (&mut self.out.params, self.source);
        let weight = params.add_shared(source, float, Kind::Weight, layout, rate);
        let plain = Layout::plain(channels);
        let scales = params.add_shared(source, scales, Kind::Scale, plain, rate);
        Ok(Weight::new(weight, Some(Rounding { scales, limit })))
    }

    /// Whether a layer's input 1 holds weights.
    pub fn has_weights(&self, node: &Node) -> Result<bool> {
        let id = node.input(1)?;
        Ok(self.source.constant(id).is_some() || self.rounded(id).is_some())
    }

    /// The float constant and its scales that a value is the rounded form of.
    fn rounded(&self, id: ValueId) -> Option<(ValueId, ValueId)> {
        let before = |id: ValueId| self.producers[id.index()].map(|i| &self.graph.nodes[i]);
        let dequantize = before(id).filter(|n| matches!(n.op, Op::Dequantize { .. }))?;
        let quantize =
            before(dequantize.input(0).ok()?).filter(|n| matches!(n.op, Op::Quantize { .. }))?;
        let (float, scales) = (quantize.input(0).ok()?, quantize.input(1).ok()?);
        self.source.constant(float)?.f32s().ok()?;
        self.source.constant(scales)?;
        Some((float, scales))
    }
}
