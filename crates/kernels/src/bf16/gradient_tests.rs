use super::round::nearest;
use super::*;
use crate::testing::{cases, random};
use crate::{ConvShape, Ctx, Epilogue, Isa, Pool};
use proptest::prelude::*;

fn shapes() -> impl Strategy<Value = ConvShape> {
    let kernel = prop_oneof![2 => Just([1, 1]), 2 => Just([3, 3]), 1 => Just([2, 5])];
    let pads = prop_oneof![Just([0; 4]), prop::array::uniform4(0usize..3)];
    ((1usize..5, 1usize..12, 1usize..12), (16usize..70, 16usize..70), kernel, 1usize..3, pads)
        .prop_filter_map("the kernel fits", |((n, h, w), (ci, co), kernel, stride, pads)| {
            ConvShape::new([n, h, w, ci], co, kernel, [stride, stride], pads).filter(trains)
        })
}

/// Calls `f(output element, input element, weight)` for all products.
fn products(c: &ConvShape, mut f: impl FnMut(usize, usize, usize)) {
    for pixel in 0..c.out_pixels() {
        let (image, oy, ox) = (pixel / c.ow / c.oh, pixel / c.ow % c.oh, pixel % c.ow);
        for tap in 0..c.kh * c.kw {
            let iy = (oy * c.sh + tap / c.kw * c.dh).wrapping_sub(c.pt);
            let ix = (ox * c.sw + tap % c.kw * c.dw).wrapping_sub(c.pl);
            if iy < c.h && ix < c.w {
                for i in 0..c.cin {
                    let input = ((image * c.h + iy) * c.w + ix) * c.cin + i;
                    for o in 0..c.cout {
                        f(pixel * c.cout + o, input, (tap * c.cin + i) * c.cout + o);
                    }
                }
            }
        }
    }
}

/// The results of `f` on all units of this machine that are the best of an instruction set, each the
/// same on 1, 2 and 3 threads.
fn on_units(f: impl Fn(Ctx, usize) -> Vec<f32>) -> Vec<Vec<f32>> {
    let on = |isa| {
        let result = |threads| {
            let pool = Pool::new(threads);
            f(Ctx { isa, pool: &pool }, threads)
        };
        let first = result(1);
        for threads in 2..4 {
            let same = result(threads).iter().zip(&first).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{threads} threads on {}", isa.name());
        }
        first
    };
    Isa::available().into_iter().map(on).collect()
}

