use super::*;
use crate::testing::{assert_close, cases, everywhere, random};
use crate::{Activation, Epilogue};
use proptest::prelude::*;

fn shapes() -> impl Strategy<Value = ConvShape> {
    let kernel =
        prop_oneof![Just([1, 1]), Just([3, 3]), (1usize..5, 1usize..5).prop_map(|(a, b)| [a, b])];
    let dilation =
        prop_oneof![3 => Just([1, 1]), 1 => (1usize..3, 1usize..3).prop_map(|(a, b)| [a, b])];
    (
        (1usize..4, 1usize..9, 1usize..11, 1usize..7, 1usize..20),
        1usize..4,
        kernel,
        (1usize..4, 1usize..4),
        dilation,
        prop_oneof![Just([0; 4]), prop::array::uniform4(0usize..4)],
    )
        .prop_filter_map(
            "the kernel fits",
            |((n, h, w, ci, co), g, kernel, (sh, sw), dilation, pads)| {
                ConvShape::dilated([n, h, w, ci * g], co * g, kernel, [sh, sw], dilation, pads, g)
            },
        )
}

/// Calls `f(output index, input index, weight index)` for every product of the convolution.
fn products(c: &ConvShape, mut f: impl FnMut(usize, usize, usize)) {
    let (ci, co) = (c.cin_per_group(), c.cout_per_group());
    for o in 0..c.out_len() {
        let (channel, pixel) = (o % c.cout, o / c.cout);
        let (ox, oy, n) = (pixel % c.ow, pixel / c.ow % c.oh, pixel / c.ow / c.oh);
        for k in 0..c.k() {
            let (i, kx, ky) = (k % ci, k / ci % c.kw, k / ci / c.kw);
            let iy = (oy * c.sh + ky * c.dh) as isize - c.pt as isize;
            let ix = (ox * c.sw + kx * c.dw) as isize - c.pl as isize;
            if (0..c.h as isize).contains(&iy) && (0..c.w as isize).contains(&ix) {
                let pixel = (n * c.h + iy as usize) * c.w + ix as usize;
                f(o, pixel * c.cin + channel / co * ci + i, k * c.cout + channel);
            }
        }
    }
}

/// As [`shapes`], wide enough for tiles of which some read the input where it lies.
fn wide_shapes() -> impl Strategy<Value = ConvShape> {
    let kernel = prop_oneof![Just([1, 1]), Just([3, 3]), Just([5, 2]), Just([1, 7])];
    (
        (1usize..3, 1usize..5, 1usize..70, 1usize..6, 1usize..40),
        1usize..3,
        kernel,
        (1usize..3, 1usize..3),
        prop_oneof![3 => Just([1, 1]), 1 => Just([2, 2])],
        prop_oneof![Just([0; 4]), Just([1; 4]), prop::array::uniform4(0usize..4)],
    )
        .prop_filter_map(
            "the kernel fits",
            |((n, h, w, ci, co), g, kernel, (sh, sw), dilation, pads)| {
                ConvShape::dilated([n, h, w, ci * g], co * g, kernel, [sh, sw], dilation, pads, g)
            },
        )
}

/// The convolution in f64.
fn expected(shape: &ConvShape, x: &[f32], w: &[f32]) -> Vec<f64> {
    let mut want = vec![0.0; shape.out_len()];
    products(shape, |o, i, k| want[o] += f64::from(x[i]) * f64::from(w[k]));
    want
}

/// Every row of every image by `row(output row, input rows, epilogue)`, where the input rows are
/// those of `image`, of `height` rows of `len` floats.
fn by_rows(shape: &ConvShape, x: &[f32], mut row: impl FnMut(usize, &[&[f32]])) {
    let len = shape.w * shape.cin;
    for i in 0..shape.n * shape.oh {
        let (image, oy) = (i / shape.oh, i % shape.oh);
        let rows: Vec<&[f32]> = (0..shape.kh)
            .map(|ky| {
                let y = (oy * shape.sh + ky * shape.dh).wrapping_sub(shape.pt);
                if y < shape.h { &x[(image * shape.h + y) * len..][..len] } else { &[] }
            })
            .collect();
        row(i, &rows);
    }
}

