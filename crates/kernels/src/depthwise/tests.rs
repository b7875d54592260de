use super::*;
use crate::testing::{assert_close, cases, everywhere, random};
use crate::{Activation, ConvShape, Epilogue};
use proptest::prelude::*;

fn shapes() -> impl Strategy<Value = ConvShape> {
    let kernel = prop_oneof![
        4 => Just([3, 3]), 2 => Just([5, 5]), 1 => (1usize..5, 1usize..5).prop_map(|(a, b)| [a, b])
    ];
    let dilation =
        prop_oneof![3 => Just([1, 1]), 1 => (1usize..3, 1usize..3).prop_map(|(a, b)| [a, b])];
    (
        (1usize..4, 1usize..15, 1usize..28, 1usize..40),
        kernel,
        (1usize..4, 1usize..4),
        dilation,
        prop::array::uniform4(0usize..4),
    )
        .prop_filter_map(
            "the kernel fits",
            |((n, h, w, c), kernel, (sh, sw), dilation, pads)| {
                ConvShape::dilated([n, h, w, c], c, kernel, [sh, sw], dilation, pads, c)
            },
        )
}

/// Calls `f(output index, input index, weight index)` for every product of the convolution.
fn products(c: &ConvShape, mut f: impl FnMut(usize, usize, usize)) {
    for (n, oy, ox) in
        (0..c.n).flat_map(|n| (0..c.oh).flat_map(move |oy| (0..c.ow).map(move |ox| (n, oy, ox))))
    {
        for (ky, kx) in (0..c.kh).flat_map(|ky| (0..c.kw).map(move |kx| (ky, kx))) {
            let iy = (oy * c.sh + ky * c.dh) as isize - c.pt as isize;
            let ix = (ox * c.sw + kx * c.dw) as isize - c.pl as isize;
            if (0..c.h as isize).contains(&iy) && (0..c.w as isize).contains(&ix) {
                for ch in 0..c.cin {
                    f(
                        ((n * c.oh + oy) * c.ow + ox) * c.cin + ch,
                        ((n * c.h + iy as usize) * c.w + ix as usize) * c.cin + ch,
                        (ky * c.kw + kx) * c.cin + ch,
                    );
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn forward_agrees_with_f64(
        shape in shapes(), seed: u64, bias: bool, residual: bool, clamp: bool,
    ) {
        let x = random(shape.in_len(), seed);
        let w = random(shape.weight_len(), seed ^ 1);
        let b = random(shape.cout, seed ^ 2);
        let skip = random(shape.out_len(), seed ^ 3);
        let epilogue = Epilogue {
            bias: bias.then_some(&b[..]),
            residual: residual.then_some((&skip[..], shape.cout)),
            activation: Activation::clamp(clamp.then_some((-0.4, 0.6))),
            ..Epilogue::default()
        };
        let packed = DepthwiseWeights::pack(&shape, &w);
        let got = everywhere(|ctx| {
            let mut out = vec![f32::NAN; shape.out_len()];
            depthwise(ctx, &shape, &x, &packed, &mut out, &epilogue);
            out
        });
        let mut want: Vec<f64> = (0..shape.out_len())
            .map(|i| if bias { f64::from(b[i % shape.cout]) } else { 0.0 })
            .collect();
        products(&shape, |o, i, k| want[o] += f64::from(x[i]) * f64::from(w[k]));
        for (y, &r) in want.iter_mut().zip(&skip) {
            *y += if residual { f64::from(r) } else { 0.0 };
            *y = if clamp { y.clamp(-0.4, 0.6) } else { *y };
        }
        assert_close(&got, &want, 1e-5);
    }

    #[test]
    fn rows_agree_with_the_whole_tensor(
        shape in shapes(), seed: u64, residual: bool, gap in 0usize..20, stride in 0usize..20,
        activation in prop::sample::select(vec![
            Activation::None, Activation::Clamp(-0.3, 0.7), Activation::HardSwish, Activation::Silu,
        ]),
    ) {
        let shape = ConvShape { n: 1, ..shape };
        let (x_stride, out_stride) = (shape.cin + gap, shape.cout + stride);
        let x = random(shape.in_len(), seed);
        let w = random(shape.weight_len(), seed ^ 1);
        let b = random(shape.cout, seed ^ 2);
        let skip = random(shape.out_pixels() * out_stride, seed ^ 3);
        let packed = DepthwiseWeights::pack(&shape, &w);
        // Pixels apart, without a byte behind the last.
        let row_len = (shape.w.max(1) - 1) * x_stride + shape.cin;
        let spread: Vec<Vec<f32>> = x
            .chunks_exact((shape.w * shape.cin).max(1))
            .map(|row| {
                let mut line = vec![f32::NAN; row_len];
                for (i, pixel) in row.chunks_exact(shape.cin).enumerate() {
                    line[i * x_stride..][..shape.cin].copy_from_slice(pixel);
                }
                line
            })
            .collect();
        let row = |y: usize| spread.get(y.wrapping_sub(shape.pt)).map_or(&[][..], |row| &row[..]);
        let out_len = (shape.ow - 1) * out_stride + shape.cout;
        for pairs in [false, shape.dh == 1] {
            let got = everywhere(|ctx| {
                let mut all = Vec::new();
                let mut oy = 0;
                while oy < shape.oh {
                    let count = if pairs && oy + 1 < shape.oh { 2 } else { 1 };
                    let rows: Vec<&[f32]> = (0..shape.kh + (count - 1) * shape.sh)
                        .map(|i| row(oy * shape.sh + i * shape.dh))
                        .collect();
                    let mut outs = vec![vec![-7.0; out_len]; count];
                    let mut slices: Vec<&mut [f32]> = outs.iter_mut().map(|o| &mut o[..]).collect();
                    let epilogues: Vec<Epilogue> = (oy..oy + count)
                        .map(|oy| Epilogue {
                            residual: residual
                                .then_some((&skip[oy * shape.ow * out_stride..], out_stride)),
                            ..Epilogue::biased(Some(&b), activation)
                        })
                        .collect();
                    depthwise_rows(
                        ctx.isa, &shape, &rows, x_stride, &packed, &mut slices, out_stride, &epilogues,
                    );
                    for out in outs {
                        for (i, &y) in out.iter().enumerate() {
                            if i % out_stride < shape.cout { all.push(y) } else { assert_eq!(y, -7.0) }
                        }
                    }
                    oy += count;
                }
                all
            });
            let epilogue = Epilogue {
                residual: residual.then_some((&skip[..], out_stride)),
                ..Epilogue::biased(Some(&b), activation)
            };
            let want = everywhere(|ctx| {
                let mut out = vec![f32::NAN; shape.out_len()];
                depthwise(ctx, &shape, &x, &packed, &mut out, &epilogue);
                out
            });
            let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&got), bits(&want));
        }
    }

    #[test]
    fn input_gradient_agrees_with_f64(shape in shapes(), seed: u64, accumulate: bool) {
        let dy = random(shape.out_len(), seed);
        let w = random(shape.weight_len(), seed ^ 1);
        let old = random(shape.in_len(), seed ^ 2);
        let mut packed = DepthwiseWeights::default();
        packed.repack_for_input_gradient(&shape, &w);
        let got = everywhere(|ctx| {
            let mut dx = old.clone();
            depthwise_backward_input(ctx, &shape, &dy, &packed, &mut dx, accumulate);
            dx
        });
        let mut want: Vec<f64> =
            old.iter().map(|&x| if accumulate { x.into() } else { 0.0 }).collect();
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
            let mut scratch = vec![f32::NAN; depthwise_backward_weight_scratch_len(&shape)];
            depthwise_backward_weight(ctx, &shape, &x, &dy, &mut dw, &mut scratch, accumulate);
            dw
        });
        let mut want: Vec<f64> =
            old.iter().map(|&x| if accumulate { x.into() } else { 0.0 }).collect();
        products(&shape, |o, i, k| want[k] += f64::from(dy[o]) * f64::from(x[i]));
        assert_close(&got, &want, 5e-5);
    }
}

#[test]
fn large_batches_share_partial_results() {
    let shape = ConvShape::dilated([37, 6, 6, 20], 20, [3, 3], [1, 1], [1, 1], [1; 4], 20)
        .expect("the kernel fits");
    let (x, dy) = (random(shape.in_len(), 1), random(shape.out_len(), 2));
    let got = everywhere(|ctx| {
        let mut dw = vec![0.0; shape.weight_len()];
        let mut scratch = vec![f32::NAN; depthwise_backward_weight_scratch_len(&shape)];
        depthwise_backward_weight(ctx, &shape, &x, &dy, &mut dw, &mut scratch, false);
        dw
    });
    let mut want = vec![0.0; shape.weight_len()];
    products(&shape, |o, i, k| want[k] += f64::from(dy[o]) * f64::from(x[i]));
    assert_close(&got, &want, 5e-5);
}
