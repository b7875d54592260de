//! How fast products and convolutions run on layers of lightweight networks, beside the
//! multiply-adds that the core can do at most.
//!
//! `cargo run --release -p edgecut-kernels --example gemm_speed [THREADS]`
//!
//! The peak is that of one core while nothing is loaded; cores that lower their clock for wide
//! vectors do not reach it.

use edgecut_kernels::conv::{ConvWeights, conv, conv_row, conv_scratch_len, planar_conv_row};
use edgecut_kernels::gemm::{PackedB, gemm};
use edgecut_kernels::{Activation, ConvShape, Ctx, Epilogue, Pool};
use std::hint::black_box;
use std::time::Instant;

/// Pixels, input and output channels of pointwise layers.
const PRODUCTS: [[usize; 3]; 18] = [
    [12544, 32, 64],
    [3136, 128, 128],
    [784, 256, 256],
    [196, 512, 512],
    [49, 1024, 1024],
    [12544, 16, 96],
    [3136, 144, 24],
    [784, 32, 192],
    [196, 64, 384],
    [196, 384, 64],
    [49, 160, 960],
    [49, 960, 320],
    [784, 58, 58],
    [196, 116, 116],
    [1, 240, 960],
    [1, 1024, 1000],
    [1, 1280, 1000],
    [49, 320, 1280],
];

/// Name, input size and channels, output channels, kernel, stride, padding, groups.
type Layer = (&'static str, [usize; 2], usize, [usize; 4]);

const CONVOLUTIONS: [Layer; 15] = [
    ("first layer", [224, 3], 32, [3, 2, 1, 1]),
    ("first layer", [224, 3], 16, [3, 2, 1, 1]),
    ("first layer", [224, 3], 64, [7, 2, 3, 1]),
    ("ResNet", [56, 64], 64, [3, 1, 1, 1]),
    ("ResNet", [28, 128], 128, [3, 1, 1, 1]),
    ("ResNet", [14, 256], 256, [3, 1, 1, 1]),
    ("ResNet", [7, 512], 512, [3, 1, 1, 1]),
    ("ResNet", [56, 64], 128, [3, 2, 1, 1]),
    ("SqueezeNet", [55, 16], 64, [3, 1, 1, 1]),
    ("SqueezeNet", [27, 32], 128, [3, 1, 1, 1]),
    ("SqueezeNet", [13, 64], 256, [3, 1, 1, 1]),
    ("ShuffleNet", [28, 240], 60, [1, 1, 0, 3]),
    ("ShuffleNet", [28, 60], 240, [1, 1, 0, 3]),
    ("ShuffleNet", [14, 120], 480, [1, 1, 0, 3]),
    ("ShuffleNet", [7, 240], 960, [1, 1, 0, 3]),
];

fn main() {
    let threads = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1);
    let pool = Pool::new(threads);
    let ctx = Ctx::new(&pool);
    let peak = peak() * threads as f64;
    println!("{} thread(s), peak {peak:.1} GMAC/s, {}", threads, ctx.isa.name());
    for [m, k, n] in PRODUCTS {
        let (a, b) = (values(m * k), PackedB::pack(k, n, &values(k * n)));
        let (bias, mut c) = (values(n), vec![0.0; m * n]);
        let epilogue = Epilogue::biased(Some(&bias), Activation::RELU6);
        let speed = speed(m * k * n, || gemm(ctx, m, &a, k, &b, &mut c, n, &epilogue));
        line(&format!("product {m} x {k} x {n}"), speed, peak);
    }
    for (name, [size, cin], cout, [kernel, stride, pad, groups]) in CONVOLUTIONS {
        let shape = ConvShape::dilated(
            [1, size, size, cin],
            cout,
            [kernel; 2],
            [stride; 2],
            [1; 2],
            [pad; 4],
            groups,
        )
        .expect("the kernel fits");
        let layer = format!("{name} {size}^2 x {cin} -> {cout}, {kernel}x{kernel} / {stride}");
        convolution(ctx, &layer, &shape, peak);
    }
}