fn sums(old: &[f32], accumulate: bool) -> Vec<f64> {
    old.iter().map(|&x| if accumulate { x.into() } else { 0.0 }).collect()
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn forward_agrees_with_f64(shape in shapes(), seed: u64, bias: bool, residual: bool) {
        let x = random(shape.in_len(), seed);
        let w = random(shape.weight_len(), seed ^ 1);
        let b = random(shape.cout, seed ^ 2);
        let skip = random(shape.out_len(), seed ^ 3);
        let packed = ConvWeights::pack(&shape, &w);
        let epilogue = Epilogue {
            bias: bias.then_some(&b[..]),
            residual: residual.then_some((&skip[..], shape.cout)),
            activation: Activation::Clamp(-2.0, 2.0),
            ..Epilogue::default()
        };
        let got = everywhere(|ctx| {
            let mut out = vec![f32::NAN; shape.out_len()];
            let mut scratch = vec![f32::NAN; conv_scratch_len(&shape, ctx.pool.threads())];
            conv(ctx, &shape, &x, &packed, &mut out, &mut scratch, &epilogue);
            out
        });
        let mut want = vec![0.0; shape.out_len()];
        products(&shape, |o, i, k| want[o] += f64::from(x[i]) * f64::from(w[k]));
        for (i, y) in want.iter_mut().enumerate() {
            *y += if bias { f64::from(b[i % shape.cout]) } else { 0.0 };
            *y += if residual { f64::from(skip[i]) } else { 0.0 };
            *y = y.clamp(-2.0, 2.0);
        }
        assert_close(&got, &want, 1e-5);
    }

    #[test]
    fn rows_have_the_bits_of_the_whole(
        shape in wide_shapes(), gap in 0usize..3, seed: u64, residual: bool, interleave: bool,
    ) {
        let x = random(shape.in_len(), seed);
        let w = random(shape.weight_len(), seed ^ 1);
        let b = random(shape.cout, seed ^ 2);
        let other = random(shape.out_len(), seed ^ 3);
        let packed = ConvWeights::pack(&shape, &w);
        let matrix = Some((&other[..], shape.cout));
        let epilogue = Epilogue {
            residual: matrix.filter(|_| residual),
            interleave: matrix.filter(|_| interleave),
            ..Epilogue::biased(Some(&b), Activation::HardSwish)
        };
        let width = epilogue.width(shape.cout);
        let whole = everywhere(|ctx| {
            let mut out = vec![f32::NAN; shape.out_pixels() * width];
            let mut scratch = vec![f32::NAN; conv_scratch_len(&shape, ctx.pool.threads())];
            conv(ctx, &shape, &x, &packed, &mut out, &mut scratch, &epilogue);
            out
        });
        let rows = everywhere(|ctx| {
            let stride = width + gap;
            let mut out = vec![7.0; shape.n * shape.oh * shape.ow * stride];
            by_rows(&shape, &x, |i, rows| {
                let out = &mut out[i * shape.ow * stride..(i + 1) * shape.ow * stride];
                let epilogue = epilogue.rows_from(i * shape.ow);
                conv_row(ctx.isa, &shape, rows, shape.cin, &packed, out, stride, &epilogue);
            });
            assert!(out.chunks_exact(stride).all(|pixel| pixel[width..].iter().all(|&x| x == 7.0)));
            out.chunks_exact(stride).flat_map(|pixel| pixel[..width].to_vec()).collect()
        });
        let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&rows), bits(&whole));
        let want: Vec<f64> = expected(&shape, &x, &w)
            .iter()
            .enumerate()
            .map(|(i, y)| {
                let skip = if residual { f64::from(other[i]) } else { 0.0 };
                let y = y + f64::from(b[i % shape.cout]) + skip;
                y * (y / 6.0 + 0.5).clamp(0.0, 1.0)
            })
            .collect();
        let got: Vec<f32> = if interleave {
            whole.chunks_exact(2).map(|pair| pair[1]).collect()
        } else {
            whole
        };
        assert_close(&got, &want, 1e-5);
    }

    #[test]
    fn planes_agree_with_f64(shape in wide_shapes(), seed: u64) {
        let shape = ConvShape { groups: 1, ..shape };
        let x = random(shape.in_len(), seed);
        let w = random(shape.weight_len(), seed ^ 1);
        let packed = ConvWeights::pack_planar(&shape, &w);
        // Plane c of an image, `[n, c, h, w]`.
        let planes: Vec<f32> = (0..shape.in_len())
            .map(|i| {
                let (column, y, c) =
                    (i % shape.w, i / shape.w % shape.h, i / shape.w / shape.h % shape.cin);
                let image = i / (shape.w * shape.h * shape.cin);
                x[((image * shape.h + y) * shape.w + column) * shape.cin + c]
            })
            .collect();
        let got = everywhere(|ctx| {
            let mut out = vec![f32::NAN; shape.out_len()];
            for i in 0..shape.n * shape.oh {
                let (image, oy) = (i / shape.oh, i % shape.oh);
                let rows: Vec<&[f32]> = (0..shape.cin * shape.kh)
                    .map(|row| {
                        let (c, ky) = (row / shape.kh, row % shape.kh);
                        let y = (oy * shape.sh + ky * shape.dh).wrapping_sub(shape.pt);
                        let first = (image * shape.cin + c) * shape.h;
                        if y < shape.h { &planes[(first + y) * shape.w..][..shape.w] } else { &[] }
                    })
                    .collect();
                let out = &mut out[i * shape.ow * shape.cout..][..shape.ow * shape.cout];
                let epilogue = Epilogue::default();
                planar_conv_row(ctx.isa, &shape, &rows, &packed, out, shape.cout, &epilogue);
            }
            out
        });
        assert_close(&got, &expected(&shape, &x, &w), 1e-5);
    }

    #[test]
    fn shuffled_channels_are_read_where_they_lie(
        n in 1usize..40, shuffle in 2usize..5, groups in 1usize..5, co in 1usize..30,
        kernel in 1usize..3, w in 1usize..40, seed: u64,
    ) {
        let cin = n * shuffle * groups;
        let shape = ConvShape::dilated(
            [1, 3, w + 1, cin], co * groups, [kernel; 2], [1; 2], [1; 2], [0; 4], groups,
        ).expect("it fits");
        let x = random(shape.in_len(), seed);
        let weights = random(shape.weight_len(), seed ^ 1);
        let packed = ConvWeights::pack_shuffled(&shape, &weights, shuffle);
        let whole = everywhere(|ctx| {
            let mut out = vec![f32::NAN; shape.out_len()];
            let mut scratch = vec![f32::NAN; conv_scratch_len(&shape, ctx.pool.threads())];
            conv(ctx, &shape, &x, &packed, &mut out, &mut scratch, &Epilogue::default());
            out
        });
        let rows = everywhere(|ctx| {
            let mut out = vec![f32::NAN; shape.out_len()];
            by_rows(&shape, &x, |i, rows| {
                let out = &mut out[i * shape.ow * shape.cout..][..shape.ow * shape.cout];
                let epilogue = Epilogue::default();
                conv_row(ctx.isa, &shape, rows, cin, &packed, out, shape.cout, &epilogue);
            });
            out
        });
        let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&rows), bits(&whole));
        let shuffled: Vec<f32> = (0..x.len())
            .map(|i| {
                let (pixel, c) = (i / cin, i % cin);
                x[pixel * cin + c % shuffle * (cin / shuffle) + c / shuffle]
            })
            .collect();
        // Up to 624 products of numbers below 1: partial sums reach sqrt(624 / 9) = 8, of which half a
        // unit in the last place is 4.8e-7. sqrt(624) of them are 7e-6, four deviations 2.8e-5.
        assert_close(&whole, &expected(&shape, &shuffled, &weights), 4e-5);
    }

    #[test]
    fn input_gradient_agrees_with_f64(shape in shapes(), seed: u64, accumulate: bool) {
        let dy = random(shape.out_len(), seed);
        let w = random(shape.weight_len(), seed ^ 1);
        let old = random(shape.in_len(), seed ^ 2);
        let mut packed = ConvWeights::default();
        packed.repack_for_input_gradient(&shape, &w);
        let got = everywhere(|ctx| {
            let mut dx = old.clone();
            let len = conv_backward_input_scratch_len(&shape, ctx.pool.threads());
            let mut scratch = vec![f32::NAN; len];
            conv_backward_input(ctx, &shape, &dy, &packed, &mut dx, &mut scratch, accumulate);
            dx
        });
        let mut want = sums(&old, accumulate);
        products(&shape, |o, i, k| want[i] += f64::from(dy[o]) * f64::from(w[k]));
        assert_close(&got, &want, 1e-5);
    }

    #[test]
    fn weight_gradient_agrees_with_f64(shape in shapes(), seed: u64, accumulate: bool) {
        let x = random(shape.in_len(), seed);
        let dy = random(shape.out_len(), seed ^ 1);
        let old = random(shape.weight_len(), seed ^ 2);
        let got = everywhere(|ctx| {
            let mut dw = old.clone();
            let mut scratch = vec![f32::NAN; conv_backward_weight_scratch_len(&shape)];
            conv_backward_weight(ctx, &shape, &x, &dy, &mut dw, &mut scratch, accumulate);
            dw
        });
        let mut want = sums(&old, accumulate);
        products(&shape, |o, i, k| want[k] += f64::from(dy[o]) * f64::from(x[i]));
        assert_close(&got, &want, 5e-5);
    }

    #[test]
    fn taps_list_the_same_pairs_from_both_sides(
        size in 1usize..12, kernel in 1usize..6, stride in 1usize..4,
        dilation in 1usize..4, before in 0usize..7, after in 0usize..7,
    ) {
        let Some(out) = output_len(size, kernel, stride, dilation, before, after) else {
            return Ok(());
        };
        let shape = ConvShape::dilated(
            [1, size, 1, 1], 1, [kernel, 1], [stride, 1], [dilation, 1], [before, 0, after, 0], 1,
        ).expect("the kernel fits");
        let list = |taps: Taps| (0..taps.count).map(move |i| {
            (taps.tap + i * taps.tap_step, (taps.at as isize + i as isize * taps.at_step) as usize)
        });
        let mut from_outputs: Vec<_> = (0..out)
            .flat_map(|o| list(shape.rows_of(o)).map(move |(tap, i)| (o, tap, i)))
            .collect();
        let mut from_inputs: Vec<_> = (0..size)
            .flat_map(|i| {
                list(Taps::backward(i, out, kernel, stride, dilation, before))
                    .map(move |(tap, o)| (o, tap, i))
            })
            .collect();
        let all: Vec<_> = (0..out)
            .flat_map(|o| (0..kernel).map(move |t| (o, t)))
            .filter_map(|(o, t)| {
                let i = (o * stride + t * dilation).checked_sub(before)?;
                (i < size).then_some((o, t, i))
            })
            .collect();
        from_outputs.sort();
        from_inputs.sort();
        prop_assert_eq!(&from_outputs, &all);
        prop_assert_eq!(&from_inputs, &all);
    }
}

