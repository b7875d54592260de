//! Every kernel against the formula it stands for, on every instruction set and 1 to 3 threads.

use super::*;
use crate::{ConvShape, Ctx, Isa, Pool};
use proptest::prelude::*;
use std::fmt::Debug;
use std::sync::OnceLock;

/// Bytes that include the extremes often, where a 16-bit step would saturate.
pub(super) fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    (0..len)
        .map(|_| match next() % 4 {
            0 => 255,
            1 => 128,
            _ => next() as u8,
        })
        .collect()
}

pub(super) fn signed(len: usize, seed: u64) -> Vec<i8> {
    bytes(len, seed ^ 0x55).into_iter().map(|b| b as i8).collect()
}

/// The one result of `f` on all instruction sets and thread counts.
pub(super) fn everywhere<T: PartialEq + Debug>(f: impl Fn(Ctx) -> T) -> T {
    static POOLS: OnceLock<Vec<Pool>> = OnceLock::new();
    let pools = POOLS.get_or_init(|| (1..4).map(Pool::new).collect());
    let first = f(Ctx { isa: Isa::SCALAR, pool: &pools[0] });
    for isa in Isa::available() {
        for pool in pools {
            let same = f(Ctx { isa, pool }) == first;
            assert!(same, "{} on {} threads differs", isa.name(), pool.threads());
        }
    }
    first
}

/// `clamp(round_half_even(v) + zero_point)` with the standard library's rounding.
fn round(v: f32, zero_point: u8, (low, high): (u8, u8)) -> u8 {
    (v.round_ties_even() as f64 + f64::from(zero_point)).clamp(low.into(), high.into()) as u8
}

#[derive(Clone, Debug)]
struct Parameters {
    x: Affine,
    y: Affine,
    clamp: (u8, u8),
    seed: u64,
}

fn parameters() -> impl Strategy<Value = Parameters> {
    let affine = || (1e-4f32..10.0, any::<u8>()).prop_map(|(s, z)| Affine::new(s, z));
    (affine(), affine(), any::<(u8, u8)>(), any::<u64>())
        .prop_map(|(x, y, (a, b), seed)| Parameters { x, y, clamp: (a.min(b), a.max(b)), seed })
}

/// What a convolution or product of these sums (zero point already subtracted) must give.
struct Layer {
    scales: Vec<f32>,
    bias: Vec<i32>,
}

impl Layer {
    fn new(channels: usize, p: &Parameters, k: usize) -> Layer {
        // Scales that spread the results over the bytes.
        let unit = p.y.scale / p.x.scale / (k.max(1) as f32).sqrt() / 200.0;
        let scale = |b: u8| unit * (1.0 + f32::from(b) / 64.0);
        let bias = |b: i8| i32::from(b) * 100;
        Layer {
            scales: bytes(channels, p.seed ^ 7).into_iter().map(scale).collect(),
            bias: signed(channels, p.seed ^ 8).into_iter().map(bias).collect(),
        }
    }

    fn byte(&self, p: &Parameters, channel: usize, sum: i64) -> u8 {
        let multiplier = p.x.scale * self.scales[channel] / p.y.scale;
        let total = i32::try_from(sum + i64::from(self.bias[channel])).expect("fits");
        round(total as f32 * multiplier, p.y.zero_point, p.clamp)
    }

    fn requant(&self, p: &Parameters, sums: &[i32]) -> Requant {
        Requant::new(p.x, &self.scales, sums, Some(&self.bias), p.y, p.clamp)
    }
}

