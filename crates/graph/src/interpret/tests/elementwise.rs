//! Functions of single elements.

use super::*;

#[test]
fn elementwise_functions() {
    let x = tensor(&[5], vec![-7f32, -1.0, 0.0, 2.0, 7.0]);
    expect(Op::RELU, &[&x], &[5], &[0.0, 0.0, 0.0, 2.0, 7.0]);
    expect(Op::RELU6, &[&x], &[5], &[0.0, 0.0, 0.0, 2.0, 6.0]);
    let crossed = Op::Unary(Unary::Clip { min: 3.0, max: 1.0 });
    expect(crossed, &[&x], &[5], &[1.0; 5]);
    expect(Op::Unary(Unary::LeakyRelu { alpha: 0.5 }), &[&x], &[5], &[-3.5, -0.5, 0.0, 2.0, 7.0]);
    expect(
        Op::Unary(Unary::HardSigmoid { alpha: 0.25, beta: 0.5 }),
        &[&x],
        &[5],
        &[0.0, 0.25, 0.5, 1.0, 1.0],
    );
    let swish = apply(Op::Unary(Unary::HardSwish), &[&x]).unwrap();
    assert_eq!(swish.f32s().unwrap()[4], 7.0);
    let sigmoid = apply(Op::Unary(Unary::Sigmoid), &[&x]).unwrap();
    assert!((sigmoid.f32s().unwrap()[3] - 0.880_797_1).abs() < 1e-7);
}

#[test]
fn binary_functions_broadcast() {
    let (a, b) = (ramp(&[2, 3]), tensor(&[2, 1], vec![10f32, 20.0]));
    let add = Op::Binary(Binary::Add);
    expect(add.clone(), &[&a, &b], &[2, 3], &[10.0, 11.0, 12.0, 23.0, 24.0, 25.0]);
    expect(
        Op::Binary(Binary::Sub),
        &[&Tensor::scalar(1.0), &a],
        &[2, 3],
        &[1.0, 0.0, -1.0, -2.0, -3.0, -4.0],
    );
    expect(Op::Binary(Binary::Mul), &[&Tensor::scalar(3.0), &Tensor::scalar(2.0)], &[], &[6.0]);
    expect(Op::Binary(Binary::Div), &[&b, &tensor(&[1], vec![4f32])], &[2, 1], &[2.5, 5.0]);
    assert!(apply(add, &[&a, &ramp(&[2])]).is_err());
}

/// Values of a function at these places, against references computed with 30 digits.
fn values(function: Unary, pairs: &[(f32, f64)]) {
    let x = Tensor::vector(pairs.iter().map(|p| p.0).collect::<Vec<f32>>());
    let expected: Vec<f32> = pairs.iter().map(|p| p.1 as f32).collect();
    expect(Op::Unary(function), &[&x], &[pairs.len()], &expected);
}

#[test]
fn smooth_functions_are_rounded_once() {
    values(Unary::Erf, &[(0.5, 0.520_499_877_813_046_5), (-3.0, -0.999_977_909_503_001_4)]);
    values(Unary::Exp, &[(1.0, std::f64::consts::E), (-100.0, 3.720_075_976_020_836e-44)]);
    values(Unary::Log, &[(10.0, std::f64::consts::LN_10), (0.0, f64::NEG_INFINITY)]);
    values(Unary::Tanh, &[(1.0, 0.761_594_155_955_764_9), (1e-5, 9.999_999_747e-6)]);
    values(Unary::Sin, &[(1e6, -0.349_993_502_171_292_95)]);
    values(Unary::Cos, &[(1e6, 0.936_752_127_533_164_5)]);
    values(Unary::Softplus, &[(-20.0, 2.061_153_620_314_381e-9), (1000.0, 1000.0)]);
    values(Unary::Softsign, &[(-3.0, -0.75), (1.0, 0.5)]);
    values(Unary::Mish, &[(1.0, 0.865_098_388_267_003_5), (-1000.0, 0.0)]);
    // Far below zero, 1 + erf(x / sqrt(2)) has no digits left.
    values(
        Unary::Gelu { tanh: false },
        &[(1.0, 0.841_344_746_068_542_9), (-10.0, -7.619_853_024_160_527e-23)],
    );
    values(Unary::Gelu { tanh: true }, &[(1.0, 0.841_191_990_607_477_4), (0.0, 0.0)]);
    let em1 = std::f64::consts::E.recip() - 1.0;
    values(Unary::Elu { alpha: 2.0 }, &[(-1.0, 2.0 * em1), (3.0, 3.0)]);
    values(Unary::Selu { alpha: 2.0, gamma: 1.5 }, &[(-1.0, 3.0 * em1), (2.0, 3.0)]);
    values(Unary::Celu { alpha: 2.0 }, &[(-2.0, 2.0 * em1), (2.0, 2.0)]);
    values(Unary::Silu, &[(1.0, 0.731_058_578_630_004_9), (0.0, 0.0)]);
}

