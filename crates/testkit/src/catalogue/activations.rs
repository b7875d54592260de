//! Functions of one value.

use edgecut_graph::{DType, Op, Tensor, Unary};

use super::numbers::{between, normal, numbers, tensor};
use super::{Table, of};

const INFINITE: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);

pub(super) fn add(table: &mut Table) {
    let x = normal(&[2, 3, 4, 5], 11);
    let mut float = |what: &str, function| table.one(what, Op::Unary(function), x.clone());
    let clip = |min, max| Unary::Clip { min, max };
    float("0 to 6", clip(0.0, 6.0));
    float("above", clip(-0.25, INFINITE.1));
    float("below", clip(INFINITE.0, 0.5));
    float("free", clip(INFINITE.0, INFINITE.1));
    float("crossed", clip(0.5, -0.5));
    float("", Unary::LeakyRelu { alpha: 0.1 });
    float("", Unary::HardSigmoid { alpha: 0.3, beta: 0.4 });
    float("", Unary::Gelu { tanh: false });
    float("tanh", Unary::Gelu { tanh: true });
    float("", Unary::Elu { alpha: 0.7 });
    float("", Unary::Selu { alpha: 1.5, gamma: 1.1 });
    float("", Unary::Celu { alpha: 0.6 });
    float("", Unary::ThresholdedRelu { alpha: 0.3 });
    float("soft", Unary::Shrink { bias: 0.2, lambda: 0.4 });
    float("hard", Unary::Shrink { bias: 0.0, lambda: 0.4 });
    for function in [
        Unary::Relu,
        Unary::Sigmoid,
        Unary::HardSwish,
        Unary::Silu,
        Unary::Mish,
        Unary::Softplus,
        Unary::Softsign,
        Unary::Tanh,
        Unary::Erf,
        Unary::Exp,
        Unary::Reciprocal,
        Unary::Abs,
        Unary::Neg,
        Unary::Sign,
        Unary::Sin,
        Unary::Cos,
    ] {
        float("", function);
    }
    let wide = between(&[4, 25], -4.0, 4.0);
    for function in [Unary::Floor, Unary::Ceil] {
        table.one("", Op::Unary(function), wide.clone());
    }
    let halves: Vec<f32> = (-9..9).map(|i| i as f32 / 2.0).collect();
    table.one("halves", Op::Unary(Unary::Round), Tensor::vector(halves));
    for function in [Unary::Log, Unary::Sqrt] {
        table.one("", Op::Unary(function), between(&[4, 5], 0.01, 9.0));
    }
    for dtype in [DType::U8, DType::I8, DType::I32, DType::I64] {
        let x = numbers(dtype, &[3, 7], 12);
        table.one(&format!("{} bounds", of(dtype)), Op::Unary(clip(-20.5, 30.5)), x.clone());
        table.one(&format!("{} above", of(dtype)), Op::Unary(clip(7.0, INFINITE.1)), x.clone());
        for function in [Unary::Relu, Unary::Abs, Unary::Neg, Unary::Sign] {
            table.one(&of(dtype), Op::Unary(function), x.clone());
        }
    }
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1.0];
    let odd = tensor(&[2, 3], odd.to_vec());
    table.one("", Op::IsNan, odd.clone());
    for (what, negative, positive) in
        [("both", true, true), ("negative", true, false), ("positive", false, true)]
    {
        table.one(what, Op::IsInf { negative, positive }, odd.clone());
    }
    table.one("", Op::Not, numbers(DType::Bool, &[3, 4], 13));
}