/// The sum of one output of a convolution, padding as 0.0.
fn conv_sum(s: &ConvShape, p: &Parameters, x: &[u8], w: &[i8], at: [usize; 4]) -> i64 {
    let [image, oy, ox, channel] = at;
    let (cin, cout) = (s.cin / s.groups, s.cout / s.groups);
    let mut sum = 0;
    for ky in 0..s.kh {
        for kx in 0..s.kw {
            let iy = (oy * s.sh + ky * s.dh) as i64 - s.pt as i64;
            let ix = (ox * s.sw + kx * s.dw) as i64 - s.pl as i64;
            if iy < 0 || ix < 0 || iy >= s.h as i64 || ix >= s.w as i64 {
                continue;
            }
            let pixel = (image * s.h + iy as usize) * s.w + ix as usize;
            for c in 0..cin {
                let value = i64::from(x[pixel * s.cin + channel / cout * cin + c]);
                let weight = i64::from(w[((ky * s.kw + kx) * cin + c) * s.cout + channel]);
                sum += (value - i64::from(p.x.zero_point)) * weight;
            }
        }
    }
    sum
}

fn conv_bytes(s: &ConvShape, p: &Parameters, layer: &Layer, x: &[u8], w: &[i8]) -> Vec<u8> {
    let mut out = vec![];
    for pixel in 0..s.out_pixels() {
        for c in 0..s.cout {
            let at = [pixel / (s.oh * s.ow), pixel / s.ow % s.oh, pixel % s.ow, c];
            out.push(layer.byte(p, c, conv_sum(s, p, x, w, at)));
        }
    }
    out
}

fn shapes(depthwise: bool) -> impl Strategy<Value = ConvShape> {
    let channels = (1usize..4, 1usize..20, 1usize..40);
    let sizes = (1usize..3, 1usize..9, 1usize..9);
    let window =
        ([1usize..6, 1..6], [1usize..3, 1..3], [1usize..3, 1..3], [0usize..3, 0..3, 0..3, 0..3]);
    (channels, sizes, window).prop_filter_map("the kernel must fit", move |(c, s, w)| {
        let ((groups, cin, cout), (n, h, w0), (kernel, stride, dilation, pads)) = (c, s, w);
        let (groups, cin, cout) =
            if depthwise { (cout, cout, cout) } else { (groups, groups * cin, groups * cout) };
        ConvShape::dilated([n, h, w0, cin], cout, kernel, stride, dilation, pads, groups)
    })
}