#[test]
fn pieces_and_roundings() {
    let x = Tensor::vector(vec![-2.5f32, -1.0, -0.25, 0.5, 1.5, 3.0]);
    let each = |function, expected: [f32; 6]| expect(Op::Unary(function), &[&x], &[6], &expected);
    each(Unary::ThresholdedRelu { alpha: 0.5 }, [0.0, 0.0, 0.0, 0.0, 1.5, 3.0]);
    each(Unary::Shrink { bias: 0.5, lambda: 1.0 }, [-2.0, 0.0, 0.0, 0.0, 1.0, 2.5]);
    each(Unary::Floor, [-3.0, -1.0, -1.0, 0.0, 1.0, 3.0]);
    each(Unary::Ceil, [-2.0, -1.0, 0.0, 1.0, 2.0, 3.0]);
    each(Unary::Round, [-2.0, -1.0, 0.0, 0.0, 2.0, 3.0]);
    each(Unary::Abs, [2.5, 1.0, 0.25, 0.5, 1.5, 3.0]);
    each(Unary::Neg, [2.5, 1.0, 0.25, -0.5, -1.5, -3.0]);
    each(Unary::Sign, [-1.0, -1.0, -1.0, 1.0, 1.0, 1.0]);
    each(Unary::Reciprocal, [-0.4, -1.0, -4.0, 2.0, 1.0 / 1.5, 1.0 / 3.0]);
    let nan = Tensor::scalar(f32::NAN);
    for function in [Unary::Relu, Unary::Sign, Unary::Sqrt, Unary::Elu { alpha: 1.0 }] {
        assert!(apply(Op::Unary(function), &[&nan]).unwrap().f32s().unwrap()[0].is_nan());
    }
}

#[test]
fn functions_of_integers() {
    let x = Tensor::vector(vec![i32::MIN, -3, 0, 7]);
    expect_any(Op::RELU, &[&x], &[4], vec![0i32, 0, 0, 7]);
    expect_any(Op::Unary(Unary::Abs), &[&x], &[4], vec![i32::MIN, 3, 0, 7]);
    expect_any(Op::Unary(Unary::Neg), &[&x], &[4], vec![i32::MIN, 3, 0, -7]);
    expect_any(Op::Unary(Unary::Sign), &[&x], &[4], vec![-1i32, -1, 0, 1]);
    // Bounds between integers, and infinite ones.
    let clip = |min, max| Op::Unary(Unary::Clip { min, max });
    expect_any(clip(-2.5, 6.5), &[&x], &[4], vec![-2i32, -2, 0, 6]);
    expect_any(clip(f32::NEG_INFINITY, 0.0), &[&x], &[4], vec![i32::MIN, -3, 0, 0]);
    let bytes = Tensor::vector(vec![0u8, 200]);
    expect_any(clip(-5.0, 100.0), &[&bytes], &[2], vec![0u8, 100]);
    assert!(failure(Op::Unary(Unary::Exp), &[&x]).contains("needs float32"));
}

#[test]
fn arithmetic_of_integers() {
    let (a, b) = (Tensor::vector(vec![-7i64, 7, -7, 7]), Tensor::vector(vec![3i64, 3, -3, -3]));
    let pair = |function, expected: [i64; 4]| {
        expect_any(Op::Binary(function), &[&a, &b], &[4], expected.to_vec());
    };
    pair(Binary::Div, [-2, 2, 2, -2]);
    pair(Binary::Mod, [2, 1, -1, -2]);
    pair(Binary::Fmod, [-1, 1, -1, 1]);
    pair(Binary::Max, [3, 7, -3, 7]);
    pair(Binary::Min, [-7, 3, -7, -3]);
    let (high, one) = (Tensor::vector(vec![i8::MAX, i8::MIN]), Tensor::vector(vec![1i8, -1]));
    expect_any(Op::Binary(Binary::Add), &[&high, &one], &[2], vec![i8::MIN, i8::MAX]);
    expect_any(Op::Binary(Binary::Div), &[&high, &one], &[2], vec![i8::MAX, i8::MIN]);
    let zero = Tensor::vector(vec![1i8, 0]);
    for function in [Binary::Div, Binary::Mod, Binary::Fmod] {
        let message = failure(Op::Binary(function), &[&high, &zero]);
        assert!(message.contains("'node'") && message.contains("element 1 is divided by zero"));
    }
}

