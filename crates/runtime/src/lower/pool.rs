//! Pooling, in float and over 8-bit data.

use edgecut_graph::{DType, Node, Pool};
use edgecut_kernels::ConvShape;
use edgecut_kernels::fused::Op;
use edgecut_kernels::fused::int8;
use edgecut_kernels::pool2d::Divisor;
use edgecut_kernels::quant::Mean;

use super::layer::{Layer, fits_chain};
use super::state::View;
use super::{Effects, Lowering, count};
use crate::Result;
use crate::step::{self, Average, PoolKind, QuantAverage, RealAverage, Step};

/// The geometry of a pooling node.
fn pool_shape(pool: &Pool, x: &[usize], y: &[usize]) -> ConvShape {
    let conv = edgecut_graph::Conv { window: pool.window, groups: x[1] };
    super::weights::conv_shape(&conv, x, y)
}

impl Lowering<'_> {
    /// Maximum over windows. Over 8-bit data whose numbers rise with their codes it is the maximum
    /// of codes.
    pub(super) fn max_pool(&mut self, node: &Node, pool: &Pool) -> Result<bool> {
        let (x, y) = (node.input(0)?, node.output());
        let shape = pool_shape(pool, &self.shape(x), &self.shape(y));
        if let Some(view) = self.view(x)?.filter(View::is_monotone) {
            let slot = self.buffer(DType::U8, count(&self.shape(y)));
            let step = step::Pool { x: view.slot, y: slot, shape, kind: PoolKind::MaxBytes };
            self.emit(node, Step::Pool(step), Effects::new("max_pool.int8", &[view.slot], &[slot]));
            self.held[y.index()].view = Some(View { slot, ..view });
            return Ok(true);
        }
        self.windows(node, shape, PoolKind::Max, "max_pool")
    }

    /// Maximum over windows of 8-bit integers.
    pub(super) fn byte_max_pool(&mut self, node: &Node, pool: &Pool) -> Result<bool> {
        let shape = pool_shape(pool, &self.shape(node.input(0)?), &self.shape(node.output()));
        if fits_chain(&shape) {
            let x = self.channels(node.input(0)?)?;
            let layer = Layer::pool(shape, int8::Op::MaxPool, x);
            let y = self.destination(node.output(), &[x.slot]);
            self.layer(node, layer.kind(), 0, layer, y);
            return Ok(true);
        }
        self.windows(node, shape, PoolKind::MaxBytes, "max_pool.int8")
    }

    /// Mean over windows.
    pub(super) fn average_pool(&mut self, index: usize, pool: &Pool) -> Result<bool> {
        let node = &self.graph.nodes[index];
        let (x, y) = (node.input(0)?, node.output());
        let shape = pool_shape(pool, &self.shape(x), &self.shape(y));
        // The integer kernel divides by whole windows, which a window beyond the padding is not.
        let whole = !(pool.ceil_mode && pool.count_include_pad);
        if whole
            && (self.quantised_layer(node, shape, pool.count_include_pad)?
                || self.quantised_average(node, Average::Window(shape, pool.count_include_pad))?)
        {
            return Ok(true);
        }
        let [_, _, bottom, right] = pool.window.pads;
        let divisor = match pool.count_include_pad {
            true => Divisor::Padded { bottom, right },
            false => Divisor::Data,
        };
        self.windows(node, shape, PoolKind::Average(divisor), "average_pool")
    }

    /// A mean over windows of 8-bit data that is quantised again, as a layer.
    fn quantised_layer(
        &mut self,
        node: &Node,
        shape: ConvShape,
        include_pad: bool,
    ) -> Result<bool> {
        let Some((bytes, from)) = self.held[node.input(0)?.index()].codes else {
            return Ok(false);
        };
        let ahead = match fits_chain(&shape) {
            true => self.quantise_ahead(node.output())?,
            false => None,
        };
        let Some(ahead) = ahead else { return Ok(false) };
        let x = self.channels(bytes)?;
        self.take(&ahead.taken);
        let mean = Mean::new(from, ahead.affine, ahead.clamp, include_pad);
        let layer = Layer::pool(shape, int8::Op::AveragePool(mean), x);
        let y = self.destination(ahead.out, &[x.slot]);
        self.layer(node, layer.kind(), 0, layer, y);
        Ok(true)
    }

    fn windows(
        &mut self,
        node: &Node,
        shape: ConvShape,
        kind: PoolKind,
        name: &'static str,
    ) -> Result<bool> {
        let op = match kind {
            PoolKind::Max if fits_chain(&shape) => Some(Op::MaxPool),
            PoolKind::Average(divisor) if fits_chain(&shape) => Some(Op::AveragePool(divisor)),
            _ => None,
        };
        if let Some(op) = op {
            let x = self.channels(node.input(0)?)?;
            let y = self.destination(node.output(), &[x.slot]);
            let layer = Layer::new(shape, op, x);
            self.layer(node, layer.kind(), 0, layer, y);
            return Ok(true);
        }
        let x = self.stored(node.input(0)?)?;
        let y = self.produce(node.output());
        let step = Step::Pool(step::Pool { x, y, shape, kind });
        self.emit(node, step, Effects::new(name, &[x], &[y]));
        Ok(true)
    }

    /// Mean over all pixels, with or without the two extents of 1 that remain.
    pub(super) fn global_average(&mut self, index: usize) -> Result<bool> {
        let node = &self.graph.nodes[index];
        let shape = self.shape(node.input(0)?);
        let (pixels, channels) = (shape[2] * shape[3], shape[1]);
        if (1..=1 << 23).contains(&pixels)
            && (self.quantised_average(node, Average::Image(pixels, channels))?
                || self.real_average(node, pixels, channels)?)
        {
            return Ok(true);
        }
        let x = self.stored(node.input(0)?)?;
        let y = self.produce(node.output());
        let step = Step::GlobalAverage(step::GlobalAverage { x, y, pixels, channels });
        self.emit(node, step, Effects::new("global_average_pool", &[x], &[y]));
        Ok(true)
    }

    /// A mean of 8-bit data that stays real.
    fn real_average(&mut self, node: &Node, pixels: usize, channels: usize) -> Result<bool> {
        let view = self.view(node.input(0)?)?;
        let Some((x, from)) = view.and_then(|v| Some((v.slot, v.affine?))) else {
            return Ok(false);
        };
        let y = self.produce(node.output());
        let step = RealAverage { x: (x, from), y, pixels, channels };
        let effects = Effects::new("average_pool.int8", &[x], &[y]);
        self.emit(node, Step::RealAverage(step), effects);
        Ok(true)
    }

    /// A mean of 8-bit data that is quantised again.
    fn quantised_average(&mut self, node: &Node, window: Average) -> Result<bool> {
        let view = self.view(node.input(0)?)?;
        let Some((x, from)) = view.and_then(|v| Some((v.slot, v.affine?))) else {
            return Ok(false);
        };
        let Some(ahead) = self.quantise_ahead(node.output())? else { return Ok(false) };
        self.take(&ahead.taken);
        let y = self.produce(ahead.out);
        let step = QuantAverage { x: (x, from), y: (y, ahead.affine), clamp: ahead.clamp, window };
        let effects = Effects::new("average_pool.int8", &[x], &[y]);
        self.emit(node, Step::QuantAverage(step), effects);
        Ok(true)
    }
}