#[test]
fn large_weights_pass_in_blocks() {
    // 9 * 160 * 64 weights are more than stay in the cache; the blocks are rows, columns where the
    // map is small, and several per image where it is large.
    for (n, size, cout, groups) in [(2, 9, 64, 1), (1, 3, 70, 1), (1, 20, 64, 1), (1, 5, 160, 2)] {
        let shape = ConvShape::dilated(
            [n, size, size, 160 * groups],
            cout,
            [3, 3],
            [1, 1],
            [1, 1],
            [1; 4],
            groups,
        )
        .expect("it fits");
        let (x, w) = (random(shape.in_len(), 1), random(shape.weight_len(), 2));
        let packed = ConvWeights::pack(&shape, &w);
        let other = random(shape.out_len(), 3);
        let epilogue = Epilogue { residual: Some((&other, shape.cout)), ..Epilogue::default() };
        let got = everywhere(|ctx| {
            let mut out = vec![0.0; shape.out_len()];
            let mut scratch = vec![f32::NAN; conv_scratch_len(&shape, ctx.pool.threads())];
            conv(ctx, &shape, &x, &packed, &mut out, &mut scratch, &epilogue);
            out
        });
        let mut want = expected(&shape, &x, &w);
        want.iter_mut().zip(&other).for_each(|(y, &other)| *y += f64::from(other));
        assert_close(&got, &want, 1e-4);
    }
}

