//! Speed of the int8 kernels on the layers of MobileNetV2 at 224x224, batch 1.
//!
//! `cargo run --release -p edgecut-kernels --example quant_bench [THREADS]`: minimum of many runs,
//! in microseconds and in multiply-accumulates per nanosecond, for every instruction set.

use std::hint::black_box;
use std::time::Instant;

use edgecut_kernels::quant::{
    Affine, ConvWeights, DepthwiseWeights, Finish, Output, PackedWeights, Requant, conv, depthwise,
    gemm,
};
use edgecut_kernels::{Blob, ConvShape, Ctx, Isa, Pool};

/// Depthwise layers of MobileNetV1 to V3 and ShuffleNetV2: side, channels, kernel, stride.
const FILTERS: [(usize, usize, usize, usize); 13] = [
    (112, 16, 3, 1),
    (112, 32, 3, 1),
    (112, 96, 3, 2),
    (56, 128, 3, 1),
    (56, 144, 3, 1),
    (56, 144, 3, 2),
    (28, 58, 3, 1),
    (28, 192, 3, 1),
    (14, 384, 3, 1),
    (14, 576, 3, 2),
    (14, 672, 5, 1),
    (14, 672, 5, 2),
    (7, 960, 3, 1),
];

fn minimum_us(mut f: impl FnMut()) -> f64 {
    let once = || {
        let start = Instant::now();
        f();
        start.elapsed().as_secs_f64() * 1e6
    };
    std::iter::repeat_with(once).take(60).fold(f64::INFINITY, f64::min)
}

fn requant(sums: &[i32]) -> Requant {
    let x = Affine::new(0.02, 3);
    Requant::new(x, &[0.001], sums, None, Affine::new(0.02, 0), (0, 255))
}

fn report(ctx: Ctx, name: &str, macs: usize, us: f64) {
    println!("{:11} {name:28} {us:9.1} us {:8.1} GMAC/s", ctx.isa.name(), macs as f64 / us / 1e3);
}

fn pointwise(ctx: Ctx, m: usize, k: usize, n: usize) {
    let (x, w) = (vec![7u8; m * k], vec![3i8; k * n]);
    let packed = PackedWeights::new(k, n, &w, n);
    let requant = requant(packed.sums());
    let mut y = vec![0u8; m * n];
    let us = minimum_us(|| {
        gemm(ctx, m, black_box(&x), k, &packed, Output::bytes(&mut y, &requant), n);
    });
    report(ctx, &format!("pointwise {m} x {k} x {n}"), m * k * n, us);
}

fn filters(ctx: Ctx, side: usize, c: usize, kernel: usize, stride: usize) {
    let pads = [kernel / 2; 4];
    let input = [1, side, side, c];
    let shape = ConvShape::dilated(input, c, [kernel; 2], [stride; 2], [1; 2], pads, c);
    let shape = shape.expect("fits");
    let x: Blob<u8> = vec![7; shape.in_len()].into();
    let weights = DepthwiseWeights::pack(&shape, &vec![3; shape.weight_len()], 3);
    let requant = requant(weights.sums());
    let mut y = Blob::zeros(shape.out_len());
    let us = minimum_us(|| {
        depthwise(ctx, &shape, black_box(&x), &weights, y.to_mut(), &Finish::new(&requant))
    });
    let name = format!("depthwise {side}x{side}x{c} {kernel}x{kernel}/{stride}");
    report(ctx, &name, shape.macs(), us);
}

fn stem(ctx: Ctx) {
    let shape = ConvShape::new([1, 224, 224, 3], 32, [3, 3], [2, 2], [1, 1, 1, 1]).expect("fits");
    let x = vec![7u8; shape.in_len()];
    let weights = ConvWeights::pack(&shape, &vec![3; shape.weight_len()], 3);
    let requant = requant(weights.sums());
    let mut y = vec![0u8; shape.out_len()];
    let us = minimum_us(|| {
        conv(ctx, &shape, black_box(&x), 3, &weights, Output::bytes(&mut y, &requant), 32);
    });
    report(ctx, "stem 3x3 / 2, 3 to 32", shape.macs(), us);
}

fn main() {
    let threads = std::env::args().nth(1).and_then(|t| t.parse().ok()).unwrap_or(1);
    let pool = Pool::new(threads);
    for isa in Isa::available() {
        let ctx = Ctx { isa, pool: &pool };
        stem(ctx);
        let products = [
            (12544, 16, 96),
            (3136, 24, 144),
            (784, 192, 32),
            (196, 64, 384),
            (196, 576, 96),
            (49, 160, 960),
            (49, 960, 320),
            (1, 1280, 1000),
        ];
        products.into_iter().for_each(|(m, k, n)| pointwise(ctx, m, k, n));
        FILTERS.into_iter().for_each(|(side, c, k, stride)| filters(ctx, side, c, k, stride));
    }
}
