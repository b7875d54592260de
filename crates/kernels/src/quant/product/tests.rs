//! Rows of convolutions and products against the formula of their bytes, on every instruction set.

use crate::quant::*;
use crate::simd::{LANES, Scalar};
use crate::testing::{cases, random};
use crate::{Activation, ConvShape, Ctx, Isa, Pool};
use proptest::prelude::*;

/// Bytes with many extremes, where a 16-bit step would saturate.
fn bytes(len: usize, seed: u64) -> Vec<u8> {
    random(len, seed).into_iter().map(|x| (128.0 + 192.0 * x) as u8).collect()
}

fn signed(len: usize, seed: u64) -> Vec<i8> {
    random(len, seed).into_iter().map(|x| (192.0 * x) as i8).collect()
}

/// What a kernel is asked for: a convolution of rows, and what becomes of its sums.
#[derive(Clone, Debug)]
struct Case {
    shape: ConvShape,
    shuffle: usize,
    /// Bytes between the channels of neighbouring pixels: of x, the output, and the two matrices.
    gaps: [usize; 4],
    x: Affine,
    y: Affine,
    clamp: (u8, u8),
    activation: Activation,
    residual: Option<Affine>,
    interleave: bool,
    /// Of the weights: those of 4 share bytes.
    bits: u32,
    seed: u64,
}

fn activations() -> impl Strategy<Value = Activation> {
    prop_oneof![
        Just(Activation::None),
        Just(Activation::None),
        Just(Activation::RELU6),
        Just(Activation::HardSwish),
        Just(Activation::HardSigmoid { alpha: 0.2, beta: 0.5 }),
        Just(Activation::Sigmoid),
        Just(Activation::Silu),
    ]
}

fn affine() -> impl Strategy<Value = Affine> {
    (0.01f32..0.3, any::<u8>()).prop_map(|(scale, zero_point)| Affine::new(scale, zero_point))
}

fn shapes(pointwise: bool) -> impl Strategy<Value = (ConvShape, usize)> {
    let channels = (1usize..4, prop_oneof![1usize..40, 1usize..200], 1usize..80, 1usize..4);
    let window =
        ([1usize..5, 1..5], [1usize..3, 1..3], [1usize..3, 1..3], [0usize..3, 0..3, 0..3, 0..3]);
    let sizes = (1usize..6, 1usize..40);
    (channels, sizes, window).prop_filter_map("the kernel must fit", move |(c, (h, w), win)| {
        let (groups, cin, cout, shuffle) = c;
        let (kernel, stride, dilation, pads) = win;
        if pointwise {
            let shape = ConvShape::new([1, 1, h * w, cin], cout, [1, 1], [1, 1], [0; 4])?;
            return Some((shape, 1));
        }
        // Few multiply-adds: the formula is slow.
        let cin = if kernel == [1, 1] { cin } else { cin.div_ceil(4) };
        let (cin, cout) = (groups * cin, groups * cout);
        let shape =
            ConvShape::dilated([1, h, w, cin], cout, kernel, stride, dilation, pads, groups)?;
        Some((shape, if cin.is_multiple_of(shuffle) { shuffle } else { 1 }))
    })
}

fn case(pointwise: bool) -> impl Strategy<Value = Case> {
    let small = || prop_oneof![Just(0usize), 1usize..5];
    let gaps = [small(), small(), small(), small()];
    let finish = (activations(), proptest::option::of(affine()), any::<bool>(), any::<(u8, u8)>());
    (shapes(pointwise), gaps, (affine(), affine()), finish, any::<u64>()).prop_map(
        |((shape, shuffle), gaps, (x, y), (activation, residual, interleave, (a, b)), seed)| {
            let clamp = if seed.is_multiple_of(2) { (0, 255) } else { (a.min(b), a.max(b)) };
            let y = Affine::new(y.scale, y.zero_point);
            let bits = if seed / 2 % 2 == 0 { 8 } else { 4 };
            Case { shape, shuffle, gaps, x, y, clamp, activation, residual, interleave, bits, seed }
        },
    )
}

/// The operands of a case.
struct Operands {
    x: Vec<u8>,
    weights: Vec<i8>,
    scales: Vec<f32>,
    bias: Vec<i32>,
    residual: Vec<u8>,
    even: Vec<u8>,
}

