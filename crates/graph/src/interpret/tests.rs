use super::*;
use crate::{Binary, Builder, Conv, Cut, Data, Gemm, Pool, Unary, Window};

fn tensor(shape: &[usize], values: impl Into<Data>) -> Tensor {
    Tensor::new(shape, values).unwrap()
}

fn ramp(shape: &[usize]) -> Tensor {
    let len = shape.iter().product::<usize>();
    tensor(shape, (0..len).map(|i| i as f32).collect::<Vec<_>>())
}

/// Runs one operator on concrete inputs.
fn apply(op: Op, inputs: &[&Tensor]) -> Result<Tensor> {
    let node = Node { name: "node".into(), op, inputs: vec![], outputs: vec![] };
    let inputs: Vec<Option<&Tensor>> = inputs.iter().map(|&t| Some(t)).collect();
    Ok(run_node(&Graph::default(), &node, &inputs)?.remove(0))
}

fn expect(op: Op, inputs: &[&Tensor], shape: &[usize], values: &[f32]) {
    let name = op.name();
    let result = apply(op, inputs).unwrap();
    assert_eq!(result.shape(), shape, "{name}");
    assert_eq!(result.f32s().unwrap(), values, "{name}");
}

#[test]
fn convolution_with_padding_stride_groups_and_dilation() {
    let x = ramp(&[1, 2, 3, 3]);
    let ones = tensor(&[2, 1, 3, 3], vec![1f32; 18]);
    let bias = tensor(&[2], vec![0f32, 100.0]);
    let window = Window::same(3, 2);
    // Corners of a 3x3 image see its 2x2 corner blocks.
    let corners = [8.0, 12.0, 20.0, 24.0, 144.0, 148.0, 156.0, 160.0];
    expect(Op::Conv(Conv { window, groups: 2 }), &[&x, &ones, &bias], &[1, 2, 2, 2], &corners);
    // Dilated taps reach the corners of the image; both channels are summed.
    let window = Window { dilations: [2, 2], ..Window::new([2, 2], [1, 1]) };
    let ones = tensor(&[1, 2, 2, 2], vec![1f32; 8]);
    let sum = (2 + 6 + 8 + 9 + 11 + 15 + 17) as f32;
    expect(Op::Conv(Conv { window, groups: 1 }), &[&x, &ones], &[1, 1, 1, 1], &[sum]);
}

#[test]
fn convolution_with_asymmetric_padding() {
    let x = ramp(&[1, 1, 1, 4]);
    let w = tensor(&[1, 1, 1, 3], vec![1f32, 10.0, 100.0]);
    let window = Window { pads: [0, 2, 0, 0], ..Window::new([1, 3], [1, 1]) };
    let expected = [0.0, 100.0, 210.0, 321.0];
    expect(Op::Conv(Conv { window, groups: 1 }), &[&x, &w], &[1, 1, 1, 4], &expected);
}

#[test]
fn convolution_agrees_with_the_definition() {
    // Every combination against a loop that tests each tap for padding.
    for (kernel, stride, dilation, pad) in [
        ([1, 1], 1, 1, 0),
        ([3, 2], 2, 1, 1),
        ([2, 3], 1, 3, 2),
        ([5, 5], 3, 1, 4),
        ([3, 3], 2, 2, 0),
    ] {
        let mut rng = crate::rng::Rng::new(stride as u64);
        let mut random = |shape: &[usize]| {
            let len = shape.iter().product::<usize>();
            tensor(shape, (0..len).map(|_| rng.normal()).collect::<Vec<_>>())
        };
        let x = random(&[2, 4, 7, 9]);
        let w = random(&[6, 2, kernel[0], kernel[1]]);
        let window = Window {
            kernel,
            strides: [stride, stride + 1],
            dilations: [dilation, 1],
            pads: [pad, 0, 1, pad],
        };
        let y = apply(Op::Conv(Conv { window, groups: 2 }), &[&x, &w]).unwrap();
        let at = |t: &Tensor, i: [usize; 4]| {
            let s = t.shape();
            t.f32s().unwrap()[((i[0] * s[1] + i[1]) * s[2] + i[2]) * s[3] + i[3]]
        };
        for index in 0..y.len() {
            let s = y.shape();
            let (ox, oy) = (index % s[3], index / s[3] % s[2]);
            let (m, n) = (index / s[3] / s[2] % s[1], index / s[3] / s[2] / s[1]);
            let mut sum = 0f64;
            for (c, ky, kx) in (0..2)
                .flat_map(|c| (0..kernel[0]).map(move |y| (c, y)))
                .flat_map(|(c, y)| (0..kernel[1]).map(move |x| (c, y, x)))
            {
                let iy = (oy * window.strides[0] + ky * dilation) as isize - pad as isize;
                let ix = (ox * window.strides[1] + kx) as isize;
                if (0..7).contains(&iy) && (0..9).contains(&ix) {
                    let v = at(&x, [n, m / 3 * 2 + c, iy as usize, ix as usize]);
                    sum += f64::from(v) * f64::from(at(&w, [m, c, ky, kx]));
                }
            }
            assert_eq!(at(&y, [n, m, oy, ox]), sum as f32, "{window:?}");
        }
    }
}

