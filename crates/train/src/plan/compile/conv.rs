//! Convolutions.

use edgecut_graph::{Conv, ConvTranspose, Node, Window};
use edgecut_kernels::ConvShape;

use super::super::Extent;
use super::Compiler;
use crate::error::Result;
use crate::grad::{Convolution, Depthwise, Half, Layer, Transposed};
use crate::params::{Kind, Layout};

impl Compiler<'_> {
    pub fn conv(&mut self, index: usize, conv: &Conv) -> Result<()> {
        let node = &self.graph.nodes[index].clone();
        let ((x, from), out) = (self.image(node, 0)?, self.output_extent(node)?);
        let shape = self.window_shape(node, from, out, &conv.window, conv.groups);
        let layout = Layout::conv(out.c, from.c / conv.groups, shape.kh * shape.kw);
        let weight = self.weight(index, layout)?;
        let bias = self.optional_bias(index, out.c)?;
        let layer = if conv.groups == from.c && out.c == from.c && conv.groups > 1 {
            Layer::Depthwise(Depthwise::new(shape, weight, bias))
        } else {
            let half = self.options.precision.is_bf16().then(|| Half::new(shape)).flatten();
            Layer::Convolution(Convolution::new(shape, weight, bias, half))
        };
        self.push_images(node, layer, x, out, self.repeat(node));
        Ok(())
    }

    pub fn conv_transpose(&mut self, index: usize, conv: &ConvTranspose) -> Result<()> {
        let node = &self.graph.nodes[index].clone();
        let ((x, from), out) = (self.image(node, 0)?, self.output_extent(node)?);
        // The convolution that turns the output into the input has the same weights.
        let shape = self.window_shape(node, out, from, &conv.window, conv.groups);
        let layout = Layout::conv(from.c, out.c / conv.groups, shape.kh * shape.kw);
        let weight = self.param(index, 1, Kind::Weight, layout)?;
        let bias = self.optional_bias(index, out.c)?;
        let layer = Layer::Transposed(Transposed::new(shape, weight, bias));
        self.push_images(node, layer, x, out, self.repeat(node));
        Ok(())
    }

    pub fn window_shape(
        &self,
        node: &Node,
        x: Extent,
        out: Extent,
        window: &Window,
        groups: usize,
    ) -> ConvShape {
        ConvShape {
            n: self.batch * self.repeat(node),
            h: x.h,
            w: x.w,
            cin: x.c,
            oh: out.h,
            ow: out.w,
            cout: out.c,
            kh: window.kernel[0],
            kw: window.kernel[1],
            sh: window.strides[0],
            sw: window.strides[1],
            dh: window.dilations[0],
            dw: window.dilations[1],
            pt: window.pads[0],
            pl: window.pads[1],
            groups,
        }
    }
}
