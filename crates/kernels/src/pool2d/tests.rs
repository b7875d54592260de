use super::*;
use crate::testing::{assert_close, cases, everywhere, random};
use proptest::prelude::*;

fn shapes() -> impl Strategy<Value = (ConvShape, [usize; 4])> {
    (
        (1usize..4, 1usize..9, 1usize..9, 1usize..40),
        (1usize..4, 1usize..4),
        (1usize..4, 1usize..4),
        (1usize..3, 1usize..3),
        prop::array::uniform4(0usize..3),
    )
        .prop_filter_map("it fits", |((n, h, w, c), (kh, kw), (sh, sw), (dh, dw), pads)| {
            let input = [n, h, w, c];
            ConvShape::dilated(input, c, [kh, kw], [sh, sw], [dh, dw], pads, c).map(|s| (s, pads))
        })
}

/// For each output pixel: the input pixels (over all images) in its window, and how many positions
/// lie inside the padded input.
fn windows(c: &ConvShape, [_, _, bottom, right]: [usize; 4]) -> Vec<(Vec<usize>, usize)> {
    let mut all = Vec::new();
    for pixel in 0..c.out_pixels() {
        let (n, oy, ox) = (pixel / c.ow / c.oh, pixel / c.ow % c.oh, pixel % c.ow);
        let (mut pixels, mut padded) = (Vec::new(), 0);
        for (ky, kx) in (0..c.kh).flat_map(|ky| (0..c.kw).map(move |kx| (ky, kx))) {
            let iy = (oy * c.sh + ky * c.dh) as isize - c.pt as isize;
            let ix = (ox * c.sw + kx * c.dw) as isize - c.pl as isize;
            padded += usize::from(iy < (c.h + bottom) as isize && ix < (c.w + right) as isize);
            if (0..c.h as isize).contains(&iy) && (0..c.w as isize).contains(&ix) {
                pixels.push((n * c.h + iy as usize) * c.w + ix as usize);
            }
        }
        all.push((pixels, padded));
    }
    all
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn max_pool_and_its_gradient_agree_with_the_definition((shape, pads) in shapes(), seed: u64) {
        // Few distinct values, so that ties happen.
        let x: Vec<f32> =
            random(shape.in_len(), seed).iter().map(|x| (x * 4.0).round() / 4.0).collect();
        let dy = random(shape.out_len(), seed ^ 1);
        let got = everywhere(|ctx| {
            let mut all = vec![0.0; 2 * shape.out_len() + shape.in_len()];
            let (plain, rest) = all.split_at_mut(shape.out_len());
            let (out, dx) = rest.split_at_mut(shape.out_len());
            let mut argmax = vec![0; shape.out_len()];
            max_pool(ctx, &shape, &x, plain, None);
            max_pool(ctx, &shape, &x, out, Some(&mut argmax));
            max_pool_backward(ctx, &shape, &dy, &argmax, dx, false);
            all
        });
        let mut out = vec![f64::NEG_INFINITY; shape.out_len()];
        let mut dx = vec![0.0; shape.in_len()];
        for (o, (pixels, _)) in windows(&shape, pads).into_iter().enumerate() {
            for c in 0..shape.cin {
                let mut best = None;
                for &i in &pixels {
                    let value = f64::from(x[i * shape.cin + c]);
                    if value > out[o * shape.cin + c] {
                        out[o * shape.cin + c] = value;
                        best = Some(i);
                    }
                }
                if let Some(i) = best {
                    dx[i * shape.cin + c] += f64::from(dy[o * shape.cin + c]);
                }
            }
        }
        let finite = |x: f64| if x.is_finite() { x } else { -9.0 };
        let maxima: Vec<f32> = got[..2 * shape.out_len()].iter()
            .map(|&x| finite(x.into()) as f32).collect();
        let out: Vec<f64> = out.into_iter().map(finite).collect();
        assert_close(&maxima[..out.len()], &out, 0.0);
        assert_close(&maxima[out.len()..], &out, 0.0);
        assert_close(&got[2 * shape.out_len()..], &dx, 1e-6);
    }

    #[test]
    fn average_pool_and_its_gradient_agree_with_the_definition(
        (shape, pads) in shapes(), seed: u64, include: bool, accumulate: bool,
    ) {
        let x = random(shape.in_len(), seed);
        let dy = random(shape.out_len(), seed ^ 1);
        let old = random(shape.in_len(), seed ^ 2);
        let divisor = if include {
            Divisor::Padded { bottom: pads[2], right: pads[3] }
        } else {
            Divisor::Data
        };
        let got = everywhere(|ctx| {
            let mut out = vec![f32::NAN; shape.out_len()];
            average_pool(ctx, &shape, divisor, &x, &mut out);
            let mut dx = old.clone();
            average_pool_backward(ctx, &shape, divisor, &dy, &mut dx, accumulate);
            out.extend(dx);
            out
        });
        let mut want = vec![0.0; shape.out_len()];
        let mut dx: Vec<f64> =
            old.iter().map(|&x| if accumulate { x.into() } else { 0.0 }).collect();
        for (o, (pixels, padded)) in windows(&shape, pads).into_iter().enumerate() {
            let count = if include { padded } else { pixels.len() } as f64;
            for &i in &pixels {
                for c in 0..shape.cin {
                    want[o * shape.cin + c] += f64::from(x[i * shape.cin + c]) / count;
                    dx[i * shape.cin + c] += f64::from(dy[o * shape.cin + c]) / count;
                }
            }
        }
        want.extend(dx);
        assert_close(&got, &want, 1e-5);
    }

    #[test]
    fn rows_agree_with_the_whole_tensor(
        (shape, pads) in shapes(), seed: u64, gap in 0usize..20,
    ) {
        let shape = ConvShape { n: 1, ..shape };
        let (x_stride, out_stride) = (shape.cin + gap, shape.cout + 2 * gap);
        let x = random(shape.in_len(), seed);
        let divisor = Divisor::Padded { bottom: pads[2], right: pads[3] };
        // Pixels apart, without a float behind the last.
        let spread: Vec<Vec<f32>> = x
            .chunks_exact(shape.w * shape.cin)
            .map(|row| {
                let mut line = vec![f32::NAN; (shape.w - 1) * x_stride + shape.cin];
                for (i, pixel) in row.chunks_exact(shape.cin).enumerate() {
                    line[i * x_stride..][..shape.cin].copy_from_slice(pixel);
                }
                line
            })
            .collect();
        let row = |y: usize| spread.get(y.wrapping_sub(shape.pt)).map_or(&[][..], |row| &row[..]);
        let got = everywhere(|ctx| {
            let mut all = [vec![], vec![]];
            for oy in 0..shape.oh {
                let rows: Vec<&[f32]> =
                    (0..shape.kh).map(|ky| row(oy * shape.sh + ky * shape.dh)).collect();
                for (average, all) in [false, true].into_iter().zip(&mut all) {
                    let mut out = vec![-7.0; (shape.ow - 1) * out_stride + shape.cout];
                    if average {
                        average_pool_row(
                            ctx.isa, &shape, divisor, oy, &rows, x_stride, &mut out, out_stride,
                        );
                    } else {
                        max_pool_row(ctx.isa, &shape, &rows, x_stride, &mut out, out_stride);
                    }
                    for (i, y) in out.into_iter().enumerate() {
                        if i % out_stride < shape.cout { all.push(y) } else { assert_eq!(y, -7.0) }
                    }
                }
            }
            all.concat()
        });
        let want = everywhere(|ctx| {
            let mut all = vec![f32::NAN; 2 * shape.out_len()];
            let (max, average) = all.split_at_mut(shape.out_len());
            max_pool(ctx, &shape, &x, max, None);
            average_pool(ctx, &shape, divisor, &x, average);
            all
        });
        prop_assert_eq!(got, want);
    }

    #[test]
    fn global_average_agrees_with_the_definition(
        n in 1usize..4, pixels in 1usize..50, c in 1usize..300, seed: u64, accumulate: bool,
    ) {
        let (x, dy) = (random(n * pixels * c, seed), random(n * c, seed ^ 1));
        let got = everywhere(|ctx| {
            let mut out = vec![f32::NAN; n * c];
            global_average_pool(ctx, c, pixels, &x, &mut out);
            let mut dx = x.clone();
            global_average_pool_backward(ctx, c, pixels, &dy, &mut dx, accumulate);
            out.extend(dx);
            out
        });
        let mut want = vec![0.0; n * c];
        let mut dx = Vec::new();
        for (i, &v) in x.iter().enumerate() {
            let o = i / (pixels * c) * c + i % c;
            want[o] += f64::from(v) / pixels as f64;
            let old = if accumulate { f64::from(v) } else { 0.0 };
            dx.push(old + f64::from(dy[o]) / pixels as f64);
        }
        want.extend(dx);
        assert_close(&got, &want, 1e-5);
    }
}

#[test]
fn ceil_mode_cuts_the_window_at_the_padding() {
    // Size 4, kernel 3, stride 2, padding 1 before and 0 after, 3 outputs: the last window starts
    // at 3 and covers one element.
    let shape = ConvShape {
        n: 1,
        h: 1,
        w: 4,
        cin: 1,
        oh: 1,
        ow: 3,
        cout: 1,
        kh: 1,
        kw: 3,
        sh: 1,
        sw: 2,
        dh: 1,
        dw: 1,
        pt: 0,
        pl: 1,
        groups: 1,
    };
    let x = [1.0, 2.0, 3.0, 4.0];
    let mean = |divisor| {
        everywhere(|ctx| {
            let mut out = vec![0.0; 3];
            average_pool(ctx, &shape, divisor, &x, &mut out);
            out
        })
    };
    assert_eq!(mean(Divisor::Data), [1.5, 3.0, 4.0]);
    let padded = mean(Divisor::Padded { bottom: 0, right: 0 });
    assert_close(&padded, &[1.0, 3.0, 4.0], 1e-6);
}
