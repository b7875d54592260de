use super::round::{pair, unpair};
use super::*;
use crate::testing::{cases, random};
use crate::{Activation, ConvShape, Ctx, Epilogue, Isa, Pool};
use proptest::prelude::*;

/// The nearest bfloat16, as a float.
fn rounded(x: f32) -> f32 {
    unpair(pair(x, 0.0))[0]
}

/// One sum in the order that `kind` states: `products[tap]` are the pairs of rounded operands.
fn sum(kind: Kind, bias: f32, products: &[Vec<[f32; 2]>]) -> f32 {
    let mut sum = bias;
    for tap in products {
        for block in tap.chunks(32) {
            let mut chains = [0.0f32; 2];
            for pair in block.chunks(2) {
                for (i, [a, b]) in pair.iter().enumerate().rev() {
                    match kind {
                        Kind::Amx => chains[i] = a.mul_add(*b, chains[i]),
                        _ => sum = a.mul_add(*b, sum),
                    }
                }
            }
            sum += chains[0] + chains[1];
        }
    }
    sum
}

/// The plain twin of [`conv_row`]: output row `oy` of image `x`, and beside every sum the sum of
/// the absolute products.
fn plain_row(
    kind: Kind,
    c: &ConvShape,
    oy: usize,
    x: &[f32],
    w: &[f32],
    bias: &[f32],
) -> Vec<(f32, f32)> {
    let (ci, co) = (c.cin_per_group(), c.cout_per_group());
    let mut out = vec![];
    for (ox, o) in (0..c.ow).flat_map(|ox| (0..c.cout).map(move |o| (ox, o))) {
        let mut taps = vec![];
        for (ky, kx) in (0..c.kh).flat_map(|ky| (0..c.kw).map(move |kx| (ky, kx))) {
            let iy = (oy * c.sh + ky * c.dh).wrapping_sub(c.pt);
            let ix = (ox * c.sw + kx * c.dw).wrapping_sub(c.pl);
            if iy >= c.h || ix >= c.w {
                continue;
            }
            let at = |i: usize| {
                let a = x[(iy * c.w + ix) * c.cin + o / co * ci + i];
                [a, w[((ky * c.kw + kx) * ci + i) * c.cout + o]].map(rounded)
            };
            taps.push((0..ci).map(at).collect());
        }
        let size = taps.iter().flatten().map(|[a, b]: &[f32; 2]| (a * b).abs()).sum::<f32>();
        out.push((sum(kind, bias[o], &taps), size + bias[o].abs()));
    }
    out
}

fn shapes() -> impl Strategy<Value = ConvShape> {
    let kernel = prop_oneof![2 => Just([1, 1]), 1 => Just([3, 3]), 1 => (1usize..4, 1usize..4).prop_map(|(a, b)| [a, b])];
    let dilation =
        prop_oneof![3 => Just([1, 1]), 1 => (1usize..3, 1usize..3).prop_map(|(a, b)| [a, b])];
    (
        (1usize..6, 1usize..80, 1usize..70, 1usize..70),
        1usize..4,
        kernel,
        (1usize..3, 1usize..3),
        dilation,
        prop_oneof![Just([0; 4]), prop::array::uniform4(0usize..3)],
    )
        .prop_filter_map(
            "the kernel fits",
            |((h, w, ci, co), g, kernel, (sh, sw), dilation, pads)| {
                ConvShape::dilated([1, h, w, ci * g], co * g, kernel, [sh, sw], dilation, pads, g)
            },
        )
}

