//! Functions of single elements.

/// Functions of two values, broadcast as in NumPy. Both inputs have the type of the output:
/// float32 or an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// a + b
    Add,
    /// a - b
    Sub,
    /// a * b
    Mul,
    /// a / b; towards zero for integers, where division by zero is an error.
    Div,
    /// a to the power b; float32 only.
    Pow,
    /// The larger one; NaN where either is NaN.
    Max,
    /// The smaller one; NaN where either is NaN.
    Min,
    /// Remainder with the sign of b, as in Python; integers only.
    Mod,
    /// Remainder with the sign of a, as in C's fmod.
    Fmod,
    /// a where a >= 0, else a * b (ONNX PRelu); b broadcasts to a's shape. float32 only.
    PRelu,
}

/// Comparisons of two broadcast values of one type; the result is boolean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compare {
    /// a == b
    Equal,
    /// a < b
    Less,
    /// a <= b
    LessOrEqual,
    /// a > b
    Greater,
    /// a >= b
    GreaterOrEqual,
}

/// Functions of two broadcast booleans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Logic {
    /// Both.
    And,
    /// At least one.
    Or,
    /// Exactly one.
    Xor,
}

/// Elementwise functions of one value. Float32; Relu, Clip, Abs, Neg and Sign also take integers.
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
    /// x * sigmoid(x), the sigmoid rounded to float32 first (also called Swish). ONNX writes it as
    /// two nodes before opset 24.
    Silu,
    /// x * tanh(ln(1 + exp(x)))
    Mish,
    /// x / 2 * (1 + erf(x / sqrt(2))), or its approximation by tanh
    Gelu {
        /// Whether `x / 2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))` is meant.
        tanh: bool,
    },
    /// x where x >= 0, else alpha * (exp(x) - 1)
    Elu {
        /// Limit below zero, negated.
        alpha: f32,
    },
    /// gamma * Elu(x)
    Selu {
        /// Limit below zero, negated; before gamma.
        alpha: f32,
        /// Factor.
        gamma: f32,
    },
    /// max(x, 0) + min(alpha * (exp(x / alpha) - 1), 0)
    Celu {
        /// Scale of the exponential.
        alpha: f32,
    },
    /// x where x > alpha, else 0
    ThresholdedRelu {
        /// The threshold.
        alpha: f32,
    },
    /// x + bias where x < -lambda, x - bias where x > lambda, else 0
    Shrink {
        /// Moved towards zero by this.
        bias: f32,
        /// Half the width of the interval that becomes zero.
        lambda: f32,
    },
    /// ln(1 + exp(x))
    Softplus,
    /// x / (1 + |x|)
    Softsign,
    /// Hyperbolic tangent
    Tanh,
    /// Error function
    Erf,
    /// e^x
    Exp,
    /// Natural logarithm
    Log,
    /// Square root
    Sqrt,
    /// 1 / x
    Reciprocal,
    /// |x|
    Abs,
    /// -x
    Neg,
    /// -1, 0 or 1
    Sign,
    /// Largest integer not above x
    Floor,
    /// Smallest integer not below x
    Ceil,
    /// Nearest integer, halves to the even one
    Round,
    /// Sine of radians
    Sin,
    /// Cosine of radians
    Cos,
}
