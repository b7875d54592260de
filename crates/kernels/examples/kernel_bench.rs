//! Prints what the kernels reach on this machine: `cargo run --release -p edgecut-kernels --example
//! kernel_bench [NAME]`, where NAME picks the lines that contain it.
//!
//! Every figure is the minimum over short bursts, because other work on the machine can only make a
//! run slower. The share is of the peak that a loop of independent multiply-adds reaches here.

use edgecut_kernels::depthwise::{
    depthwise, depthwise_backward_input, depthwise_backward_weight,
    depthwise_backward_weight_scratch_len,
};
use edgecut_kernels::gemm::{PackedB, gemm, gemm_at_b, gemm_at_b_scratch_len};
use edgecut_kernels::{ConvShape, Ctx, Epilogue, Isa, Pool};
use std::time::Instant;

struct Bench {
    filter: String,
    pools: [Pool; 2],
    /// GFLOP/s of one thread.
    peak: f64,
}

impl Bench {
    /// Minimum seconds of `run` on each pool, printed with what `work` says.
    fn line(&self, name: &str, flops: f64, bytes: f64, mut run: impl FnMut(Ctx)) {
        if !name.contains(&self.filter) {
            return;
        }
        print!("{name:<44}");
        for pool in &self.pools {
            let ctx = Ctx { isa: Isa::detect(), pool };
            let mut best = f64::INFINITY;
            let begin = Instant::now();
            while begin.elapsed().as_secs_f64() < 0.25 {
                let start = Instant::now();
                run(ctx);
                best = best.min(start.elapsed().as_secs_f64());
            }
            let rate = flops / best / 1e9;
            print!(
                "  {}T {:8.3} ms {:6.1} GFLOP/s {:4.0} % {:6.1} GB/s",
                pool.threads(),
                best * 1e3,
                rate,
                100.0 * rate / self.peak / pool.threads() as f64,
                bytes / best / 1e9
            );
        }
        println!();
    }

    fn gemms(&self) {
        for (m, k, n) in [
            (65536, 16, 96),
            (65536, 96, 24),
            (16384, 24, 144),
            (16384, 192, 32),
            (16384, 144, 32),
            (4096, 64, 384),
            (4096, 192, 64),
            (4096, 384, 96),
            (1024, 576, 160),
            (1024, 160, 960),
            (1024, 320, 1280),
            (100352, 288, 32),
            (64, 1280, 1000),
            (1, 1280, 1000),
            (49, 160, 960),
        ] {
            let (a, w) = (values(m * k), values(k * n));
            let b = PackedB::pack(k, n, &w);
            let mut c = vec![0.0; m * n];
            let flops = 2.0 * (m * k * n) as f64;
            let bytes = 4.0 * (m * k + m * n) as f64;
            let epilogue = Epilogue { clamp: Some((0.0, 6.0)), ..Epilogue::default() };
            self.line(&format!("gemm {m} x {k} x {n}"), flops, bytes, |ctx| {
                gemm(ctx, m, &a, k, &b, &mut c, n, &epilogue);
            });
            let mut scratch = vec![0.0; gemm_at_b_scratch_len(m, k, n)];
            let mut dw = vec![0.0; k * n];
            self.line(&format!("at_b {m} x {k} x {n}"), flops, bytes, |ctx| {
                gemm_at_b(ctx, m, &a, k, k, &c, n, n, &mut dw, n, &mut scratch, false);
            });
        }
    }

    fn depthwise(&self) {
        for (n, hw, c, kernel, stride) in [
            (64, 32, 96, 3, 1),
            (64, 32, 144, 3, 2),
            (64, 16, 192, 3, 1),
            (64, 8, 384, 3, 1),
            (64, 4, 960, 3, 1),
            (16, 48, 144, 3, 1),
            (1, 112, 96, 3, 2),
            (1, 56, 144, 3, 1),
            (1, 14, 576, 3, 1),
            (1, 7, 960, 3, 1),
            (1, 28, 240, 5, 1),
        ] {
            let pad = kernel / 2;
            let shape = ConvShape::dilated(
                [n, hw, hw, c],
                c,
                [kernel; 2],
                [stride; 2],
                [1; 2],
                [pad; 4],
                c,
            )
            .expect("the kernel fits");
            let name = format!("{n} x {hw} x {hw} x {c}, {kernel}x{kernel} s{stride}");
            let flops = 2.0 * shape.macs() as f64;
            let bytes = 4.0 * (shape.in_len() + shape.out_len()) as f64;
            let (mut x, w) = (values(shape.in_len()), values(shape.weight_len()));
            let mut y = vec![0.0; shape.out_len()];
            let epilogue = Epilogue::default();
            self.line(&format!("dw fwd {name}"), flops, bytes, |ctx| {
                depthwise(ctx, &shape, &x, &w, &mut y, &epilogue);
            });
            let mut dw = vec![0.0; shape.weight_len()];
            let mut scratch = vec![0.0; depthwise_backward_weight_scratch_len(&shape)];
            self.line(&format!("dw bwd w {name}"), flops, bytes, |ctx| {
                depthwise_backward_weight(ctx, &shape, &x, &y, &mut dw, &mut scratch, false);
            });
            self.line(&format!("dw bwd x {name}"), flops, bytes, |ctx| {
                depthwise_backward_input(ctx, &shape, &y, &w, &mut x, false);
            });
        }
    }
}

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919) % 1013) as f32 / 1013.0 - 0.5).collect()
}

/// GFLOP/s of a cache-resident product with a long reduction.
fn peak() -> f64 {
    let pool = Pool::new(1);
    let (m, k, n) = (48, 256, 128);
    let (a, b) = (values(m * k), PackedB::pack(k, n, &values(k * n)));
    let mut c = vec![0.0; m * n];
    let mut best = f64::INFINITY;
    for _ in 0..3000 {
        let start = Instant::now();
        gemm(Ctx::new(&pool), m, &a, k, &b, &mut c, n, &Epilogue::default());
        best = best.min(start.elapsed().as_secs_f64());
    }
    2.0 * (m * k * n) as f64 / best / 1e9
}

fn main() {
    let filter = std::env::args().nth(1).unwrap_or_default();
    let bench = Bench { filter, pools: [Pool::new(1), Pool::new(2)], peak: 117.0 };
    println!("{}: in-cache product {:.1} GFLOP/s per thread", Isa::detect().name(), peak());
    bench.gemms();
    bench.depthwise();
}
