//! Functions of single elements.

use edgecut_graph::{Binary, Compare, DType, Logic, Op, Tensor, Unary};

use super::{Case, Source};

const NUMBERS: [DType; 5] = [DType::F32, DType::I32, DType::I64, DType::I8, DType::U8];
const ALL: [DType; 6] = [DType::F32, DType::I32, DType::I64, DType::I8, DType::U8, DType::Bool];

pub fn case(s: &mut Source, turn: usize) -> Case {
    let (rank, kind) = (s.between(0, 4), turn / 4);
    let out = s.shape(rank);
    match turn % 4 {
        0 => unary(s, &out, kind),
        1 => unary(s, &out, kind + 15),
        2 => binary(s, &out, kind),
        _ => boolean(s, &out, kind),
    }
}

fn unary(s: &mut Source, shape: &[usize], kind: usize) -> Case {
    let alpha = s.float(0.1, 1.5);
    let functions = [
        Unary::Relu,
        Unary::Clip { min: -2.0, max: 3.0 },
        Unary::Abs,
        Unary::Neg,
        Unary::Sign,
        Unary::LeakyRelu { alpha },
        Unary::Sigmoid,
        Unary::HardSigmoid { alpha, beta: 0.4 },
        Unary::HardSwish,
        Unary::Silu,
        Unary::Mish,
        Unary::Gelu { tanh: false },
        Unary::Gelu { tanh: true },
        Unary::Elu { alpha },
        Unary::Selu { alpha: 1.67, gamma: 1.05 },
        Unary::Celu { alpha },
        Unary::ThresholdedRelu { alpha },
        Unary::Shrink { bias: alpha, lambda: 0.5 },
        Unary::Softplus,
        Unary::Softsign,
        Unary::Tanh,
        Unary::Erf,
        Unary::Exp,
        Unary::Log,
        Unary::Sqrt,
        Unary::Reciprocal,
        Unary::Floor,
        Unary::Ceil,
        Unary::Round,
        Unary::Sin,
        Unary::Cos,
    ];
    let which = kind % functions.len();
    let x = match which {
        0..5 => {
            let dtype = s.pick(&NUMBERS);
            s.any(dtype, shape)
        }
        23 | 24 => s.floats_in(shape, 0.0, 9.0),
        // Halves, too.
        28 => s.filled(shape, |s| (s.between(0, 40) as f32 - 20.0) / 4.0),
        _ => s.floats(shape),
    };
    Case::new(Op::Unary(functions[which]), [x])
}

fn binary(s: &mut Source, out: &[usize], kind: usize) -> Case {
    let functions = [
        Binary::Add,
        Binary::Sub,
        Binary::Mul,
        Binary::Div,
        Binary::Pow,
        Binary::Max,
        Binary::Min,
        Binary::Mod,
        Binary::Fmod,
        Binary::PRelu,
    ];
    let function = functions[kind % functions.len()];
    let dtype = match function {
        Binary::Pow | Binary::PRelu => DType::F32,
        Binary::Mod => s.pick(&NUMBERS[1..]),
        _ => s.pick(&NUMBERS),
    };
    let [a_shape, b_shape] = s.pair(out);
    let (a, b) = match function {
        Binary::PRelu => (s.floats(out), s.floats(&b_shape)),
        Binary::Pow => (s.floats_in(&a_shape, 0.1, 3.0), s.floats(&b_shape)),
        _ => (s.any(dtype, &a_shape), s.nonzero(dtype, &b_shape)),
    };
    Case::new(Op::Binary(function), [a, b])
}

fn boolean(s: &mut Source, out: &[usize], kind: usize) -> Case {
    let [a, b] = s.pair(out);
    let special = |s: &mut Source, shape: &[usize]| -> Tensor {
        let values = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -1.5];
        s.filled(shape, |s| s.pick(&values))
    };
    match kind % 12 {
        0..5 => {
            let functions = [
                Compare::Equal,
                Compare::Less,
                Compare::LessOrEqual,
                Compare::Greater,
                Compare::GreaterOrEqual,
            ];
            let function = functions[kind % 12];
            let dtype = s.pick(if function == Compare::Equal { &ALL } else { &NUMBERS });
            Case::new(Op::Compare(function), [s.any(dtype, &a), s.any(dtype, &b)])
        }
        5..8 => {
            let function = [Logic::And, Logic::Or, Logic::Xor][kind % 12 - 5];
            Case::new(Op::Logic(function), [s.bools(&a), s.bools(&b)])
        }
        8 => Case::new(Op::Not, [s.bools(out)]),
        9 if s.flag() => Case::new(Op::IsNan, [special(s, out)]),
        9 => {
            let op = Op::IsInf { negative: s.flag(), positive: s.flag() };
            Case::new(op, [special(s, out)])
        }
        10 => {
            let dtype = s.pick(&ALL);
            let condition = s.narrower(out);
            Case::new(Op::Where, [s.bools(&condition), s.any(dtype, &a), s.any(dtype, &b)])
        }
        _ => {
            // Floats within the target's range; outside it, targets differ.
            let (from, to) = (s.pick(&ALL), s.pick(&ALL));
            let x = match from {
                DType::F32 => s.floats_in(out, 0.0, 100.0),
                other => s.any(other, out),
            };
            Case::new(Op::Cast { to }, [x])
        }
    }
}
