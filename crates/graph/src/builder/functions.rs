//! Layers without weights.

use super::Builder;
use crate::{
    Binary, Coordinates, Cut, DepthOrder, Nearest, Op, PadMode, Pool, Reduction, ReshapeDim,
    Resize, ResizeAxis, ResizeMode, Result, Unary, ValueId, Window,
};

impl Builder {
    /// Clamps to [0, 6].
    pub fn relu6(&mut self, x: ValueId) -> Result<ValueId> {
        self.apply("relu6", Op::RELU6, &[x])
    }

    /// Clamps to [0, inf).
    pub fn relu(&mut self, x: ValueId) -> Result<ValueId> {
        self.apply("relu", Op::RELU, &[x])
    }

    /// `1 / (1 + exp(-x))`
    pub fn sigmoid(&mut self, x: ValueId) -> Result<ValueId> {
        self.apply("sigmoid", Op::Unary(Unary::Sigmoid), &[x])
    }

    /// `min(max(x / 6 + 1/2, 0), 1)`, as in MobileNetV3 (arXiv:1905.02244).
    pub fn hard_sigmoid(&mut self, x: ValueId) -> Result<ValueId> {
        let function = Unary::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 };
        self.apply("hard_sigmoid", Op::Unary(function), &[x])
    }

    /// `x * hard_sigmoid(x)`, as in MobileNetV3 (arXiv:1905.02244).
    pub fn hard_swish(&mut self, x: ValueId) -> Result<ValueId> {
        self.apply("hard_swish", Op::Unary(Unary::HardSwish), &[x])
    }

    /// `x * sigmoid(x)`, also called Swish.
    pub fn silu(&mut self, x: ValueId) -> Result<ValueId> {
        self.apply("silu", Op::Unary(Unary::Silu), &[x])
    }

    /// `x / 2 * (1 + erf(x / sqrt(2)))`
    pub fn gelu(&mut self, x: ValueId) -> Result<ValueId> {
        self.apply("gelu", Op::Unary(Unary::Gelu { tanh: false }), &[x])
    }

    /// Any function of single elements.
    pub fn unary(&mut self, function: Unary, x: ValueId) -> Result<ValueId> {
        self.apply(&function.name().to_lowercase(), Op::Unary(function), &[x])
    }

    /// `a + b`, broadcast.
    pub fn add(&mut self, a: ValueId, b: ValueId) -> Result<ValueId> {
        self.apply("add", Op::Binary(Binary::Add), &[a, b])
    }

    /// `a * b`, broadcast.
    pub fn mul(&mut self, a: ValueId, b: ValueId) -> Result<ValueId> {
        self.apply("mul", Op::Binary(Binary::Mul), &[a, b])
    }

    /// NumPy's matmul.
    pub fn mat_mul(&mut self, a: ValueId, b: ValueId) -> Result<ValueId> {
        self.apply("matmul", Op::MatMul, &[a, b])
    }

    /// Largest element of each window.
    pub fn max_pool(&mut self, x: ValueId, window: Window) -> Result<ValueId> {
        let pool = Pool { window, ceil_mode: false, count_include_pad: false };
        self.apply("max_pool", Op::MaxPool(pool), &[x])
    }

    /// Mean of each window; padding does not count.
    pub fn average_pool(&mut self, x: ValueId, window: Window) -> Result<ValueId> {
        let pool = Pool { window, ceil_mode: false, count_include_pad: false };
        self.apply("average_pool", Op::AveragePool(pool), &[x])
    }

    /// Mean over height and width, kept as 1x1.
    pub fn global_average_pool(&mut self, x: ValueId) -> Result<ValueId> {
        self.apply("global_average_pool", Op::GlobalAveragePool, &[x])
    }

    /// Mean over `axes` (ascending), which are removed.
    pub fn mean(&mut self, x: ValueId, axes: &[usize]) -> Result<ValueId> {
        let kind = Reduction::Mean;
        self.apply("mean", Op::Reduce { kind, axes: axes.to_vec(), keep_dims: false }, &[x])
    }

    /// `exp(x) / sum(exp(x))` along `axis`.
    pub fn softmax(&mut self, x: ValueId, axis: usize) -> Result<ValueId> {
        self.apply("softmax", Op::Softmax { axis }, &[x])
    }

    /// `[n, ...]` to `[n, product of the rest]`.
    pub fn flatten(&mut self, x: ValueId) -> Result<ValueId> {
        self.apply("flatten", Op::Flatten { axis: 1 }, &[x])
    }

    /// The same elements under another shape.
    pub fn reshape(&mut self, x: ValueId, dims: &[ReshapeDim]) -> Result<ValueId> {
        self.apply("reshape", Op::Reshape { dims: dims.to_vec() }, &[x])
    }

    /// Output dimension i is input dimension `perm[i]`.
    pub fn transpose(&mut self, x: ValueId, perm: &[usize]) -> Result<ValueId> {
        self.apply("transpose", Op::Transpose { perm: perm.to_vec() }, &[x])
    }

    /// Joins values along `axis`.
    pub fn concat(&mut self, values: &[ValueId], axis: usize) -> Result<ValueId> {
        self.apply("concat", Op::Concat { axis }, values)
    }

    /// `len` elements from `start` on, along `axis`.
    pub fn slice(&mut self, x: ValueId, axis: usize, start: usize, len: usize) -> Result<ValueId> {
        self.apply("slice", Op::Slice { cuts: vec![Cut { axis, start, len, step: 1 }] }, &[x])
    }

    /// Cuts `axis` into pieces of these extents, in order; they need not cover it.
    pub fn split(&mut self, x: ValueId, axis: usize, extents: &[usize]) -> Result<Vec<ValueId>> {
        let mut start = 0usize;
        let mut pieces = Vec::with_capacity(extents.len());
        for &len in extents {
            pieces.push(self.slice(x, axis, start, len)?);
            start = start.saturating_add(len);
        }
        Ok(pieces)
    }

    /// Zeros at top, left, bottom and right of a map `[n, c, h, w]`.
    pub fn pad(&mut self, x: ValueId, pads: [usize; 4]) -> Result<ValueId> {
        let [top, left, bottom, right] = pads;
        let (before, after) = (vec![0, 0, top, left], vec![0, 0, bottom, right]);
        self.apply("pad", Op::Pad { before, after, mode: PadMode::Constant(0.0) }, &[x])
    }

    /// Channel `g * (c / groups) + i` moves to `i * groups + g` (ShuffleNet, arXiv:1707.01083).
    pub fn channel_shuffle(&mut self, x: ValueId, groups: usize) -> Result<ValueId> {
        self.apply("shuffle", Op::ChannelShuffle { groups }, &[x])
    }

    /// `[n, c, h, w]` to `[n, c / block^2, h * block, w * block]`, PyTorch's pixel shuffle.
    pub fn pixel_shuffle(&mut self, x: ValueId, block: usize) -> Result<ValueId> {
        let order = DepthOrder::Crd;
        self.apply("pixel_shuffle", Op::DepthToSpace { block, order }, &[x])
    }

    /// A map `[n, c, h, w]` enlarged by a whole factor: each element becomes a square.
    pub fn upsample_nearest(&mut self, x: ValueId, factor: usize) -> Result<ValueId> {
        let mode = ResizeMode::Nearest(Nearest::Floor);
        self.upsample(x, factor, mode, Coordinates::Asymmetric)
    }

    /// A map `[n, c, h, w]` enlarged by a whole factor with bilinear interpolation, positions as
    /// PyTorch's without `align_corners`.
    pub fn upsample_bilinear(&mut self, x: ValueId, factor: usize) -> Result<ValueId> {
        self.upsample(x, factor, ResizeMode::Linear, Coordinates::HalfPixel)
    }

    fn upsample(
        &mut self,
        x: ValueId,
        factor: usize,
        mode: ResizeMode,
        coordinates: Coordinates,
    ) -> Result<ValueId> {
        let mut axes = vec![];
        for axis in [2, 3] {
            let size = self.graph.value(x).shape.extent(axis, "upsample")?;
            let (len, scale) = (size.saturating_mul(factor), factor as f32);
            axes.push(ResizeAxis { axis, len, scale, region: (0.0, 1.0) });
        }
        let resize = Resize {
            axes,
            mode,
            coordinates,
            antialias: false,
            exclude_outside: false,
            extrapolation: 0.0,
        };
        self.apply("upsample", Op::Resize(resize), &[x])
    }
}