#[test]
fn matrix_products() {
    let (a, b) = (ramp(&[2, 3]), ramp(&[3, 2]));
    expect(Op::MatMul, &[&a, &b], &[2, 2], &[10.0, 13.0, 28.0, 40.0]);
    let c = tensor(&[2, 1], vec![1f32, 2.0]);
    let gemm = Gemm { alpha: 2.0, beta: 10.0, trans_a: false, trans_b: false };
    expect(Op::Gemm(gemm), &[&a, &b, &c], &[2, 2], &[30.0, 36.0, 76.0, 100.0]);
    let gemm = Gemm { alpha: 1.0, beta: 1.0, trans_a: true, trans_b: true };
    expect(Op::Gemm(gemm), &[&b, &a], &[2, 2], &[10.0, 28.0, 13.0, 40.0]);
    // A stack of one matrix broadcasts against a stack of two.
    let stack = ramp(&[2, 1, 3]);
    let result = apply(Op::MatMul, &[&stack, &b]).unwrap();
    assert_eq!(
        (result.shape(), result.f32s().unwrap()),
        (&[2, 1, 2][..], &[10.0, 13.0, 28.0, 40.0][..])
    );
}

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

#[test]
fn batch_norm_is_per_channel() {
    let x = ramp(&[1, 2, 1, 2]);
    let v = |a: f32, b: f32| tensor(&[2], vec![a, b]);
    let inputs = [&x, &v(2.0, 1.0), &v(0.0, 5.0), &v(1.0, 2.0), &v(4.0, 0.25)];
    let op = Op::BatchNorm { epsilon: 0.0, momentum: 0.9 };
    expect(op, &inputs, &[1, 2, 1, 2], &[-1.0, 0.0, 5.0, 7.0]);
}

#[test]
fn pooling_counts_its_divisor() {
    let x = ramp(&[1, 1, 3, 3]);
    let pool = |count_include_pad, ceil_mode, window| Pool { window, ceil_mode, count_include_pad };
    let padded = Window { pads: [1; 4], ..Window::new([2, 2], [2, 2]) };
    let plain = Op::AveragePool(pool(false, false, padded));
    expect(plain, &[&x], &[1, 1, 2, 2], &[0.0, 1.5, 4.5, 6.0]);
    let counted = Op::AveragePool(pool(true, false, padded));
    expect(counted, &[&x], &[1, 1, 2, 2], &[0.0, 0.75, 2.25, 6.0]);
    // Ceil mode adds a last row and column of partial windows.
    let window = Window::new([2, 2], [2, 2]);
    expect(Op::MaxPool(pool(false, true, window)), &[&x], &[1, 1, 2, 2], &[4.0, 5.0, 7.0, 8.0]);
    let ceil = Op::AveragePool(pool(true, true, window));
    expect(ceil, &[&x], &[1, 1, 2, 2], &[2.0, 3.5, 6.5, 8.0]);
    let dilated = Window { dilations: [2, 2], ..Window::new([2, 2], [1, 1]) };
    expect(Op::MaxPool(pool(false, false, dilated)), &[&x], &[1, 1, 1, 1], &[8.0]);
    expect(Op::GlobalAveragePool, &[&x], &[1, 1, 1, 1], &[4.0]);
}

