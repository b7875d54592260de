//! Layers that the architectures share: a convolution with its normalisation and activation, under
//! the names of the reference implementation.

use edgecut_graph::{Builder, Conv, Gemm, Graph, Hw, Op, Result, Tensor, ValueId, Window};

use crate::ZooError;
use crate::init::Init;

/// What all layers of a network have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// Added to the variance by BatchNorm.
    pub epsilon: f32,
    /// Share of the running statistics that training keeps; PyTorch's number is one less this.
    pub momentum: f32,
    /// How windows are padded.
    pub padding: Padding,
    /// Whether convolutions have a bias beside BatchNorm's.
    pub bias: bool,
    /// Fresh weights of convolutions.
    pub filters: Init,
    /// Fresh weights of fully connected layers.
    pub linear: Init,
}

impl Style {
    /// PyTorch's BatchNorm, symmetric padding, Kaiming normal filters and PyTorch's linear layer.
    pub const TORCH: Style = Style {
        epsilon: 1e-5,
        momentum: 0.9,
        padding: Padding::Half,
        bias: false,
        filters: Init::FanOutNormal,
        linear: Init::InverseFanIn,
    };
}

/// Zeros around a map, for a window of `k` and stride `s`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Padding {
    /// `k / 2` on each side.
    Half,
    /// TensorFlow's SAME: as few as give `ceil(size / s)`, an odd one at the bottom and right.
    Same,
    /// None.
    Valid,
}

impl Padding {
    /// Zeros before and after `size` elements.
    fn around(self, size: usize, kernel: usize, stride: usize) -> [usize; 2] {
        match self {
            Padding::Half => [kernel / 2; 2],
            Padding::Same => {
                let reach = (size.div_ceil(stride) - 1) * stride + kernel;
                let all = reach.saturating_sub(size);
                [all / 2, all - all / 2]
            }
            Padding::Valid => [0; 2],
        }
    }
}

/// The activation behind a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Act {
    None,
    Relu,
    Relu6,
    HardSwish,
}

/// The windows of a convolution: output channels, kernel, strides, groups.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter {
    pub channels: usize,
    pub kernel: Hw,
    pub strides: Hw,
    pub groups: usize,
}

impl Filter {
    /// 1x1
    pub fn point(channels: usize) -> Filter {
        Filter::square(channels, 1, 1)
    }

    pub fn square(channels: usize, kernel: usize, stride: usize) -> Filter {
        Filter { channels, kernel: [kernel; 2], strides: [stride; 2], groups: 1 }
    }

    pub fn depthwise(channels: usize, kernel: usize, stride: usize) -> Filter {
        Filter { groups: channels, ..Filter::square(channels, kernel, stride) }
    }

    pub fn groups(self, groups: usize) -> Filter {
        Filter { groups, ..self }
    }
}

/// A network under construction.
pub(crate) struct Net {
    pub b: Builder,
    pub style: Style,
}

impl Net {
    /// Channels of `x`.
    pub fn channels(&self, x: ValueId) -> Result<usize> {
        self.b.graph().value(x).shape.extent(1, "zoo")
    }

    /// A window padded by the style, for `x`'s height and width.
    fn window(&self, x: ValueId, kernel: Hw, strides: Hw) -> Result<Window> {
        let shape = &self.b.graph().value(x).shape;
        let mut pads = [0; 4];
        for side in 0..2 {
            let size = shape.extent(2 + side, "zoo")?;
            let [before, after] = self.style.padding.around(size, kernel[side], strides[side]);
            (pads[side], pads[side + 2]) = (before, after);
        }
        Ok(Window { pads, ..Window::new(kernel, strides) })
    }

    /// A convolution: `NAME.weight` and, where asked for, `NAME.bias`.
    pub fn conv(
        &mut self,
        x: ValueId,
        name: &str,
        filter: Filter,
        init: Init,
        bias: bool,
    ) -> Result<ValueId> {
        let [height, width] = filter.kernel;
        let inputs = self.channels(x)? / filter.groups;
        let window = self.window(x, filter.kernel, filter.strides)?;
        let shape = [filter.channels, inputs, height, width];
        let fans = [inputs * height * width, filter.channels / filter.groups * height * width];
        let mut operands = vec![x, init.weight(&mut self.b, name, &shape, fans)?];
        if bias {
            operands.push(init.bias(&mut self.b, name, filter.channels, fans)?);
        }
        self.b.node(name, Op::Conv(Conv { window, groups: filter.groups }), &operands)
    }

    /// Batch normalisation: `NAME.weight`, `NAME.bias`, `NAME.running_mean`, `NAME.running_var`.
    pub fn norm(&mut self, x: ValueId, name: &str) -> Result<ValueId> {
        let channels = self.channels(x)?;
        let mut operands = vec![x];
        let parts = [("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)];
        for (part, value) in parts {
            let tensor = Tensor::vector(vec![value; channels]);
            operands.push(self.b.constant(&format!("{name}.{part}"), tensor));
        }
        let Style { epsilon, momentum, .. } = self.style;
        self.b.node(name, Op::BatchNorm { epsilon, momentum }, &operands)
    }

    /// Convolution, BatchNorm and activation; `names` are those of the first two.
    pub fn conv_norm(
        &mut self,
        x: ValueId,
        names: [&str; 2],
        filter: Filter,
        act: Act,
    ) -> Result<ValueId> {
        let x = self.conv(x, names[0], filter, self.style.filters, self.style.bias)?;
        let x = self.norm(x, names[1])?;
        self.act(x, act)
    }

    /// Applies `act`.
    pub fn act(&mut self, x: ValueId, act: Act) -> Result<ValueId> {
        match act {
            Act::None => Ok(x),
            Act::Relu => self.b.relu(x),
            Act::Relu6 => self.b.relu6(x),
            Act::HardSwish => self.b.hard_swish(x),
        }
    }

    /// A fully connected layer: `NAME.weight` `[out, c]` and `NAME.bias`.
    pub fn linear(&mut self, x: ValueId, name: &str, out: usize) -> Result<ValueId> {
        let (features, init) = (self.channels(x)?, self.style.linear);
        let fans = [features, out];
        let weight = init.weight(&mut self.b, name, &[out, features], fans)?;
        let bias = init.bias(&mut self.b, name, out, fans)?;
        let gemm = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true };
        self.b.node(name, Op::Gemm(gemm), &[x, weight, bias])
    }

    /// Mean over space, as `[batch, channels]`.
    pub fn pool(&mut self, x: ValueId) -> Result<ValueId> {
        let x = self.b.global_average_pool(x)?;
        self.b.flatten(x)
    }

    /// The graph, whose output is `logits`.
    pub fn finish(mut self, logits: ValueId) -> Result<Graph, ZooError> {
        self.b.rename(logits, "logits");
        Ok(self.b.finish(&[logits])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of TensorFlow's formula, worked by hand.
    #[test]
    fn same_padding_is_odd_at_the_end() {
        assert_eq!(Padding::Same.around(224, 3, 2), [0, 1]);
        assert_eq!(Padding::Same.around(112, 5, 2), [1, 2]);
        assert_eq!(Padding::Same.around(7, 3, 1), [1, 1]);
        assert_eq!(Padding::Same.around(49, 10, 2), [4, 5]);
        assert_eq!(Padding::Same.around(5, 1, 2), [0, 0]);
    }
}
