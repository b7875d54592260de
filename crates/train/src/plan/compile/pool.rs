//! Pooling.

use edgecut_graph::{Node, Pool};
use edgecut_kernels::ConvShape;

use super::super::Extent;
use super::Compiler;
use super::values::Seen;
use crate::error::Result;
use crate::grad::{AveragePool, GlobalAveragePool, Join, Layer, MaxPool, Reduce};

impl Compiler<'_> {
    pub fn max_pool(&mut self, node: &Node, pool: &Pool) -> Result<()> {
        let (x, shape, out) = self.pooled(node, pool)?;
        self.push_images(node, Layer::MaxPool(MaxPool::new(shape)), x, out, self.repeat(node));
        Ok(())
    }

    pub fn average_pool(&mut self, node: &Node, pool: &Pool) -> Result<()> {
        let (x, shape, out) = self.pooled(node, pool)?;
        let [_, _, bottom, right] = pool.window.pads;
        let padding = pool.count_include_pad.then_some([bottom, right]);
        let layer = Layer::AveragePool(AveragePool::new(shape, padding));
        self.push_images(node, layer, x, out, self.repeat(node));
        Ok(())
    }

    /// Pooling by a power.
    pub fn power_pool(&mut self, node: &Node, pool: &Pool, p: usize) -> Result<()> {
        let (x, s, out) = self.pooled(node, pool)?;
        let mut lists = vec![];
        for output in 0..out.len() {
            let (oy, ox, c) = (output / out.c / out.w, output / out.c % out.w, output % out.c);
            let mut list = vec![];
            for tap in 0..s.kh * s.kw {
                let y = (oy * s.sh + tap / s.kw * s.dh).checked_sub(s.pt).filter(|&y| y < s.h);
                let x = (ox * s.sw + tap % s.kw * s.dw).checked_sub(s.pl).filter(|&x| x < s.w);
                if let (Some(y), Some(x)) = (y, x) {
                    list.push(((y * s.w + x) * s.cin + c) as u32);
                }
            }
            lists.push(list);
        }
        let reduce = Reduce::new(Join::Power(p as f64), s.h * s.w * s.cin, &lists);
        self.operator(node, reduce, &[x], Some(out));
        Ok(())
    }

    fn pooled(&mut self, node: &Node, pool: &Pool) -> Result<(Seen, ConvShape, Extent)> {
        let ((x, from), out) = (self.image(node, 0)?, self.output_extent(node)?);
        Ok((x, self.window_shape(node, from, out, &pool.window, from.c), out))
    }

    /// Whether `node` is a mean over the pixels of an image.
    pub fn is_global(&self, node: &Node, axes: &[usize]) -> bool {
        let rank = node.input(0).map_or(0, |id| self.graph.value(id).shape.rank());
        rank == 4 && axes == [2, 3]
    }

    pub fn global_pool(&mut self, node: &Node) -> Result<()> {
        let (x, e) = self.image(node, 0)?;
        let pool = GlobalAveragePool { pixels: e.pixels(), c: e.c };
        let out = Extent { h: 1, w: 1, c: e.c };
        self.push_images(node, Layer::GlobalAveragePool(pool), x, out, self.repeat(node));
        Ok(())
    }
}