/// The input rows of output row `oy`.
fn rows<'a>(c: &ConvShape, oy: usize, x: &'a [f32], stride: usize) -> Vec<&'a [f32]> {
    let row = |ky: usize| {
        let iy = (oy * c.sh + ky * c.dh).checked_sub(c.pt).filter(|&iy| iy < c.h);
        iy.map_or(&[][..], |iy| &x[iy * c.w * stride..][..(c.w - 1) * stride + c.cin])
    };
    (0..c.kh).map(row).collect()
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn rows_are_those_of_the_plain_twin(shape in shapes(), gaps in 0usize..5, seed: u64, residual: bool) {
        let c = &shape;
        let stride = c.cin + gaps;
        let wide = random(c.h * c.w * stride, seed);
        let x: Vec<f32> = wide.chunks(stride).flat_map(|p| p[..c.cin].to_vec()).collect();
        let (w, bias) = (random(c.weight_len(), seed ^ 1), random(c.cout, seed ^ 2));
        let skip = random(c.ow * c.cout, seed ^ 3);
        let weights = Weights::pack(c, &w);
        let epilogue = Epilogue {
            bias: Some(&bias),
            residual: residual.then_some((&skip[..], c.cout)),
            activation: Activation::Clamp(-1.5, 2.0),
            ..Epilogue::default()
        };
        let mut scratch = vec![f32::NAN; scratch_len(c)];
        let mut portable: Option<Vec<f32>> = None;
        for unit in Unit::available() {
            let out_stride = c.cout + gaps;
            let mut got = vec![];
            for oy in 0..c.oh {
                let mut out = vec![7.0; c.ow * out_stride];
                conv_row(unit, c, &rows(c, oy, &wide, stride), stride, &weights, &mut out, out_stride, &epilogue, &mut scratch);
                prop_assert!(out.chunks(out_stride).all(|p| p[c.cout..].iter().all(|&x| x == 7.0)));
                out.chunks(out_stride).for_each(|p| got.extend(&p[..c.cout]));
            }
            let mut want = (0..c.oh).flat_map(|oy| plain_row(unit.kind(), c, oy, &x, &w, &bias));
            for (i, &g) in got.iter().enumerate() {
                let (sum, _) = want.next().expect("as many sums");
                let sum = if residual { sum + skip[i % (c.ow * c.cout)] } else { sum };
                prop_assert_eq!(g, sum.clamp(-1.5, 2.0), "element {} on {}", i, unit.name());
            }
            if unit.kind() == Kind::Portable {
                let first = portable.get_or_insert_with(|| got.clone());
                prop_assert!(first.iter().zip(&got).all(|(a, b)| a.to_bits() == b.to_bits()));
            }
        }
    }

    #[test]
    fn units_differ_by_rounding_only(k in 1usize..700, seed: u64) {
        let c = ConvShape::new([1, 1, 20, k], 40, [1, 1], [1, 1], [0; 4]).expect("it fits");
        let (x, w) = (random(c.in_len(), seed), random(c.weight_len(), seed ^ 1));
        let (weights, bias) = (Weights::pack(&c, &w), vec![0.0; c.cout]);
        let mut scratch = vec![f32::NAN; scratch_len(&c)];
        for unit in Unit::available() {
            let mut out = vec![f32::NAN; c.out_len()];
            conv_row(unit, &c, &[&x], k, &weights, &mut out, c.cout, &Epilogue::default(), &mut scratch);
            for (i, (want, size)) in plain_row(Kind::Portable, &c, 0, &x, &w, &bias).into_iter().enumerate() {
                // Each of the k additions rounds a partial sum by half a unit in its last place.
                let bound = k as f32 * f32::EPSILON * size;
                prop_assert!((out[i] - want).abs() <= bound, "element {} on {}", i, unit.name());
            }
        }
    }

    #[test]
    fn products_do_not_depend_on_threads(m in 1usize..150, k in 1usize..100, n in 1usize..150, gaps in 0usize..3, seed: u64) {
        let (lda, ldc) = (k + gaps, n + gaps);
        let (a, w, bias) = (random(m * lda, seed), random(k * n, seed ^ 1), random(n, seed ^ 2));
        let weights = Weights::pack_matrix(k, n, &w);
        let epilogue = Epilogue::biased(Some(&bias), Activation::HardSwish);
        for isa in Isa::available() {
            let mut first: Option<Vec<f32>> = None;
            for threads in 1..4 {
                let pool = Pool::new(threads);
                let ctx = Ctx { isa, pool: &pool };
                let mut c = vec![7.0; m * ldc];
                let mut scratch = vec![f32::NAN; product_scratch_len(m, &weights, threads)];
                product(ctx, m, &a, lda, &weights, &mut c, ldc, &epilogue, &mut scratch);
                let first = first.get_or_insert_with(|| c.clone());
                prop_assert!(first.iter().zip(&c).all(|(a, b)| a.to_bits() == b.to_bits()));
            }
            let shape = ConvShape::new([1, 1, m, k], n, [1, 1], [1, 1], [0; 4]).expect("it fits");
            let mut row = vec![7.0; m * ldc];
            let mut scratch = vec![f32::NAN; scratch_len(&shape)];
            conv_row(Unit::of(isa), &shape, &[&a], lda, &weights, &mut row, ldc, &epilogue, &mut scratch);
            prop_assert_eq!(first.expect("three runs"), row);
        }
    }
}

#[test]
fn neighbours_in_memory_do_not_leak() {
    // A NaN behind the channels of a pixel, behind a row and in the scratch memory.
    let c = ConvShape::new([1, 3, 5, 8], 5, [3, 3], [1, 1], [1; 4]).expect("it fits");
    let mut x = vec![f32::NAN; 15 * 9];
    x.chunks_mut(9).for_each(|pixel| pixel[..8].fill(1.0));
    let weights = Weights::pack(&c, &vec![1.0; c.weight_len()]);
    for unit in Unit::available() {
        let mut scratch = vec![f32::NAN; scratch_len(&c)];
        let mut out = vec![0.0; 25];
        conv_row(
            unit,
            &c,
            &rows(&c, 1, &x, 9),
            9,
            &weights,
            &mut out,
            5,
            &Epilogue::default(),
            &mut scratch,
        );
        assert_eq!(out[..5], [48.0; 5], "{}", unit.name());
        assert_eq!(out[5..20], [72.0; 15], "{}", unit.name());
    }
}