#[test]
fn a_window_of_padding_only_is_defined() {
    // Taps at -1 and 1 of an image with one column.
    let x = ramp(&[1, 1, 3, 1]);
    let window = Window { dilations: [1, 2], pads: [0, 1, 0, 1], ..Window::new([1, 2], [1, 1]) };
    let pool = Pool { window, ceil_mode: false, count_include_pad: false };
    expect(Op::AveragePool(pool), &[&x], &[1, 1, 3, 1], &[0.0; 3]);
    expect(Op::MaxPool(pool), &[&x], &[1, 1, 3, 1], &[f32::NEG_INFINITY; 3]);
}

#[test]
fn reductions() {
    let x = ramp(&[2, 3]);
    expect(
        Op::Reduce { kind: Reduction::Mean, axes: vec![1], keep_dims: true },
        &[&x],
        &[2, 1],
        &[1.0, 4.0],
    );
    expect(
        Op::Reduce { kind: Reduction::Mean, axes: vec![0], keep_dims: false },
        &[&x],
        &[3],
        &[1.5, 2.5, 3.5],
    );
    expect(
        Op::Reduce { kind: Reduction::Mean, axes: vec![0, 1], keep_dims: false },
        &[&x],
        &[],
        &[2.5],
    );
    let large = tensor(&[2, 2], vec![1000f32, 1000.0, 0.0, 3f32.ln()]);
    let soft = apply(Op::Softmax { axis: 1 }, &[&large]).unwrap();
    let expected = [0.5, 0.5, 0.25, 0.75];
    assert!(soft.f32s().unwrap().iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6));
}

