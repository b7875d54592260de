//! What operators are called in ONNX.

use super::{Binary, Compare, Logic, Op, Reduction, Unary};

impl Op {
    /// The ONNX operator type. ChannelShuffle and Silu, which ONNX has no operator for (before
    /// opset 24), have the names of their papers.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Conv(_) => "Conv",
            Op::ConvTranspose(_) => "ConvTranspose",
            Op::Gemm(_) => "Gemm",
            Op::MatMul => "MatMul",
            Op::BatchNorm { .. } => "BatchNormalization",
            Op::Unary(function) => function.name(),
            Op::Binary(function) => function.name(),
            Op::Compare(function) => function.name(),
            Op::Logic(function) => function.name(),
            Op::Not => "Not",
            Op::IsNan => "IsNaN",
            Op::IsInf { .. } => "IsInf",
            Op::Where => "Where",
            Op::Cast { .. } => "Cast",
            Op::MaxPool(_) => "MaxPool",
            Op::AveragePool(_) => "AveragePool",
            Op::LpPool { .. } => "LpPool",
            Op::GlobalAveragePool => "GlobalAveragePool",
            Op::Concat { .. } => "Concat",
            Op::Reshape { .. } => "Reshape",
            Op::Flatten { .. } => "Flatten",
            Op::Transpose { .. } => "Transpose",
            Op::Pad { .. } => "Pad",
            Op::Slice { .. } => "Slice",
            Op::Reduce { kind, .. } => kind.name(),
            Op::Squeeze { .. } => "Squeeze",
            Op::Unsqueeze { .. } => "Unsqueeze",
            Op::Expand { .. } => "Expand",
            Op::Tile { .. } => "Tile",
            Op::Gather { .. } => "Gather",
            Op::GatherElements { .. } => "GatherElements",
            Op::GatherNd { .. } => "GatherND",
            Op::ScatterElements { .. } => "ScatterElements",
            Op::ScatterNd { .. } => "ScatterND",
            Op::OneHot { .. } => "OneHot",
            Op::ArgExtreme { largest: true, .. } => "ArgMax",
            Op::ArgExtreme { largest: false, .. } => "ArgMin",
            Op::TopK { .. } => "TopK",
            Op::CumSum { .. } => "CumSum",
            Op::Trilu { .. } => "Trilu",
            Op::Resize(_) => "Resize",
            Op::DepthToSpace { .. } => "DepthToSpace",
            Op::SpaceToDepth { .. } => "SpaceToDepth",
            Op::ChannelShuffle { .. } => "ChannelShuffle",
            Op::LayerNorm { .. } => "LayerNormalization",
            Op::InstanceNorm { .. } => "InstanceNormalization",
            Op::GroupNorm { .. } => "GroupNormalization",
            Op::LocalResponseNorm { .. } => "LRN",
            Op::LpNorm { .. } => "LpNormalization",
            Op::Softmax { .. } => "Softmax",
            Op::LogSoftmax { .. } => "LogSoftmax",
            Op::Hardmax { .. } => "Hardmax",
            Op::ConvInteger(_) => "ConvInteger",
            Op::MatMulInteger => "MatMulInteger",
            Op::Quantize { .. } => "QuantizeLinear",
            Op::Dequantize { .. } => "DequantizeLinear",
            Op::DynamicQuantize => "DynamicQuantizeLinear",
        }
    }
}

impl Unary {
    /// The ONNX operator type.
    pub fn name(&self) -> &'static str {
        match self {
            Unary::Relu => "Relu",
            Unary::Clip { .. } => "Clip",
            Unary::LeakyRelu { .. } => "LeakyRelu",
            Unary::Sigmoid => "Sigmoid",
            Unary::HardSigmoid { .. } => "HardSigmoid",
            Unary::HardSwish => "HardSwish",
            Unary::Silu => "Silu",
            Unary::Mish => "Mish",
            Unary::Gelu { .. } => "Gelu",
            Unary::Elu { .. } => "Elu",
            Unary::Selu { .. } => "Selu",
            Unary::Celu { .. } => "Celu",
            Unary::ThresholdedRelu { .. } => "ThresholdedRelu",
            Unary::Shrink { .. } => "Shrink",
            Unary::Softplus => "Softplus",
            Unary::Softsign => "Softsign",
            Unary::Tanh => "Tanh",
            Unary::Erf => "Erf",
            Unary::Exp => "Exp",
            Unary::Log => "Log",
            Unary::Sqrt => "Sqrt",
            Unary::Reciprocal => "Reciprocal",
            Unary::Abs => "Abs",
            Unary::Neg => "Neg",
            Unary::Sign => "Sign",
            Unary::Floor => "Floor",
            Unary::Ceil => "Ceil",
            Unary::Round => "Round",
            Unary::Sin => "Sin",
            Unary::Cos => "Cos",
        }
    }
}

impl Binary {
    /// The ONNX operator type.
    pub fn name(&self) -> &'static str {
        match self {
            Binary::Add => "Add",
            Binary::Sub => "Sub",
            Binary::Mul => "Mul",
            Binary::Div => "Div",
            Binary::Pow => "Pow",
            Binary::Max => "Max",
            Binary::Min => "Min",
            Binary::Mod | Binary::Fmod => "Mod",
            Binary::PRelu => "PRelu",
        }
    }
}

impl Compare {
    /// The ONNX operator type.
    pub fn name(&self) -> &'static str {
        match self {
            Compare::Equal => "Equal",
            Compare::Less => "Less",
            Compare::LessOrEqual => "LessOrEqual",
            Compare::Greater => "Greater",
            Compare::GreaterOrEqual => "GreaterOrEqual",
        }
    }
}

impl Logic {
    /// The ONNX operator type.
    pub fn name(&self) -> &'static str {
        match self {
            Logic::And => "And",
            Logic::Or => "Or",
            Logic::Xor => "Xor",
        }
    }
}

impl Reduction {
    /// The ONNX operator type.
    pub fn name(&self) -> &'static str {
        match self {
            Reduction::Mean => "ReduceMean",
            Reduction::Sum => "ReduceSum",
            Reduction::Prod => "ReduceProd",
            Reduction::Max => "ReduceMax",
            Reduction::Min => "ReduceMin",
            Reduction::L1 => "ReduceL1",
            Reduction::L2 => "ReduceL2",
            Reduction::LogSum => "ReduceLogSum",
            Reduction::LogSumExp => "ReduceLogSumExp",
            Reduction::SumSquare => "ReduceSumSquare",
        }
    }
}