proptest! {
    #![proptest_config(crate::testing::cases(96))]

    #[test]
    fn gemm_is_exact(
        m in 1usize..40, k in 0usize..70, n in 1usize..120, gap in 0usize..5, p in parameters(),
    ) {
        let (lda, w) = (k + gap, signed(k * n, p.seed));
        let x = bytes((m - 1) * lda + k, p.seed);
        let packed = PackedWeights::new(k, n, &w, n);
        let layer = Layer::new(n, &p, k);
        let requant = layer.requant(&p, packed.sums());
        let dequant = Dequant::new(p.x, &layer.scales, packed.sums(), Some(&layer.bias));
        let got = everywhere(|ctx| {
            let (mut u8s, mut i32s) = (vec![0; m * n], vec![0; m * n]);
            let mut f32s = vec![0f32; m * n];
            gemm(ctx, m, &x, lda, &packed, Output::bytes(&mut u8s, &requant), n);
            gemm(ctx, m, &x, lda, &packed, Output::I32(&mut i32s), n);
            gemm(ctx, m, &x, lda, &packed, Output::F32(&mut f32s, &dequant), n);
            (u8s, i32s, f32s)
        });
        for i in 0..m * n {
            let (row, column) = (i / n, i % n);
            let sum = |zero: i64| -> i64 {
                let term = |j: usize| {
                    (i64::from(x[row * lda + j]) - zero) * i64::from(w[j * n + column])
                };
                (0..k).map(term).sum()
            };
            prop_assert_eq!(i64::from(got.1[i]), sum(0));
            let centred = sum(p.x.zero_point.into());
            prop_assert_eq!(got.0[i], layer.byte(&p, column, centred));
            let total = (centred + i64::from(layer.bias[column])) as f32;
            prop_assert_eq!(got.2[i], total * (p.x.scale * layer.scales[column]));
        }
    }

    #[test]
    fn conv_is_exact(s in shapes(false), p in parameters()) {
        let (x, w) = (bytes(s.in_len(), p.seed), signed(s.weight_len(), p.seed));
        let weights = ConvWeights::pack(&s, &w, p.x.zero_point);
        let layer = Layer::new(s.cout, &p, s.k());
        let requant = layer.requant(&p, weights.sums());
        let got = everywhere(|ctx| {
            let mut y = vec![0; s.out_len()];
            conv(ctx, &s, &x, s.cin, &weights, Output::bytes(&mut y, &requant), s.cout);
            y
        });
        prop_assert_eq!(got, conv_bytes(&s, &p, &layer, &x, &w));
    }

    #[test]
    fn depthwise_is_exact(s in shapes(true), p in parameters()) {
        let (x, w) = (bytes(s.in_len(), p.seed), signed(s.weight_len(), p.seed));
        let weights = DepthwiseWeights::pack(&s, &w, p.x.zero_point);
        let layer = Layer::new(s.cout, &p, s.k());
        let requant = layer.requant(&p, weights.sums());
        let got = everywhere(|ctx| {
            let mut y = vec![0; s.out_len()];
            depthwise(ctx, &s, &x, &weights, &mut y, &Finish::new(&requant));
            y
        });
        prop_assert_eq!(got, conv_bytes(&s, &p, &layer, &x, &w));
    }

    #[test]
    fn pooling_is_exact(s in shapes(true), p in parameters(), include_pad: bool) {
        let x = bytes(s.in_len(), p.seed);
        let c = s.cin;
        let (maxima, means) = everywhere(|ctx| {
            let (mut maxima, mut means) = (vec![9; s.out_len()], vec![9; s.out_len()]);
            max_pool(ctx, &s, &x, &mut maxima);
            average_pool(ctx, &s, &x, p.x, p.y, p.clamp, include_pad, &mut means);
            (maxima, means)
        });
        for i in 0..s.out_len() {
            let (pixel, channel) = (i / c, i % c);
            let (image, oy, ox) = (pixel / (s.oh * s.ow), pixel / s.ow % s.oh, pixel % s.ow);
            let (mut max, mut sum, mut count) = (0, 0, 0);
            for ky in 0..s.kh {
                for kx in 0..s.kw {
                    let iy = (oy * s.sh + ky * s.dh).wrapping_sub(s.pt);
                    let ix = (ox * s.sw + kx * s.dw).wrapping_sub(s.pl);
                    if iy < s.h && ix < s.w {
                        let q = x[((image * s.h + iy) * s.w + ix) * c + channel];
                        max = max.max(q);
                        sum += i32::from(q) - i32::from(p.x.zero_point);
                        count += 1;
                    }
                }
            }
            let divisor = if include_pad { s.kh * s.kw } else { count.max(1) };
            let ratio = p.x.scale / p.y.scale / divisor as f32;
            prop_assert_eq!(maxima[i], max);
            prop_assert_eq!(means[i], round(sum as f32 * ratio, p.y.zero_point, p.clamp));
        }
    }

    #[test]
    fn global_average_pool_is_exact(
        n in 1usize..3, pixels in 1usize..60, c in 1usize..150, p in parameters(),
    ) {
        let x = bytes(n * pixels * c, p.seed);
        let got = everywhere(|ctx| {
            let mut y = vec![0; n * c];
            global_average_pool(ctx, pixels, c, &x, p.x, p.y, p.clamp, &mut y);
            y
        });
        let real = everywhere(|ctx| {
            let mut y = vec![0.0; n * c];
            global_average(ctx, pixels, c, &x, p.x, &mut y);
            y
        });
        for i in 0..n * c {
            let at = |pixel: usize| i32::from(x[(i / c * pixels + pixel) * c + i % c]);
            let sum: i32 = (0..pixels).map(|q| at(q) - i32::from(p.x.zero_point)).sum();
            let ratio = p.x.scale / p.y.scale / pixels as f32;
            prop_assert_eq!(got[i], round(sum as f32 * ratio, p.y.zero_point, p.clamp));
            prop_assert_eq!(real[i], sum as f32 * (p.x.scale / pixels as f32));
        }
    }

    #[test]
    fn functions_of_two_bytes_are_the_float_ones(
        rows in 1usize..5, columns in 1usize..700, p in parameters(), za: u8,
        ratio in 0.1f32..4.0, op in 0usize..6, tabled: bool, kinds in (0usize..3, 0usize..3),
    ) {
        use crate::elementwise::{Binary, Walk};
        let (op, f): (Binary, fn(f32, f32) -> f32) = [
            (Binary::Add, (|a, b| a + b) as fn(f32, f32) -> f32),
            (Binary::Sub, |a, b| a - b),
            (Binary::Mul, |a, b| a * b),
            (Binary::Div, |a, b| a / b),
            (Binary::Max, f32::max),
            (Binary::Min, f32::min),
        ][op];
        let (a, b) = (bytes(rows * columns, p.seed), bytes(rows * columns, p.seed ^ 3));
        let first = Affine::new(p.y.scale * ratio, za);
        let second = Affine::new(p.y.scale / 3.0, p.x.zero_point);
        let table: [f32; 256] = std::array::from_fn(|q| second.dequantize(q as u8).abs());
        // Whole, one row for all, or one number a row.
        let strides = |kind: usize| [[columns, 1], [0, 1], [1, 0]][kind];
        let (sa, sb) = (strides(kinds.0), strides(kinds.1));
        let walk = Walk::new(&[rows, columns], &sa, &sb);
        let got = everywhere(|ctx| {
            let mut y = vec![0; rows * columns];
            let meaning = if tabled { Meaning::Table(&table) } else { Meaning::Affine(second) };
            let a = Numbers { data: &a, meaning: Meaning::Affine(first) };
            binary(ctx, op, &walk, a, Numbers { data: &b, meaning }, p.y, p.clamp, &mut y);
            y
        });
        for i in 0..rows * columns {
            let at = |s: [usize; 2]| i / columns * s[0] + i % columns * s[1];
            let a = first.dequantize(a[at(sa)]);
            let b = second.dequantize(b[at(sb)]);
            let y = f(a, if tabled { b.abs() } else { b });
            let want = if y.is_nan() { p.clamp.0 } else {
                round(y / p.y.scale, p.y.zero_point, p.clamp)
            };
            prop_assert_eq!(got[i], want);
        }
    }

    #[test]
    fn quantise_follows_onnx(
        len in 0usize..20_000, scale in 1e-3f32..10.0, zero_point: u8, seed: u64,
    ) {
        let affine = Affine::new(scale, zero_point);
        // Halves of the scale are ties.
        let number = |b: u8| (f32::from(b) - 128.0) * scale * 1.5;
        let mut x: Vec<f32> = bytes(len, seed).into_iter().map(number).collect();
        x.extend([f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -0.0, f32::MIN_POSITIVE]);
        let (q, back) = everywhere(|ctx| {
            let (mut q, mut back) = (vec![0; x.len()], vec![0.0; x.len()]);
            quantize(ctx, &x, affine, &mut q);
            dequantize(ctx, &q, affine, &mut back);
            (q, back)
        });
        for i in 0..x.len() {
            prop_assert_eq!(q[i], round(x[i] / scale, zero_point, (0, 255)));
            let real = (f32::from(q[i]) - f32::from(zero_point)) * scale;
            prop_assert_eq!(back[i], real);
        }
    }
}

#[test]
fn nan_becomes_the_lowest_byte() {
    assert_eq!(Affine::new(0.5, 7).quantize(f32::NAN), 0);
}

/// The longest sum of extremes: it must neither saturate nor wrap.
#[test]
fn longest_product_is_exact() {
    let (x, w) = (vec![255u8; MAX_K], vec![-128i8; MAX_K]);
    let packed = PackedWeights::new(MAX_K, 1, &w, 1);
    let sums = everywhere(|ctx| {
        let mut sums = vec![0];
        gemm(ctx, 1, &x, MAX_K, &packed, Output::I32(&mut sums), 1);
        sums
    });
    assert_eq!(sums, [-255 * 128 * MAX_K as i32]);
}