#[test]
fn rearrangements() {
    let x = ramp(&[2, 3]);
    expect(Op::Transpose { perm: vec![1, 0] }, &[&x], &[3, 2], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    let column = tensor(&[2, 1], vec![8f32, 9.0]);
    expect(
        Op::Concat { axis: 1 },
        &[&x, &column],
        &[2, 4],
        &[0.0, 1.0, 2.0, 8.0, 3.0, 4.0, 5.0, 9.0],
    );
    let pad = Op::Pad { before: vec![0, 1], after: vec![1, 0], mode: PadMode::Constant(-1.0) };
    let padded = [-1.0, 0.0, 1.0, 2.0, -1.0, 3.0, 4.0, 5.0, -1.0, -1.0, -1.0, -1.0];
    expect(pad, &[&x], &[3, 4], &padded);
    let cuts = vec![Cut { axis: 1, start: 0, len: 2, step: 2 }];
    expect(Op::Slice { cuts }, &[&x], &[2, 2], &[0.0, 2.0, 3.0, 5.0]);
    expect(Op::Flatten { axis: 0 }, &[&x], &[1, 6], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    expect(
        Op::Unsqueeze { axes: vec![0, 3] },
        &[&x],
        &[1, 2, 3, 1],
        &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
    );
    let bytes =
        apply(Op::Transpose { perm: vec![1, 0] }, &[&tensor(&[1, 2], vec![3u8, 4])]).unwrap();
    assert_eq!(bytes.u8s().unwrap(), [3, 4]);
}

#[test]
fn quantisation_rounds_half_to_even_and_saturates() {
    let x = tensor(&[6], vec![0.5f32, 1.5, -0.5, 1000.0, -1000.0, 2.4]);
    let (one, zero) = (Tensor::scalar(1.0), tensor(&[], vec![10u8]));
    let q = apply(Op::Quantize { axis: 0 }, &[&x, &one, &zero]).unwrap();
    assert_eq!(q.u8s().unwrap(), [10, 12, 10, 255, 0, 12]);
    let back = apply(Op::Dequantize { axis: 0 }, &[&q, &one, &zero]).unwrap();
    assert_eq!(back.f32s().unwrap(), [0.0, 2.0, 0.0, 245.0, -10.0, 2.0]);
    // One scale for each row.
    let w = tensor(&[2, 2], vec![1i8, -2, 3, 4]);
    let scales = tensor(&[2], vec![0.5f32, 10.0]);
    expect(Op::Dequantize { axis: 0 }, &[&w, &scales], &[2, 2], &[0.5, -1.0, 30.0, 40.0]);
}

fn small() -> Graph {
    let mut b = Builder::new("small", 3);
    let x = b.input("image", ["n".into(), 2.into(), 4.into(), 4.into()]);
    let y = b.conv(x, "conv", 2, Window::same(3, 1), 1, true).unwrap();
    let z = b.add(x, y).unwrap();
    b.finish(&[z, x]).unwrap()
}

#[test]
fn batch_is_taken_from_the_inputs() {
    let graph = small();
    let outputs = run(&graph, &[ramp(&[3, 2, 4, 4])]).unwrap();
    assert_eq!(outputs[0].shape(), [3, 2, 4, 4]);
    assert_eq!(outputs[1].f32s().unwrap()[95], 95.0);
    let mut seen = vec![];
    run_with(&graph, &[ramp(&[1, 2, 4, 4])], &mut |id, t| {
        seen.push((graph.value(id).name.clone(), t.len()));
    })
    .unwrap();
    let names: Vec<&str> = seen.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["image", "conv", "image.add"]);
}

#[test]
fn wrong_inputs_are_explained() {
    let graph = small();
    let message = |inputs: &[Tensor]| run(&graph, inputs).unwrap_err().to_string();
    assert_eq!(message(&[]), "graph 'small': needs 1 inputs, got 0");
    let wrong = message(&[ramp(&[1, 3, 4, 4])]);
    assert_eq!(wrong, "input 'image': expected [n, 2, 4, 4] (n = 1), got [1, 3, 4, 4]");
    let bytes = message(&[tensor(&[1, 2, 4, 4], vec![0u8; 32])]);
    assert_eq!(bytes, "tensor 'image' is uint8, expected float32");
}

#[test]
fn one_symbol_means_one_size() {
    let mut b = Builder::new("two", 0);
    let x = b.input("x", ["n".into(), 2.into()]);
    let y = b.input("y", ["n".into(), 2.into()]);
    let z = b.add(x, y).unwrap();
    let graph = b.finish(&[z]).unwrap();
    let error = run(&graph, &[ramp(&[2, 2]), ramp(&[1, 2])]).unwrap_err().to_string();
    assert_eq!(error, "input 'y': expected [n, 2] (n = 2), got [1, 2]");
}

#[test]
fn operators_reject_inputs_that_do_not_fit() {
    let window = Window::new([3, 3], [1, 1]);
    let conv = Op::Conv(Conv { window, groups: 1 });
    let error = apply(conv.clone(), &[&ramp(&[1, 1, 2, 2]), &ramp(&[1, 1, 3, 3])]).unwrap_err();
    assert!(error.to_string().contains("exceeds its input"), "{error}");
    assert!(apply(conv, &[&ramp(&[1, 1, 2, 2])]).is_err());
    assert!(apply(Op::Concat { axis: 0 }, &[]).is_err());
}

#[test]
fn empty_batches_are_allowed() {
    let outputs = run(&small(), &[tensor(&[0, 2, 4, 4], Vec::<f32>::new())]).unwrap();
    assert_eq!(outputs[0].shape(), [0, 2, 4, 4]);
    let x = tensor(&[0, 3, 2, 2], Vec::<f32>::new());
    assert_eq!(apply(Op::GlobalAveragePool, &[&x]).unwrap().shape(), [0, 3, 1, 1]);
    assert_eq!(apply(Op::Softmax { axis: 1 }, &[&x]).unwrap().len(), 0);
    assert_eq!(apply(Op::Transpose { perm: vec![3, 1, 0, 2] }, &[&x]).unwrap().len(), 0);
}