impl Case {
    fn strides(&self) -> [usize; 4] {
        let s = &self.shape;
        let width = if self.interleave { 2 * s.cout } else { s.cout };
        let widths = [s.cin, width, s.cout, s.cout];
        std::array::from_fn(|i| widths[i] + self.gaps[i])
    }

    fn operands(&self) -> Operands {
        let (s, [x_stride, _, residual, even]) = (&self.shape, self.strides());
        let matrix =
            |stride: usize, seed: u64| bytes((s.oh * s.ow - 1) * stride + s.cout, self.seed ^ seed);
        // Scales that spread the results over the bytes.
        let largest = f32::from(i8::MAX >> (8 - self.bits));
        let unit = self.y.scale / self.x.scale / (s.k() as f32).sqrt() / largest;
        let scale = |x: f32| unit * (2.0 + x);
        let weights = signed(s.weight_len(), self.seed ^ 1).into_iter();
        Operands {
            x: bytes((s.h * s.w - 1) * x_stride + s.cin, self.seed),
            weights: weights.map(|w| w >> (8 - self.bits)).collect(),
            scales: random(s.cout, self.seed ^ 2).into_iter().map(scale).collect(),
            bias: random(s.cout, self.seed ^ 3).into_iter().map(|x| (x * 9e3) as i32).collect(),
            residual: matrix(residual, 4),
            even: matrix(even, 5),
        }
    }

    /// Where the input channel lies that the weights number as after the shuffle.
    fn channel(&self, shuffled: usize) -> usize {
        shuffled % self.shuffle * (self.shape.cin / self.shuffle) + shuffled / self.shuffle
    }

    fn sum(&self, o: &Operands, oy: usize, ox: usize, channel: usize) -> i64 {
        let s = &self.shape;
        let (cin, group) = (s.cin_per_group(), channel / s.cout_per_group());
        let mut sum = 0;
        for (ky, kx) in (0..s.kh).flat_map(|ky| (0..s.kw).map(move |kx| (ky, kx))) {
            let iy = (oy * s.sh + ky * s.dh).wrapping_sub(s.pt);
            let ix = (ox * s.sw + kx * s.dw).wrapping_sub(s.pl);
            if iy >= s.h || ix >= s.w {
                continue;
            }
            for c in 0..cin {
                let at = (iy * s.w + ix) * self.strides()[0] + self.channel(group * cin + c);
                let weight = o.weights[((ky * s.kw + kx) * cin + c) * s.cout + channel];
                sum += (i64::from(o.x[at]) - i64::from(self.x.zero_point)) * i64::from(weight);
            }
        }
        sum + i64::from(o.bias[channel])
    }

    fn byte(&self, o: &Operands, pixel: usize, channel: usize) -> u8 {
        let [_, _, stride, _] = self.strides();
        let sum = self.sum(o, pixel / self.shape.ow, pixel % self.shape.ow, channel);
        let sum = i32::try_from(sum).expect("fits");
        let mut u = sum as f32 * (self.x.scale * o.scales[channel] / self.y.scale);
        if let Some(affine) = self.residual {
            let q = i32::from(o.residual[pixel * stride + channel]);
            u += (q - i32::from(affine.zero_point)) as f32 * (affine.scale / self.y.scale);
        }
        let mut limits = self.clamp;
        match self.activation {
            Activation::None => {}
            Activation::Clamp(lo, hi) => {
                let bound = |x: f32| self.y.quantize(x).clamp(self.clamp.0, self.clamp.1);
                limits = (bound(lo), bound(hi));
            }
            other => {
                let real = [u * self.y.scale; LANES];
                u = other.apply(Scalar, real)[0] * (1.0 / self.y.scale);
            }
        }
        let rounded = f64::from(u.round_ties_even()) + f64::from(self.y.zero_point);
        rounded.clamp(limits.0.into(), limits.1.into()) as u8
    }

