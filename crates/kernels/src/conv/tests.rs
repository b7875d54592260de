use super::*;
use crate::Activation;
use crate::testing::{assert_close, cases, everywhere, random};
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
fn many_blocks_are_shared_out() {
    // 9 * 40 = 360 products per pixel, 182 pixels per block, 2 * 30 * 30 pixels.
    let shape = ConvShape::new([2, 30, 30, 40], 8, [3, 3], [1, 1], [1; 4]).expect("it fits");
    let (x, w) = (random(shape.in_len(), 1), random(shape.weight_len(), 2));
    let packed = ConvWeights::pack(&shape, &w);
    let got = everywhere(|ctx| {
        let mut out = vec![0.0; shape.out_len()];
        let mut scratch = vec![0.0; conv_scratch_len(&shape, ctx.pool.threads())];
        conv(ctx, &shape, &x, &packed, &mut out, &mut scratch, &Epilogue::default());
        out
    });
    let mut want = vec![0.0; shape.out_len()];
    products(&shape, |o, i, k| want[o] += f64::from(x[i]) * f64::from(w[k]));
    assert_close(&got, &want, 1e-4);
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
