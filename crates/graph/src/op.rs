//! The operators: a closed set with typed attributes, in the logical semantics of ONNX (NCHW).
//!
//! Attributes are resolved at import: padding is explicit, defaults are filled in, and what ONNX
//! passes as a small constant input (Clip's bounds, Reshape's target) is an attribute here, so
//! that no pass looks up strings or constants to know what a node does.

/// Two spatial numbers: height (rows) first, then width (columns).
pub type Hw = [usize; 2];

/// A sliding window over the two spatial dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Extent of the window.
    pub kernel: Hw,
    /// Step between windows, at least 1.
    pub strides: Hw,
    /// Step between taps of a window, at least 1.
    pub dilations: Hw,
    /// Zeros added at top, left, bottom, right.
    pub pads: [usize; 4],
}

impl Window {
    /// A window without padding or dilation.
    pub fn new(kernel: Hw, strides: Hw) -> Window {
        Window { kernel, strides, dilations: [1, 1], pads: [0; 4] }
    }

    /// A square window padded by `kernel / 2` on each side: same size at stride 1.
    pub fn same(kernel: usize, stride: usize) -> Window {
        let pads = [kernel / 2; 4];
        Window { pads, ..Window::new([kernel; 2], [stride; 2]) }
    }
}

/// Attributes of a convolution. Inputs: x `[n, c, h, w]`, weight `[m, c/groups, kh, kw]`,
/// optional bias `[m]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv {
    /// Kernel extent, strides, dilations, padding.
    pub window: Window,
    /// Number of groups that input and output channels are divided into; `c` for depthwise.
    pub groups: usize,
}

/// Attributes of a pooling operator. Input: x `[n, c, h, w]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pool {
    /// Kernel extent, strides, dilations, padding.
    pub window: Window,
    /// Whether a window that starts inside the padded input but ends outside still counts.
    pub ceil_mode: bool,
    /// Average pooling only: whether padding counts in the divisor.
    pub count_include_pad: bool,
}

/// Elementwise functions of two values, broadcast as in NumPy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// a + b
    Add,
    /// a - b
    Sub,
    /// a * b
    Mul,
    /// a / b
    Div,
}

/// Elementwise functions of one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unary {
    /// max(x, 0)
    Relu,
    /// min(max(x, min), max); ReLU6 is Clip with 0 and 6. Infinite where a bound is absent.
    Clip {
        /// Lower bound.
        min: f32,
        /// Upper bound.
        max: f32,
    },
    /// x where x >= 0, else alpha * x
    LeakyRelu {
        /// Slope below zero.
        alpha: f32,
    },
    /// 1 / (1 + exp(-x))
    Sigmoid,
    /// min(max(alpha * x + beta, 0), 1)
    HardSigmoid {
        /// Slope; ONNX's default is 0.2, MobileNetV3's 1/6.
        alpha: f32,
        /// Offset; 0.5 in both.
        beta: f32,
    },
    /// x * HardSigmoid(x) with alpha 1/6 and beta 0.5
    HardSwish,
}

/// Attributes of Gemm: `alpha * A' * B' + beta * C`. Inputs: A, B matrices, optional C that
/// broadcasts to the result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gemm {
    /// Factor of the product.
    pub alpha: f32,
    /// Factor of C.
    pub beta: f32,
    /// Whether A is transposed first.
    pub trans_a: bool,
    /// Whether B is transposed first.
    pub trans_b: bool,
}

/// Extents of a reshape, each a number or a rule (ONNX Reshape with allowzero = 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReshapeDim {
    /// This extent.
    Fixed(usize),
    /// The input's extent at the same position.
    Copy,
    /// What is left; at most once.
    Infer,
}

/// What Slice keeps of one dimension: elements `start`, `start + step`, ..., `len` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cut {
    /// Dimension, counted from the front.
    pub axis: usize,
    /// First element kept.
    pub start: usize,
    /// Number of elements kept.
    pub len: usize,
    /// Distance between elements kept, at least 1.
    pub step: usize,
}

/// An operator and its attributes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Op {
    /// Two-dimensional convolution.
    Conv(Conv),
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
    /// Maximum over a window.
    MaxPool(Pool),
    /// Mean over a window.
    AveragePool(Pool),
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
    /// Constant padding.
    Pad {
        /// Elements added before each dimension.
        before: Vec<usize>,
        /// Elements added after each dimension.
        after: Vec<usize>,
        /// What is added.
        value: f32,
    },
    /// Every `step`-th element from `start` on, along each dimension that is listed.
    Slice {
        /// The dimensions cut, ascending by axis.
        cuts: Vec<Cut>,
    },
    /// Mean over some dimensions.
    ReduceMean {
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
    /// exp(x) / sum(exp(x)) along one axis (opset 13 semantics).
    Softmax {
        /// Dimension, counted from the front.
        axis: usize,
    },
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

    /// The ONNX operator type.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Conv(_) => "Conv",
            Op::Gemm(_) => "Gemm",
            Op::MatMul => "MatMul",
            Op::BatchNorm { .. } => "BatchNormalization",
            Op::Unary(Unary::Relu) => "Relu",
            Op::Unary(Unary::Clip { .. }) => "Clip",
            Op::Unary(Unary::LeakyRelu { .. }) => "LeakyRelu",
            Op::Unary(Unary::Sigmoid) => "Sigmoid",
            Op::Unary(Unary::HardSigmoid { .. }) => "HardSigmoid",
            Op::Unary(Unary::HardSwish) => "HardSwish",
            Op::Binary(Binary::Add) => "Add",
            Op::Binary(Binary::Sub) => "Sub",
            Op::Binary(Binary::Mul) => "Mul",
            Op::Binary(Binary::Div) => "Div",
            Op::MaxPool(_) => "MaxPool",
            Op::AveragePool(_) => "AveragePool",
            Op::GlobalAveragePool => "GlobalAveragePool",
            Op::Concat { .. } => "Concat",
            Op::Reshape { .. } => "Reshape",
            Op::Flatten { .. } => "Flatten",
            Op::Transpose { .. } => "Transpose",
            Op::Pad { .. } => "Pad",
            Op::Slice { .. } => "Slice",
            Op::ReduceMean { .. } => "ReduceMean",
            Op::Squeeze { .. } => "Squeeze",
            Op::Unsqueeze { .. } => "Unsqueeze",
            Op::Softmax { .. } => "Softmax",
            Op::Quantize { .. } => "QuantizeLinear",
            Op::Dequantize { .. } => "DequantizeLinear",
        }
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