    /// All bytes of the output, 99 where nothing is written.
    fn expected(&self, o: &Operands) -> Vec<u8> {
        let (s, [_, stride, _, even]) = (&self.shape, self.strides());
        let mut out = vec![99; s.oh * s.ow * stride];
        for (pixel, out) in out.chunks_exact_mut(stride).enumerate() {
            for c in 0..s.cout {
                let byte = self.byte(o, pixel, c);
                if self.interleave {
                    (out[2 * c], out[2 * c + 1]) = (o.even[pixel * even + c], byte);
                } else {
                    out[c] = byte;
                }
            }
        }
        out
    }

    fn requant(&self, o: &Operands, sums: &[i32]) -> Requant {
        let requant = Requant::new(self.x, &o.scales, sums, Some(&o.bias), self.y, self.clamp);
        requant.activated(self.activation)
    }

    fn finish<'a>(&self, o: &'a Operands, requant: &'a Requant) -> Finish<'a> {
        let [_, _, stride, even] = self.strides();
        let data = &o.residual[..];
        Finish {
            requant,
            residual: self.residual.map(|affine| Residual { data, stride, affine }),
            interleave: self.interleave.then_some((&o.even[..], even)),
        }
    }
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn rows_of_convolutions_are_exact(case in case(false), threads in 1usize..4) {
        let pool = Pool::new(threads);
        let (s, o) = (&case.shape, case.operands());
        let [x_stride, stride, ..] = case.strides();
        let expected = case.expected(&o);
        let weights =
            ConvWeights::pack_shuffled(s, &o.weights, case.x.zero_point, case.shuffle);
        prop_assert!(weights.fit(s));
        let requant = case.requant(&o, weights.sums());
        let finish = case.finish(&o, &requant);
        let line = s.w * x_stride;
        for isa in Isa::available() {
            let mut got = vec![99; s.oh * s.ow * stride];
            for (oy, out) in got.chunks_exact_mut(s.ow * stride).enumerate() {
                let row = |ky: usize| {
                    let y = (oy * s.sh + ky * s.dh).wrapping_sub(s.pt);
                    let len = (s.w - 1) * x_stride + s.cin;
                    if y < s.h { &o.x[y * line..][..len] } else { &[][..] }
                };
                let rows: Vec<&[u8]> = (0..s.kh).map(row).collect();
                let finish = finish.rows_from(oy * s.ow);
                conv_row(isa, s, &rows, x_stride, &weights, out, stride, &finish);
            }
            prop_assert!(got == expected, "{} differs", isa.name());
            got.fill(99);
            let (ctx, output) = (Ctx { isa, pool: &pool }, Output::U8(&mut got, finish));
            conv(ctx, s, &o.x, x_stride, &weights, output, stride);
            prop_assert!(got == expected, "blocks on {} differ", isa.name());
        }
    }

