//! The operators: a closed set with typed attributes, in the logical semantics of ONNX (NCHW).
//!
//! Attributes are resolved at import: padding is explicit, defaults are filled in, and what ONNX
//! passes as a small constant input (Clip's bounds, Reshape's target) is an attribute here, so
//! that no pass looks up strings or constants to know what a node does.

mod attributes;
mod elementwise;
mod names;
mod window;

pub use attributes::*;
pub use elementwise::*;
pub use window::*;

use crate::DType;

/// An operator and its attributes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Op {
    /// Two-dimensional convolution.
    Conv(Conv),
    /// Two-dimensional transposed convolution.
    ConvTranspose(ConvTranspose),
    /// Matrix product with optional addition.
    Gemm(Gemm),
    /// NumPy's matmul.
    MatMul,
    /// (x - mean) / sqrt(var + epsilon) * scale + bias per channel (dimension 1).
    /// Inputs: x, scale, bias, mean, var.
    BatchNorm {
        /// Added to the variance.
        epsilon: f32,
        /// Share of the old running statistics that training keeps at each step.
        momentum: f32,
    },
    /// An elementwise function of one value.
    Unary(Unary),
    /// An elementwise function of two broadcast values.
    Binary(Binary),
    /// A comparison of two broadcast values; boolean.
    Compare(Compare),
    /// A function of two broadcast booleans.
    Logic(Logic),
    /// Logical negation of booleans.
    Not,
    /// Whether a float is not a number; boolean.
    IsNan,
    /// Whether a float is infinite; boolean.
    IsInf {
        /// Whether minus infinity counts.
        negative: bool,
        /// Whether plus infinity counts.
        positive: bool,
    },
    /// Elements of the second input where the first (boolean) is true, else of the third; all
    /// three broadcast.
    Where,
    /// The same numbers in another type: towards zero from float to integer, which saturates;
    /// anything but zero is true.
    Cast {
        /// Type of the output.
        to: DType,
    },
    /// Maximum over a window.
    MaxPool(Pool),
    /// Mean over a window.
    AveragePool(Pool),
    /// The p-th root of the sum of p-th powers over a window; `count_include_pad` does not matter.
    LpPool {
        /// The window.
        pool: Pool,
        /// The power, at least 1.
        p: usize,
    },
    /// Mean over all spatial dimensions, kept as 1x1.
    GlobalAveragePool,
    /// Joins values along an axis.
    Concat {
        /// Dimension, already counted from the front.
        axis: usize,
    },
    /// The same elements under another shape.
    Reshape {
        /// One rule for each new dimension.
        dims: Vec<ReshapeDim>,
    },
    /// A matrix: dimensions before `axis` become rows, the others columns.
    Flatten {
        /// Dimension where columns begin, counted from the front.
        axis: usize,
    },
    /// Permutes dimensions: output dimension i is input dimension `perm[i]`.
    Transpose {
        /// A permutation of all dimensions.
        perm: Vec<usize>,
    },
    /// Padding of any dimensions.
    Pad {
        /// Elements added before each dimension.
        before: Vec<usize>,
        /// Elements added after each dimension.
        after: Vec<usize>,
        /// What is added.
        mode: PadMode,
    },
    /// Every `step`-th element from `start` on, along each dimension that is listed.
    Slice {
        /// The dimensions cut, ascending by axis.
        cuts: Vec<Cut>,
    },
    /// Joins the elements along some dimensions. Float32 or an integer.
    Reduce {
        /// How.
        kind: Reduction,
        /// Dimensions, counted from the front, ascending.
        axes: Vec<usize>,
        /// Whether they stay with extent 1.
        keep_dims: bool,
    },
    /// Removes dimensions of extent 1.
    Squeeze {
        /// Dimensions, counted from the front, ascending.
        axes: Vec<usize>,
    },
    /// Inserts dimensions of extent 1.
    Unsqueeze {
        /// Positions in the result, ascending.
        axes: Vec<usize>,
    },
    /// Repeats dimensions of extent 1. Input dimensions align with the last ones of `shape`.
    Expand {
        /// Extents to broadcast with; 1 keeps the input's, symbols included.
        shape: Vec<usize>,
    },
    /// Repeats the whole input along each dimension.
    Tile {
        /// How often, for each dimension.
        repeats: Vec<usize>,
    },
    /// Slices of the first input at the positions that the second (integers) holds; negative ones
    /// count from the end.
    Gather {
        /// Dimension that positions refer to, counted from the front.
        axis: usize,
    },
    /// Single elements along `axis`, one for each element of the second input (integers).
    GatherElements {
        /// Dimension, counted from the front.
        axis: usize,
    },
    /// Slices at index tuples: the last dimension of the second input.
    GatherNd {
        /// Leading dimensions that both inputs share.
        batch_dims: usize,
    },
    /// The first input with single elements along `axis` replaced: positions in the second input,
    /// updates in the third.
    ScatterElements {
        /// Dimension, counted from the front.
        axis: usize,
        /// What an update does.
        mode: ScatterMode,
    },
    /// The first input with slices at index tuples replaced.
    ScatterNd {
        /// What an update does.
        mode: ScatterMode,
    },
    /// A vector along a new dimension, `values[1]` at the position that the input holds and
    /// `values[0]` elsewhere. Inputs: indices, values of two elements.
    OneHot {
        /// Position of the new dimension in the result.
        axis: usize,
        /// Its extent.
        depth: usize,
    },
    /// Position of the largest or smallest element along one dimension; int64.
    ArgExtreme {
        /// Largest, or smallest.
        largest: bool,
        /// Dimension, counted from the front.
        axis: usize,
        /// Whether it stays with extent 1.
        keep_dims: bool,
        /// Whether the last of equal elements counts, or the first.
        last: bool,
    },
    /// The `k` largest or smallest elements along one dimension in order, and their positions
    /// (int64). Of equal elements, the first come first.
    TopK {
        /// Dimension, counted from the front.
        axis: usize,
        /// How many.
        k: usize,
        /// Largest, or smallest.
        largest: bool,
    },
    /// Sums of all elements up to each one.
    CumSum {
        /// Dimension, counted from the front.
        axis: usize,
        /// Whether an element's own value is left out of its sum.
        exclusive: bool,
        /// Whether sums run from the end.
        reverse: bool,
    },
    /// Zeroes one side of the diagonal of the last two dimensions.
    Trilu {
        /// Whether the upper triangle stays, or the lower.
        upper: bool,
        /// Diagonal that the triangle ends at: 0 is the main one, positive ones lie above.
        diagonal: i64,
    },
    /// Resampling.
    Resize(Resize),
    /// Moves blocks of channels into space: `[n, c, h, w]` to `[n, c/b^2, h*b, w*b]`.
    DepthToSpace {
        /// b
        block: usize,
        /// Order of the channels.
        order: DepthOrder,
    },
    /// Moves blocks of space into channels: `[n, c, h, w]` to `[n, c*b^2, h/b, w/b]`, the position
    /// in the block slowest.
    SpaceToDepth {
        /// b
        block: usize,
    },
    /// Channel `g * (c / groups) + i` moves to `i * groups + g` (ShuffleNet, arXiv:1707.01083): the
    /// one meaning of Reshape, Transpose, Reshape. Input `[n, c, h, w]`.
    ChannelShuffle {
        /// Number of groups; divides c.
        groups: usize,
    },
    /// Normalises over all dimensions from `axis` on: mean 0, variance 1, then scale and bias.
    /// Inputs: x, scale and optional bias, both of the shape normalised over.
    LayerNorm {
        /// First dimension normalised over, counted from the front.
        axis: usize,
        /// Added to the variance.
        epsilon: f32,
    },
    /// Normalises each channel of each image over space. Inputs: x `[n, c, ...]`, scale and bias
    /// `[c]`.
    InstanceNorm {
        /// Added to the variance.
        epsilon: f32,
    },
    /// Normalises groups of channels of each image. Inputs: x `[n, c, ...]`, scale and bias `[c]`.
    GroupNorm {
        /// Number of groups; divides c.
        groups: usize,
        /// Added to the variance.
        epsilon: f32,
    },
    /// Local response normalisation: x / (bias + alpha / size * sum of squares over `size`
    /// neighbouring channels)^beta.
    LocalResponseNorm {
        /// Factor of the sum.
        alpha: f32,
        /// Exponent.
        beta: f32,
        /// Added to the sum.
        bias: f32,
        /// Number of channels, the own one in the middle.
        size: usize,
    },
    /// x / (p-norm of x along one dimension); zero where the norm is zero.
    LpNorm {
        /// Dimension, counted from the front.
        axis: usize,
        /// 1 or 2.
        p: usize,
    },
    /// exp(x) / sum(exp(x)) along one axis (opset 13 semantics).
    Softmax {
        /// Dimension, counted from the front.
        axis: usize,
    },
    /// Logarithm of Softmax.
    LogSoftmax {
        /// Dimension, counted from the front.
        axis: usize,
    },
    /// 1 at the (first) largest element along one axis, 0 elsewhere.
    Hardmax {
        /// Dimension, counted from the front.
        axis: usize,
    },
    /// Convolution of 8-bit integers into int32. Inputs: x, weight, optional zero points of x
    /// (scalar) and of the weight (scalar or one per output channel).
    ConvInteger(Conv),
    /// Matrix product of 8-bit integers into int32. Inputs: a, b, optional zero points of a
    /// (scalar or one per row) and of b (scalar or one per column).
    MatMulInteger,
    /// Quantises to uint8 by the range of the input, zero included. Outputs: quantised values,
    /// scale (float32 scalar), zero point (uint8 scalar).
    DynamicQuantize,
    /// Float to 8-bit: saturate(round_half_even(x / scale) + zero_point).
    /// Inputs: x, scale, zero point (scalar, or one per extent of `axis`).
    Quantize {
        /// Dimension of per-channel parameters; irrelevant for scalars.
        axis: usize,
    },
    /// Integer to float: (x - zero_point) * scale. Inputs: x, scale, optional zero point.
    Dequantize {
        /// Dimension of per-channel parameters; irrelevant for scalars.
        axis: usize,
    },
}

impl Op {
    /// Rectified linear unit.
    pub const RELU: Op = Op::Unary(Unary::Relu);
    /// ReLU6 of the MobileNet papers: Clip to [0, 6].
    pub const RELU6: Op = Op::Unary(Unary::Clip { min: 0.0, max: 6.0 });

    /// Whether it only rearranges the elements of its one input, or leaves some out.
    pub fn only_moves(&self) -> bool {
        matches!(
            self,
            Op::Reshape { .. }
                | Op::Flatten { .. }
                | Op::Squeeze { .. }
                | Op::Unsqueeze { .. }
                | Op::Transpose { .. }
                | Op::Slice { .. }
                | Op::ChannelShuffle { .. }
                | Op::DepthToSpace { .. }
                | Op::SpaceToDepth { .. }
        )
    }

    /// The bounds of a clamping activation (Relu, Clip), or `None` for any other operator.
    pub fn clamp_bounds(&self) -> Option<(f32, f32)> {
        match self {
            Op::Unary(Unary::Relu) => Some((0.0, f32::INFINITY)),
            Op::Unary(Unary::Clip { min, max }) => Some((*min, *max)),
            _ => None,
        }
    }
}
