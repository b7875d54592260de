//! Prints what depthwise convolution reaches on the layers of the usual networks:
//! `cargo run --release -p edgecut-kernels --example depthwise_speed [NAME]`, where NAME picks the
//! lines that contain it.
//!
//! Per layer: multiply-adds per second and share of the peak that independent multiply-adds in
//! registers reach, on one thread and on two, and the bytes of input and output that pass. Every
//! figure is the minimum over short bursts.

use edgecut_kernels::Blob;
use edgecut_kernels::depthwise::{DepthwiseWeights, depthwise};
use edgecut_kernels::{Activation, ConvShape, Ctx, Epilogue, Pool};
use std::time::Instant;

/// Map size, channels, kernel, stride.
const LAYERS: [(usize, usize, usize, usize); 27] = [
    (112, 32, 3, 1), // MobileNetV1, V2, Lite0
    (112, 64, 3, 2), // V1
    (112, 96, 3, 2), // V2, Lite0
    (112, 16, 3, 1), // V3-Large
    (112, 64, 3, 2), // V3-Large
    (112, 16, 3, 2), // V3-Small
    (56, 128, 3, 1), // V1
    (56, 144, 3, 1), // V2
    (56, 144, 5, 2), // Lite0
    (56, 72, 3, 1),  // V3-Large
    (56, 72, 5, 2),  // V3-Large
    (56, 58, 3, 2),  // ShuffleNetV2
    (28, 58, 3, 1),  // ShuffleNetV2
    (28, 60, 3, 1),  // ShuffleNetV1
    (28, 120, 5, 1), // V3-Large
    (28, 192, 3, 1), // V2
    (28, 240, 5, 1), // Lite0
    (28, 256, 3, 1), // V1
    (28, 240, 3, 2), // V3-Large
    (14, 116, 3, 1), // ShuffleNetV2
    (14, 384, 3, 1), // V2
    (14, 512, 3, 1), // V1
    (14, 480, 5, 1), // Lite0
    (14, 672, 5, 1), // Lite0
    (14, 672, 5, 2), // V3-Large
    (7, 960, 3, 1),  // V2
    (7, 1024, 3, 1), // V1
];

fn values(len: usize) -> Blob<f32> {
    (0..len).map(|i| ((i * 7919) % 1013) as f32 / 1013.0 - 0.5).collect()
}

/// Minimum seconds of `run` over a burst.
fn best(mut run: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    let begin = Instant::now();
    while begin.elapsed().as_secs_f64() < 0.1 {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}

/// Multiply-adds per second of one core, from sums that depend on nothing else.
fn peak() -> f64 {
    const ROUNDS: usize = 10_000;
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        use std::arch::x86_64::*;
        #[target_feature(enable = "avx512f")]
        fn rounds(x: f32) -> f32 {
            let x = _mm512_set1_ps(x);
            let mut sums = [x; 12];
            for _ in 0..ROUNDS {
                for sum in &mut sums {
                    *sum = _mm512_fmadd_ps(*sum, x, x);
                }
            }
            let mut total = x;
            for sum in sums {
                total = _mm512_add_ps(total, sum);
            }
            _mm512_reduce_add_ps(total)
        }
        // SAFETY: the CPU has AVX-512 F.
        let seconds = best(|| _ = std::hint::black_box(unsafe { rounds(0.5) }));
        return (16 * 12 * ROUNDS) as f64 / seconds;
    }
    f64::NAN
}

fn main() {
    let filter = std::env::args().nth(1).unwrap_or_default();
    let pools = [Pool::new(1), Pool::new(2)];
    let peak = peak();
    println!("peak {:.1} GMAC/s per core", peak / 1e9);
    for (size, c, kernel, stride) in LAYERS {
        let name = format!("{size}x{size}x{c} {kernel}x{kernel}/{stride}");
        if !name.contains(&filter) {
            continue;
        }
        let pads = [kernel / 2; 4];
        let input = [1, size, size, c];
        let shape = ConvShape::dilated(input, c, [kernel; 2], [stride; 2], [1; 2], pads, c)
            .expect("the kernel fits");
        let (x, w, bias) = (values(shape.in_len()), values(shape.weight_len()), values(c));
        let w = DepthwiseWeights::pack(&shape, &w);
        let mut y = Blob::zeros(shape.out_len());
        let y = y.to_mut();
        let epilogue = Epilogue::biased(Some(&bias), Activation::RELU6);
        let bytes = 4.0 * (shape.in_len() + shape.out_len()) as f64;
        print!("{name:<18}");
        for pool in &pools {
            let seconds = best(|| depthwise(Ctx::new(pool), &shape, &x, &w, y, &epilogue));
            let rate = shape.macs() as f64 / seconds;
            print!(
                "  {}T {:8.1} us {:6.1} GMAC/s {:4.0} % {:6.1} GB/s",
                pool.threads(),
                seconds * 1e6,
                rate / 1e9,
                100.0 * rate / peak / pool.threads() as f64,
                bytes / seconds / 1e9
            );
        }
        println!();
    }
}
