//! Prints what bfloat16 reaches on this machine beside float32: `cargo run --release -p
//! edgecut-kernels --example bf16_speed [THREADS]`.
//!
//! Products of the shapes of MobileNetV2 and V3-Large. Every figure is the minimum of short bursts,
//! the two kinds in turn.

use edgecut_kernels::bf16::{self, Unit};
use edgecut_kernels::gemm::{PackedB, gemm};
use edgecut_kernels::{Activation, Blob, Ctx, Epilogue, Isa, Pool};
use std::time::Instant;

/// Pixels, input channels, output channels.
const SHAPES: [[usize; 3]; 27] = [
    [224, 32, 16],
    [224, 16, 96],
    [112, 96, 24],
    [112, 24, 144],
    [112, 144, 24],
    [56, 144, 32],
    [56, 32, 192],
    [56, 192, 32],
    [12544, 32, 16],
    [12544, 16, 96],
    [3136, 96, 24],
    [3136, 24, 144],
    [3136, 144, 24],
    [784, 144, 32],
    [784, 32, 192],
    [784, 192, 32],
    [196, 64, 384],
    [196, 384, 64],
    [196, 96, 576],
    [196, 576, 96],
    [49, 160, 960],
    [49, 960, 160],
    [49, 960, 320],
    [49, 320, 1280],
    [1, 1280, 1000],
    [1, 960, 240],
    [196, 112, 672],
];

fn main() {
    let threads = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1);
    let pool = Pool::new(threads);
    let ctx = Ctx { isa: Isa::detect(), pool: &pool };
    println!("{} beside {}, {} threads", Unit::of(ctx.isa).name(), ctx.isa.name(), pool.threads());
    for [m, k, n] in SHAPES {
        // Aligned as the buffers of a plan are.
        let (a, w, bias) = (Blob::from(values(m * k)), values(k * n), values(n));
        let (floats, weights) = (PackedB::pack(k, n, &w), bf16::Weights::pack_matrix(k, n, &w));
        let mut scratch = vec![0.0; bf16::product_scratch_len(m, &weights, threads)];
        let mut c = Blob::zeros(m * n);
        let activation = if n > k { Activation::RELU6 } else { Activation::None };
        let epilogue = Epilogue::biased(Some(&bias), activation);
        let mut best = [f64::INFINITY; 2];
        let began = Instant::now();
        while began.elapsed().as_secs_f64() < 0.2 {
            let start = Instant::now();
            gemm(ctx, m, &a, k, &floats, c.to_mut(), n, &epilogue);
            best[0] = best[0].min(start.elapsed().as_secs_f64());
            for _ in 0..3 {
                let start = Instant::now();
                bf16::product(ctx, m, &a, k, &weights, c.to_mut(), n, &epilogue, &mut scratch);
                best[1] = best[1].min(start.elapsed().as_secs_f64());
            }
        }
        let rate = |seconds: f64| (m * k * n) as f64 / seconds / 1e9;
        println!(
            "{m:>6} x {k:>4} x {n:>4}  float {:7.1} us {:6.1} GMAC/s  bf16 {:7.1} us {:6.1} GMAC/s",
            best[0] * 1e6,
            rate(best[0]),
            best[1] * 1e6,
            rate(best[1]),
        );
    }
}

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i * 7919 % 1013) as f32 / 506.5 - 1.0).collect()
}
