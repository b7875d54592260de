//! Where a weight tensor keeps its channels.

use edgecut_graph::{Node, Op};

/// Where the output and input channels of a weight tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Dimension of the output channels.
    pub axis: usize,
    /// Output channels.
    pub channels: usize,
    /// Elements from one output channel to the next.
    inner: usize,
    /// Products per output.
    pub k: usize,
    /// Groups that input and output channels are divided into.
    pub groups: usize,
    /// Elements of a kernel: one for each pair of input and output channel, else 1.
    pub taps: usize,
}

impl Layout {
    /// For the weights of `node` (Conv, Gemm or MatMul) of this shape.
    pub fn of(node: &Node, shape: &[usize]) -> Layout {
        let (outermost, groups) = match &node.op {
            Op::Conv(conv) => (true, conv.groups.max(1)),
            Op::Gemm(gemm) => (gemm.trans_b, 1),
            _ => (false, 1),
        };
        let axis = if outermost { 0 } else { 1 };
        let channels = shape[axis];
        let k = shape.iter().product::<usize>() / channels.max(1);
        let taps = shape[2..].iter().product();
        Layout { axis, channels, inner: if outermost { k } else { 1 }, k, groups, taps }
    }

    /// Output channel of the element at `index`.
    pub fn channel(&self, index: usize) -> usize {
        index / self.inner.max(1) % self.channels
    }

    /// Position of the element at `index` among the products of its output channel: input channel
    /// within the group, then tap.
    pub fn position(&self, index: usize) -> usize {
        if self.axis == 0 { index % self.k } else { index / self.channels }
    }

    /// Input channel of the element at `index`.
    pub fn input(&self, index: usize) -> usize {
        let per_group = self.k / self.taps.max(1);
        let group = self.channel(index) / (self.channels / self.groups).max(1);
        group * per_group + self.position(index) / self.taps.max(1)
    }

    /// Number of input channels.
    pub fn inputs(&self) -> usize {
        self.groups * (self.k / self.taps.max(1))
    }

    /// Index of the element for output channel `channel` at `position`.
    pub fn index(&self, channel: usize, position: usize) -> usize {
        if self.axis == 0 {
            channel * self.k + position
        } else {
            position * self.channels + channel
        }
    }
}
