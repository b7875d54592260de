//! Attributes of the other operators.

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

/// What Pad adds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PadMode {
    /// This number; an exact integer where the input is of an integer type.
    Constant(f32),
    /// The elements beside the edge, mirrored at it: `c b | a b c`.
    Reflect,
    /// The element at the edge.
    Edge,
    /// The elements of the other end.
    Wrap,
}

/// How Reduce joins elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// Mean
    Mean,
    /// Sum
    Sum,
    /// Product
    Prod,
    /// Largest
    Max,
    /// Smallest
    Min,
    /// Sum of magnitudes
    L1,
    /// Square root of the sum of squares
    L2,
    /// Logarithm of the sum
    LogSum,
    /// Logarithm of the sum of exponentials
    LogSumExp,
    /// Sum of squares
    SumSquare,
}

impl Reduction {
    /// All of them.
    pub const ALL: [Reduction; 10] = [
        Reduction::Mean,
        Reduction::Sum,
        Reduction::Prod,
        Reduction::Max,
        Reduction::Min,
        Reduction::L1,
        Reduction::L2,
        Reduction::LogSum,
        Reduction::LogSumExp,
        Reduction::SumSquare,
    ];
}

/// What Scatter does with an update and the element it falls on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScatterMode {
    /// Replaces it; the last update wins.
    Replace,
    /// Adds to it
    Add,
    /// Multiplies it
    Mul,
    /// Keeps the larger
    Max,
    /// Keeps the smaller
    Min,
}

/// Attributes of Resize: resampling along some dimensions, the others unchanged.
#[derive(Clone, Debug, PartialEq)]
pub struct Resize {
    /// The dimensions resampled, ascending.
    pub axes: Vec<ResizeAxis>,
    /// How a value between elements is found.
    pub mode: ResizeMode,
    /// Which position of the input an output element corresponds to.
    pub coordinates: Coordinates,
    /// Whether the filter widens when shrinking, so that every input element counts.
    pub antialias: bool,
    /// Whether weights of elements outside the input become zero and the others are rescaled;
    /// otherwise the edge is repeated.
    pub exclude_outside: bool,
    /// Value of positions outside the input under [`Coordinates::CropAndResize`].
    pub extrapolation: f32,
}

/// One dimension that Resize resamples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResizeAxis {
    /// Dimension, counted from the front.
    pub axis: usize,
    /// Extent of the output.
    pub len: usize,
    /// Output elements per input element, as the model states it; `len / input` where it states
    /// sizes. It decides positions, so a scale of 2.6 that gives 7 of 3 stays 2.6.
    pub scale: f32,
    /// Part of the input under [`Coordinates::CropAndResize`], from 0 to 1.
    pub region: (f32, f32),
}

/// Interpolation of [`Resize`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ResizeMode {
    /// The nearest element.
    Nearest(Nearest),
    /// Between the two neighbours.
    Linear,
    /// Between the four neighbours, with this coefficient (-0.75 in ONNX and PyTorch).
    Cubic(f32),
}

/// Which element is nearest to a position between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Nearest {
    /// Rounded, halves down.
    RoundPreferFloor,
    /// Rounded, halves up.
    RoundPreferCeil,
    /// The one before.
    Floor,
    /// The one behind.
    Ceil,
}

/// Positions of [`Resize`]: what element `i` of the output corresponds to in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coordinates {
    /// `(i + 0.5) / scale - 0.5`
    HalfPixel,
    /// As HalfPixel, around the middle of the exact (unrounded) output.
    HalfPixelSymmetric,
    /// As HalfPixel, but 0 where the output has one element.
    PytorchHalfPixel,
    /// `i * (input - 1) / (output - 1)`
    AlignCorners,
    /// `i / scale`
    Asymmetric,
    /// `(i + 0.5) / scale`: TensorFlow's, nearest only
    TfHalfPixelForNearest,
    /// AlignCorners within [`ResizeAxis::region`].
    CropAndResize,
}

/// Order of channels in DepthToSpace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DepthOrder {
    /// Depth, column, row: the position in the block changes slowest.
    Dcr,
    /// Column, row, depth: the position in the block changes fastest (PyTorch's pixel shuffle).
    Crd,
}
