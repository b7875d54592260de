//! Convolutions and pooling.

use super::*;

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
fn transposed_convolution_spreads_pixels() {
    let x = tensor(&[1, 1, 1, 2], vec![1f32, 2.0]);
    let w = tensor(&[1, 2, 1, 3], vec![1f32, 10.0, 100.0, 0.0, 0.0, 1.0]);
    let bias = Tensor::vector(vec![0f32, 0.5]);
    let op = |window, output_padding| {
        Op::ConvTranspose(ConvTranspose { window, groups: 1, output_padding })
    };
    let window = Window::new([1, 3], [1, 2]);
    let spread = [1.0, 10.0, 102.0, 20.0, 200.0, 0.5, 0.5, 1.5, 0.5, 2.5];
    expect(op(window, [0, 0]), &[&x, &w, &bias], &[1, 2, 1, 5], &spread);
    // Pads cut; output padding adds what only the bias reaches.
    let cut = Window { pads: [0, 1, 0, 0], ..window };
    let expected = [10.0, 102.0, 20.0, 200.0, 0.0, 0.5, 1.5, 0.5, 2.5, 0.5];
    expect(op(cut, [0, 1]), &[&x, &w, &bias], &[1, 2, 1, 5], &expected);
}

#[test]
fn convolution_of_integers_pads_with_the_zero_point() {
    let x = tensor(&[1, 1, 1, 3], vec![10u8, 11, 12]);
    let w = tensor(&[2, 1, 1, 3], vec![1i8, 2, 3, 5, 5, 5]);
    let window = Window { pads: [0, 1, 0, 1], ..Window::new([1, 3], [1, 1]) };
    let op = Op::ConvInteger(Conv { window, groups: 1 });
    let (zero, zeros) = (tensor(&[], vec![10u8]), Tensor::vector(vec![0i8, 4]));
    // The input is 0, 1, 2; the second map counts all taps once.
    let expected = vec![3i32, 8, 5, 1, 3, 3];
    expect_any(op, &[&x, &w, &zero, &zeros], &[1, 2, 1, 3], expected);
}

#[test]
fn pools_of_bytes_and_of_powers() {
    let window = Window { pads: [0, 0, 0, 1], ..Window::new([1, 2], [1, 1]) };
    let pool = Pool { window, ceil_mode: false, count_include_pad: false };
    let x = tensor(&[1, 1, 1, 3], vec![-5i8, -3, -7]);
    expect_any(Op::MaxPool(pool), &[&x], &[1, 1, 1, 3], vec![-3i8, -3, -7]);
    let x = tensor(&[1, 1, 1, 3], vec![3f32, -4.0, 0.0]);
    expect(Op::LpPool { pool, p: 2 }, &[&x], &[1, 1, 1, 3], &[5.0, 4.0, 0.0]);
    expect(Op::LpPool { pool, p: 1 }, &[&x], &[1, 1, 1, 3], &[7.0, 4.0, 0.0]);
    expect(Op::LpPool { pool, p: 3 }, &[&x], &[1, 1, 1, 3], &[91f32.cbrt(), 4.0, 0.0]);
}