    #[test]
    fn rows_of_products_are_exact(case in case(true), threads in 1usize..4) {
        let (s, o) = (&case.shape, case.operands());
        let [lda, ldc, ..] = case.strides();
        let expected = case.expected(&o);
        let weights = PackedWeights::new(s.k(), s.cout, &o.weights, s.cout);
        let requant = case.requant(&o, weights.sums());
        let finish = case.finish(&o, &requant);
        let (m, pool) = (s.ow, Pool::new(threads));
        for isa in Isa::available() {
            let mut got = [vec![99; m * ldc], vec![99; m * ldc]];
            gemm_rows(isa, m, &o.x, lda, &weights, &mut got[0], ldc, &finish);
            let output = Output::U8(&mut got[1], finish);
            gemm(Ctx { isa, pool: &pool }, m, &o.x, lda, &weights, output, ldc);
            for got in got {
                prop_assert!(got == expected, "{} differs", isa.name());
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(8))]

    /// Windows whose copy would be too large, and more runs than lie on the stack.
    #[test]
    fn wide_windows_are_exact(
        seed: u64, bits in prop_oneof![Just(4u32), Just(8)], cin in 250usize..260,
        pads in [0usize..3, 0..4, 0..3, 0..4], x in affine(),
    ) {
        let input = [1, 3, 30, cin];
        let shape = ConvShape::dilated(input, 3, [3, 23], [1, 1], [1, 1], pads, 1);
        let Some(shape) = shape else { return Ok(()) };
        let (y, clamp) = (Affine::new(0.05, 9), (0, 255));
        let case = Case {
            shape, shuffle: 1, gaps: [0; 4], x, y, clamp, activation: Activation::None,
            residual: None, interleave: false, bits, seed,
        };
        let (o, pool) = (case.operands(), Pool::new(2));
        let weights = ConvWeights::pack(&shape, &o.weights, x.zero_point);
        let requant = case.requant(&o, weights.sums());
        let expected = case.expected(&o);
        for isa in Isa::available() {
            let mut got = vec![99; shape.out_len()];
            let output = Output::bytes(&mut got, &requant);
            conv(Ctx { isa, pool: &pool }, &shape, &o.x, cin, &weights, output, shape.cout);
            prop_assert!(got == expected, "{} differs", isa.name());
        }
    }
}

/// Taps that lie side by side are one run, of an odd number of groups above 16.
#[test]
fn taps_side_by_side_are_exact() {
    let shape = ConvShape::new([1, 6, 20, 28], 40, [3, 3], [1, 1], [1; 4]).expect("fits");
    let (x, y) = (Affine::new(0.1, 77), Affine::new(0.05, 9));
    let case = Case {
        shape,
        shuffle: 1,
        gaps: [0; 4],
        x,
        y,
        clamp: (0, 255),
        activation: Activation::None,
        residual: None,
        interleave: false,
        bits: 8,
        seed: 3,
    };
    let (o, pool) = (case.operands(), Pool::new(1));
    let weights = ConvWeights::pack(&shape, &o.weights, x.zero_point);
    let requant = case.requant(&o, weights.sums());
    let expected = case.expected(&o);
    for isa in Isa::available() {
        let mut got = vec![99; shape.out_len()];
        let (ctx, output) = (Ctx { isa, pool: &pool }, Output::bytes(&mut got, &requant));
        conv(ctx, &shape, &o.x, 28, &weights, output, 40);
        assert!(got == expected, "{} differs", isa.name());
    }
}

/// The longest sum of extremes beside its neighbours: it must neither saturate nor wrap, whatever
/// tile computes it.
#[test]
fn longest_products_are_exact() {
    let n = 33;
    let (m, k) = (17, MAX_K);
    let x = vec![255u8; m * k];
    let pool = Pool::new(1);
    for w in [-128, -8] {
        let weights = PackedWeights::new(k, n, &vec![w; k * n], n);
        for (isa, m) in Isa::available().into_iter().flat_map(|isa| [(isa, m), (isa, 3)]) {
            let (ctx, mut sums) = (Ctx { isa, pool: &pool }, vec![0; m * n]);
            gemm(ctx, m, &x[..m * k], k, &weights, Output::I32(&mut sums), n);
            let expected = 255 * i32::from(w) * k as i32;
            assert!(sums.iter().all(|&sum| sum == expected), "{} differs", isa.name());
        }
    }
}

/// Weights of 4 bits take half the bytes, and give what the same weights give as whole bytes, from
/// one row to more than a tile has, for panels of which none, one or two are made whole at a time.
#[test]
fn weights_share_bytes() {
    let pool = Pool::new(2);
    for (k, n) in [(5, 3), (64, 40), (4000, 20), (7000, 33)] {
        let matrix: Vec<i8> = signed(k * n, 7).into_iter().map(|w| w >> 4).collect();
        let mut wide = matrix.clone();
        wide.extend(vec![100; n]);
        let (halved, whole) =
            (PackedWeights::new(k, n, &matrix, n), PackedWeights::new(k + 1, n, &wide, n));
        assert!(halved.fit(k, n) && 100 * halved.bytes() < 55 * whole.bytes());
        for m in [1, 2, 4, 5, 40] {
            let x = bytes(m * k, 8);
            let longer: Vec<u8> = x.chunks_exact(k).flat_map(|x| [x, &[0]].concat()).collect();
            for isa in Isa::available() {
                let (ctx, mut sums) = (Ctx { isa, pool: &pool }, [vec![0; m * n], vec![1; m * n]]);
                gemm(ctx, m, &x, k, &halved, Output::I32(&mut sums[0]), n);
                gemm(ctx, m, &longer, k + 1, &whole, Output::I32(&mut sums[1]), n);
                assert!(sums[0] == sums[1], "{m} rows of {k} on {} differ", isa.name());
            }
        }
    }
}