#[test]
fn edges_too_large_to_copy_and_kernels_of_many_taps() {
    for (cin, groups, kernel, pads) in
        [(2000, 1, [3, 3], [1; 4]), (6, 2, [10, 9], [4; 4]), (3, 1, [40, 2], [20, 1, 20, 0])]
    {
        let shape = ConvShape::dilated([1, 11, 30, cin], 4, kernel, [2, 1], [1, 1], pads, groups)
            .expect("it fits");
        let (x, w) = (random(shape.in_len(), 1), random(shape.weight_len(), 2));
        let packed = ConvWeights::pack(&shape, &w);
        let got = everywhere(|ctx| {
            let mut out = vec![0.0; shape.out_len()];
            by_rows(&shape, &x, |i, rows| {
                let out = &mut out[i * shape.ow * shape.cout..][..shape.ow * shape.cout];
                let epilogue = Epilogue::default();
                conv_row(ctx.isa, &shape, rows, cin, &packed, out, shape.cout, &epilogue);
            });
            out
        });
        assert_close(&got, &expected(&shape, &x, &w), 3e-4);
    }
}

#[test]
fn sizes_that_do_not_fit_give_none() {
    assert_eq!(output_len(5, 3, 2, 1, 1, 1), Some(3));
    assert_eq!(output_len(2, 3, 1, 1, 0, 0), None);
    assert_eq!(output_len(5, 3, 0, 1, 0, 0), None);
    assert_eq!(output_len(5, 0, 1, 1, 0, 0), None);
    assert_eq!(output_len(5, 3, 1, 0, 0, 0), None);
    assert_eq!(output_len(usize::MAX, 3, 1, 1, 1, 1), None);
    assert_eq!(output_len(5, usize::MAX, 1, 3, 1, 1), None);
}