fn convolution(ctx: Ctx, layer: &str, shape: &ConvShape, peak: f64) {
    let (x, w, bias) = (values(shape.in_len()), values(shape.weight_len()), values(shape.cout));
    let weights = ConvWeights::pack(shape, &w);
    let epilogue = Epilogue::biased(Some(&bias), Activation::RELU);
    let mut out = vec![0.0; shape.out_len()];
    let mut scratch = vec![0.0; conv_scratch_len(shape, ctx.pool.threads())];
    let whole = speed(shape.macs(), || {
        conv(ctx, shape, &x, &weights, &mut out, &mut scratch, &epilogue);
    });
    line(&format!("{layer}, whole"), whole, peak);
    let (len, written) = (shape.w * shape.cin, shape.ow * shape.cout);
    let row = |len: usize, start: usize, oy: usize, ky: usize| -> &[f32] {
        let y = (oy * shape.sh + ky).wrapping_sub(shape.pt);
        if y < shape.h { &x[start + y * len..][..len] } else { &[] }
    };
    let rows = speed(shape.macs(), || {
        for (oy, out) in out.chunks_exact_mut(written).enumerate() {
            let rows: Vec<&[f32]> = (0..shape.kh).map(|ky| row(len, 0, oy, ky)).collect();
            conv_row(ctx.isa, shape, &rows, shape.cin, &weights, out, shape.cout, &epilogue);
        }
    });
    line(&format!("{layer}, rows, 1 thread"), rows, peak);
    if shape.cin > 3 {
        return;
    }
    let weights = ConvWeights::pack_planar(shape, &w);
    let planes = speed(shape.macs(), || {
        for (oy, out) in out.chunks_exact_mut(written).enumerate() {
            let rows: Vec<&[f32]> = (0..shape.cin * shape.kh)
                .map(|i| row(shape.w, i / shape.kh * shape.h * shape.w, oy, i % shape.kh))
                .collect();
            planar_conv_row(ctx.isa, shape, &rows, &weights, out, shape.cout, &epilogue);
        }
    });
    line(&format!("{layer}, planes, 1 thread"), planes, peak);
}

fn line(name: &str, speed: f64, peak: f64) {
    println!("{name:50} {speed:7.1} GMAC/s {:4.0} %", 100.0 * speed / peak);
}

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919 + 13) % 1009) as f32 / 1009.0 - 0.5).collect()
}

/// GMAC/s of the fastest of many short bursts.
fn speed(macs: usize, mut f: impl FnMut()) -> f64 {
    let repeats = (20_000_000 / macs.max(1)).clamp(1, 200);
    let burst = |f: &mut dyn FnMut()| {
        let start = Instant::now();
        (0..repeats).for_each(|_| f());
        start.elapsed().as_secs_f64()
    };
    let best = (0..20).map(|_| burst(&mut f)).fold(f64::INFINITY, f64::min);
    (macs * repeats) as f64 / best / 1e9
}

/// GMAC/s of multiply-adds between registers on one core.
fn peak() -> f64 {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn wide() -> f32 {
        chains::<256>()
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn narrow() -> f32 {
        chains::<96>()
    }
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        // SAFETY: just detected.
        return speed(256 * STEPS, || _ = black_box(unsafe { wide() }));
    } else if std::arch::is_x86_feature_detected!("fma") {
        // SAFETY: just detected; every CPU with FMA here has AVX2.
        return speed(96 * STEPS, || _ = black_box(unsafe { narrow() }));
    }
    speed(64 * STEPS, || _ = black_box(chains::<64>()))
}

const STEPS: usize = 10_000;

/// `N` chains of [`STEPS`] dependent multiply-adds, side by side.
#[inline(always)]
fn chains<const N: usize>() -> f32 {
    let (factor, mut sums) = (black_box(0.999), [1.0f32; N]);
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = sum.mul_add(factor, 0.5);
        }
    }
    sums.iter().sum()
}