#[test]
fn arithmetic_of_floats() {
    let (a, b) = (Tensor::vector(vec![-5.5f32, 2.0]), Tensor::vector(vec![2.0f32, f32::NAN]));
    let both = |function| apply(Op::Binary(function), &[&a, &b]).unwrap().to_f32();
    assert_eq!(both(Binary::Pow)[0], 30.25);
    assert_eq!(both(Binary::Fmod)[0], -1.5);
    assert_eq!(both(Binary::PRelu)[0], -11.0);
    assert_eq!(both(Binary::PRelu)[1], 2.0);
    assert!(both(Binary::Max)[1].is_nan() && both(Binary::Min)[1].is_nan());
    let zero = Tensor::vector(vec![0f32, 0.0]);
    let quotients = apply(Op::Binary(Binary::Div), &[&a, &zero]).unwrap().to_f32();
    assert_eq!(quotients, [f32::NEG_INFINITY, f32::INFINITY]);
}

#[test]
fn comparisons_and_logic() {
    let (a, b) = (Tensor::vector(vec![1f32, 2.0, f32::NAN]), Tensor::vector(vec![2f32, 2.0, 2.0]));
    let compared = |function, expected: [bool; 3]| {
        expect_any(Op::Compare(function), &[&a, &b], &[3], expected.to_vec());
    };
    compared(Compare::Equal, [false, true, false]);
    compared(Compare::Less, [true, false, false]);
    compared(Compare::LessOrEqual, [true, true, false]);
    compared(Compare::Greater, [false, false, false]);
    compared(Compare::GreaterOrEqual, [false, true, false]);
    // int64 beyond what a float could tell apart.
    let big = Tensor::vector(vec![i64::MAX]);
    let next = Tensor::vector(vec![i64::MAX - 1]);
    expect_any(Op::Compare(Compare::Greater), &[&big, &next], &[1], vec![true]);
    let (p, q) = (tensor(&[2, 1], vec![false, true]), Tensor::vector(vec![false, true]));
    expect_any(Op::Logic(Logic::And), &[&p, &q], &[2, 2], vec![false, false, false, true]);
    expect_any(Op::Logic(Logic::Or), &[&p, &q], &[2, 2], vec![false, true, true, true]);
    expect_any(Op::Logic(Logic::Xor), &[&p, &q], &[2, 2], vec![false, true, true, false]);
    expect_any(Op::Not, &[&q], &[2], vec![true, false]);
    let odd = Tensor::vector(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0]);
    expect_any(Op::IsNan, &[&odd], &[4], vec![true, false, false, false]);
    let op = Op::IsInf { negative: true, positive: false };
    expect_any(op, &[&odd], &[4], vec![false, false, true, false]);
    let (x, y) = (Tensor::vector(vec![1i64, 2]), tensor(&[], vec![9i64]));
    expect_any(Op::Where, &[&p, &x, &y], &[2, 2], vec![9i64, 9, 1, 2]);
}

#[test]
fn casts() {
    let x = Tensor::vector(vec![-1.9f32, 300.7, f32::NAN, f32::NEG_INFINITY]);
    let to = |to| Op::Cast { to };
    expect_any(to(DType::U8), &[&x], &[4], vec![0u8, 255, 0, 0]);
    expect_any(to(DType::I8), &[&x], &[4], vec![-1i8, 127, 0, -128]);
    expect_any(to(DType::I64), &[&x], &[4], vec![-1i64, 300, 0, i64::MIN]);
    expect_any(to(DType::Bool), &[&x], &[4], vec![true; 4]);
    let wide = Tensor::vector(vec![-1i64, 256, 1 << 40]);
    expect_any(to(DType::U8), &[&wide], &[3], vec![255u8, 0, 0]);
    expect_any(to(DType::Bool), &[&wide], &[3], vec![true; 3]);
    expect(to(DType::F32), &[&Tensor::vector(vec![true, false])], &[2], &[1.0, 0.0]);
}