/// Asserts that the results are sums of rounded products, where `sizes` are those of their absolute
/// values and `terms` the most products of a sum.
fn assert_sums(results: &[Vec<f32>], sums: &[f64], sizes: &[f64], terms: usize) {
    for result in results {
        assert_eq!(result.len(), sums.len());
        for (i, (&got, (want, size))) in result.iter().zip(sums.iter().zip(sizes)).enumerate() {
            let bound = (terms + 20) as f64 * f64::from(f32::EPSILON) * size;
            assert!((f64::from(got) - want).abs() <= bound, "element {i}: {got} for {want}");
        }
    }
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn images_are_those_of_the_plain_twin(c in shapes(), seed: u64, accumulate: bool) {
        let (x, w) = (random(c.in_len(), seed), random(c.weight_len(), seed ^ 1));
        let (bias, old) = (random(c.cout, seed ^ 2), random(c.out_len(), seed ^ 3));
        let start = |i: usize| f64::from(bias[i % c.cout]) + if accumulate { f64::from(old[i]) } else { 0.0 };
        let mut sums: Vec<f64> = (0..c.out_len()).map(start).collect();
        let mut sizes: Vec<f64> = sums.iter().map(|s| s.abs() + 2.0).collect();
        products(&c, |y, i, j| {
            let product = f64::from(nearest(x[i])) * f64::from(nearest(w[j]));
            sums[y] += product;
            sizes[y] += product.abs();
        });
        let weights = Weights::pack(&c, &w);
        let epilogue = Epilogue { bias: Some(&bias), accumulate, ..Epilogue::default() };
        let results = on_units(|ctx, threads| {
            let mut y = old.clone();
            let mut scratch = vec![f32::NAN; conv_scratch_len(&c, threads)];
            conv(ctx, &c, &x, &weights, &mut y, &mut scratch, &epilogue);
            y
        });
        assert_sums(&results, &sums, &sizes, c.k());
    }

    #[test]
    fn input_gradients_are_those_of_the_plain_twin(c in shapes(), seed: u64, accumulate: bool) {
        let (dy, w) = (random(c.out_len(), seed), random(c.weight_len(), seed ^ 1));
        let old = random(c.in_len(), seed ^ 2);
        let start = |x: &f32| if accumulate { f64::from(*x) } else { 0.0 };
        let mut sums: Vec<f64> = old.iter().map(start).collect();
        let mut sizes: Vec<f64> = sums.iter().map(|s| s.abs()).collect();
        products(&c, |y, i, j| {
            let product = f64::from(nearest(dy[y])) * f64::from(nearest(w[j]));
            sums[i] += product;
            sizes[i] += product.abs();
        });
        let mut weights = Weights::default();
        weights.repack_for_input_gradient(&c, &w);
        let results = on_units(|ctx, threads| {
            let mut dx = old.clone();
            let mut scratch = vec![f32::NAN; conv_backward_input_scratch_len(&c, threads)];
            conv_backward_input(ctx, &c, &dy, &weights, &mut dx, &mut scratch, accumulate);
            dx
        });
        assert_sums(&results, &sums, &sizes, c.kh * c.kw * c.cout);
    }

    #[test]
    fn weight_gradients_are_those_of_the_plain_twin(c in shapes(), seed: u64) {
        let (x, dy) = (random(c.in_len(), seed), random(c.out_len(), seed ^ 1));
        let mut sums = vec![0.0; c.weight_len()];
        let mut sizes = vec![0.0; c.weight_len()];
        products(&c, |y, i, j| {
            let product = f64::from(nearest(x[i])) * f64::from(nearest(dy[y]));
            sums[j] += product;
            sizes[j] += product.abs();
        });
        let results = on_units(|ctx, threads| {
            let mut dw = vec![f32::NAN; c.weight_len()];
            let mut scratch = vec![f32::NAN; conv_backward_weight_scratch_len(&c, threads)];
            conv_backward_weight(ctx, &c, &x, &dy, &mut dw, &mut scratch);
            dw
        });
        assert_sums(&results, &sums, &sizes, c.out_pixels());
    }
}

/// Many pixels, so that spans and blocks of steps have more than one, and many channels.
#[test]
fn large_weight_gradients_are_sums_of_small_ones() {
    for (n, side, cin, cout, kernel) in [(9, 14, 40, 24, [3, 3]), (3, 30, 24, 150, [1, 1])] {
        let pad = kernel[0] / 2;
        let shape =
            |n| ConvShape::new([n, side, side, cin], cout, kernel, [1, 1], [pad; 4]).unwrap();
        let c = shape(n);
        let (x, dy) = (random(c.in_len(), 1), random(c.out_len(), 2));
        let pool = Pool::new(2);
        for isa in Isa::available() {
            let gradient = |c: &ConvShape, x: &[f32], dy: &[f32]| {
                let mut dw = vec![f32::NAN; c.weight_len()];
                let mut scratch = vec![f32::NAN; conv_backward_weight_scratch_len(c, 2)];
                conv_backward_weight(Ctx { isa, pool: &pool }, c, x, dy, &mut dw, &mut scratch);
                dw
            };
            let one = shape(1);
            let mut sums = vec![0.0f64; c.weight_len()];
            for (x, dy) in x.chunks(one.in_len()).zip(dy.chunks(one.out_len())) {
                let part = gradient(&one, x, dy);
                sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += f64::from(part));
            }
            let sizes = vec![c.out_pixels() as f64; c.weight_len()];
            let whole = gradient(&c, &x, &dy);
            assert!(whole.iter().any(|x| x.abs() > 0.5), "sums of nothing");
            assert_sums(&[whole], &sums, &sizes, 60);
        }
    }
}
