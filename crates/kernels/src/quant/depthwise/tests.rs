//! The kernel of each instruction set against the one that goes tap by tap, and rows against whole
//! tensors; these against the formula in the tests of [`quant`](crate::quant).

use super::*;
use crate::quant::tests::{bytes, everywhere, signed};
use crate::quant::{Affine, Finish, Requant, Residual};
use crate::testing::cases;
use crate::{Activation, ConvShape};
use proptest::prelude::*;

fn shapes() -> impl Strategy<Value = ConvShape> {
    let sizes = (1usize..5, 1usize..40, 1usize..140);
    let window = (
        [1usize..8, 1..8],
        [1usize..4, 1..4],
        [1usize..3, 1..3],
        [0usize..4, 0..4, 0..4, 0..4],
        any::<bool>(),
    );
    (sizes, window).prop_filter_map("the kernel must fit", |((h, w, c), window)| {
        let (kernel, stride, dilation, pads, usual) = window;
        // Half of the cases are the kernels that have code of their own.
        let [kernel, dilation] = if usual { [[3, 3], [1, 1]] } else { [kernel, dilation] };
        ConvShape::dilated([1, h, w, c], c, kernel, stride, dilation, pads, c)
    })
}

fn activations() -> impl Strategy<Value = Activation> {
    prop_oneof![
        Just(Activation::None),
        Just(Activation::Clamp(-0.5, 0.75)),
        Just(Activation::HardSwish),
        Just(Activation::HardSigmoid { alpha: 0.2, beta: 0.5 }),
        Just(Activation::Silu),
        Just(Activation::Sigmoid),
    ]
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn rows_are_those_of_the_whole_tensor(
        s in shapes(), activation in activations(), add: bool, seed: u64,
        (zx, zr, zy) in any::<(u8, u8, u8)>(), gap in 0usize..20,
    ) {
        let (x, w) = (bytes(s.in_len(), seed), signed(s.weight_len(), seed));
        let other = bytes(s.out_len(), seed ^ 1);
        let weights = DepthwiseWeights::pack(&s, &w, zx);
        let scales: Vec<f32> = (0..s.cout).map(|c| 1e-4 * (1 + c % 7) as f32).collect();
        let bias: Vec<i32> = signed(s.cout, seed ^ 2).into_iter().map(i32::from).collect();
        let (from, to) = (Affine::new(0.3, zx), Affine::new(0.02, zy));
        let requant = Requant::new(from, &scales, weights.sums(), Some(&bias), to, (0, 255))
            .activated(activation);
        let affine = Affine::new(0.007, zr);
        let residual = |first: usize| {
            add.then(|| Residual { data: &other[first * s.cout..], stride: s.cout, affine })
        };
        let whole = everywhere(|ctx| {
            let mut y = vec![0; s.out_len()];
            let finish = Finish { residual: residual(0), ..Finish::new(&requant) };
            depthwise(ctx, &s, &x, &weights, &mut y, &finish);
            y
        });
        // Pixels apart, without a byte behind the last.
        let (x_stride, out_stride) = (s.cin + gap, s.cout + 2 * gap);
        let spread: Vec<Vec<u8>> = x
            .chunks_exact(s.w * s.cin)
            .map(|row| {
                let mut line = vec![77; (s.w - 1) * x_stride + s.cin];
                for (i, pixel) in row.chunks_exact(s.cin).enumerate() {
                    line[i * x_stride..][..s.cin].copy_from_slice(pixel);
                }
                line
            })
            .collect();
        let row = |y: usize| spread.get(y.wrapping_sub(s.pt)).map_or(&[][..], |row| &row[..]);
        let rows = everywhere(|ctx| {
            let mut y = vec![];
            let mut oy = 0;
            while oy < s.oh {
                let count = if s.sh == 1 && s.dh == 1 { (s.oh - oy).min(2) } else { 1 };
                let rows: Vec<&[u8]> =
                    (0..s.kh + count - 1).map(|ky| row(oy * s.sh + ky * s.dh)).collect();
                let mut outs = vec![vec![55; (s.ow - 1) * out_stride + s.cout]; count];
                let finishes: Vec<Finish> = (oy..oy + count)
                    .map(|oy| Finish { residual: residual(oy * s.ow), ..Finish::new(&requant) })
                    .collect();
                let mut slices: Vec<&mut [u8]> = outs.iter_mut().map(|out| &mut out[..]).collect();
                depthwise_rows(
                    ctx.isa, &s, &rows, x_stride, &weights, &mut slices, out_stride, &finishes,
                );
                for out in outs {
                    for (i, byte) in out.into_iter().enumerate() {
                        if i % out_stride < s.cout { y.push(byte) } else { assert_eq!(byte, 55) }
                    }
                }
                oy += count;
            }
            y
        });
        prop_assert_eq!(rows, whole);
    }
}

/// Kernels with more rows or columns than transposed columns have room for.
#[test]
fn large_windows_are_computed_too() {
    for (kernel, stride, dilation) in [
        ([1, 30], [1, 1], [1, 1]),
        ([20, 2], [1, 1], [1, 1]),
        ([2, 16], [1, 1], [1, 40]),
        ([1, 2], [1, 9], [1, 4]),
    ] {
        let s = ConvShape::dilated([1, 24, 700, 19], 19, kernel, stride, dilation, [0; 4], 19);
        let s = s.expect("the kernel fits");
        let (x, w) = (bytes(s.in_len(), 5), signed(s.weight_len(), 6));
        let weights = DepthwiseWeights::pack(&s, &w, 3);
        let (from, to) = (Affine::new(0.01, 3), Affine::new(0.1, 128));
        let requant = Requant::new(from, &[0.01], weights.sums(), None, to, (0, 255));
        everywhere(|ctx| {
            let mut y = vec![0; s.out_len()];
            depthwise(ctx, &s, &x, &weights, &mut y, &Finish::new(&requant));
            y
        });
    }
}

/// Sums that no integer of 32 bits holds once scaled, and limits that exclude each other.
#[test]
fn extreme_scales_saturate() {
    let s = ConvShape::dilated([1, 4, 9, 70], 70, [3, 3], [1, 1], [1, 1], [1; 4], 70);
    let s = s.expect("the kernel fits");
    let (x, w) = (bytes(s.in_len(), 5), signed(s.weight_len(), 6));
    let weights = DepthwiseWeights::pack(&s, &w, 9);
    for scale in [1e30, f32::INFINITY, f32::NAN, 0.0] {
        for clamp in [(0, 255), (17, 200), (200, 17)] {
            let (from, to) = (Affine::new(1e9, 9), Affine::new(1.0, 100));
            let requant = Requant::new(from, &[scale], weights.sums(), None, to, clamp);
            everywhere(|ctx| {
                let mut y = vec![0; s.out_len()];
                depthwise(ctx, &s, &x, &weights, &mut y, &Finish::new(&requant));
                y
            });
        }
    }
}
