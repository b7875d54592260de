//! Prints what the kernels reach on this machine: `cargo run --release -p edgecut-kernels --example
//! kernel_bench [NAME]`, where NAME picks the lines that contain it.
//!
//! Every figure is the minimum over short bursts, because other work on the machine can only make a
//! run slower. The share is of the peak that a loop of independent multiply-adds reaches here.

use edgecut_kernels::batch_norm::{
    Norm, Statistics, batch_norm, batch_norm_backward, batch_norm_scratch_len,
    batch_norm_statistics,
};
use edgecut_kernels::conv::{
    ConvWeights, conv, conv_backward_input, conv_backward_input_scratch_len, conv_backward_weight,
    conv_backward_weight_scratch_len, conv_scratch_len,
};
use edgecut_kernels::depthwise::{
    DepthwiseWeights, depthwise, depthwise_backward_input, depthwise_backward_weight,
    depthwise_backward_weight_scratch_len,
};
use edgecut_kernels::gemm::{PackedB, gemm, gemm_at_b, gemm_at_b_scratch_len};
use edgecut_kernels::{Activation, ConvShape, Ctx, Epilogue, Isa, Pool};
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
            let mut c = zeros(m * n);
            let flops = 2.0 * (m * k * n) as f64;
            let bytes = 4.0 * (m * k + m * n) as f64;
            let epilogue = Epilogue::activated(Activation::RELU6);
            self.line(&format!("gemm {m} x {k} x {n}"), flops, bytes, |ctx| {
                gemm(ctx, m, &a, k, &b, &mut c, n, &epilogue);
            });
            let mut scratch = zeros(gemm_at_b_scratch_len(m, k, n));
            let mut dw = zeros(k * n);
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
            let packed = DepthwiseWeights::pack(&shape, &w);
            let mut reversed = DepthwiseWeights::default();
            reversed.repack_for_input_gradient(&shape, &w);
            let mut y = zeros(shape.out_len());
            let epilogue = Epilogue::default();
            self.line(&format!("dw fwd {name}"), flops, bytes, |ctx| {
                depthwise(ctx, &shape, &x, &packed, &mut y, &epilogue);
            });
            let mut dw = zeros(shape.weight_len());
            let mut scratch = zeros(depthwise_backward_weight_scratch_len(&shape));
            self.line(&format!("dw bwd w {name}"), flops, bytes, |ctx| {
                depthwise_backward_weight(ctx, &shape, &x, &y, &mut dw, &mut scratch, false);
            });
            self.line(&format!("dw bwd x {name}"), flops, bytes, |ctx| {
                depthwise_backward_input(ctx, &shape, &y, &reversed, &mut x, false);
            });
        }
    }

    fn convolutions(&self) {
        for (n, hw, cin, cout, stride) in [
            (128, 28, 32, 32, 1),
            (64, 32, 3, 32, 2),
            (128, 14, 64, 64, 1),
            (128, 28, 32, 64, 2),
            (1, 56, 64, 64, 1),
            (1, 7, 512, 512, 1),
        ] {
            let shape = ConvShape::new([n, hw, hw, cin], cout, [3; 2], [stride; 2], [1; 4])
                .expect("the kernel fits");
            let name = format!("{n} x {hw} x {hw} x {cin} to {cout}, 3x3 s{stride}");
            let flops = 2.0 * shape.macs() as f64;
            let bytes = 4.0 * (shape.in_len() + shape.out_len()) as f64;
            let (mut x, w) = (values(shape.in_len()), values(shape.weight_len()));
            let mut y = zeros(shape.out_len());
            let packed = ConvWeights::pack(&shape, &w);
            let mut back = ConvWeights::default();
            back.repack_for_input_gradient(&shape, &w);
            let len = conv_scratch_len(&shape, 2)
                .max(conv_backward_input_scratch_len(&shape, 2))
                .max(conv_backward_weight_scratch_len(&shape));
            let (mut dw, mut scratch) = (zeros(w.len()), zeros(len));
            let epilogue = Epilogue::default();
            self.line(&format!("conv fwd {name}"), flops, bytes, |ctx| {
                conv(ctx, &shape, &x, &packed, &mut y, &mut scratch, &epilogue);
            });
            self.line(&format!("conv bwd w {name}"), flops, bytes, |ctx| {
                conv_backward_weight(ctx, &shape, &x, &y, &mut dw, &mut scratch, false);
            });
            self.line(&format!("conv bwd x {name}"), flops, bytes, |ctx| {
                conv_backward_input(ctx, &shape, &y, &back, &mut x, &mut scratch, false);
            });
        }
    }

    fn batch_norms(&self) {
        for (rows, c) in [(65536, 96), (65536, 16), (16384, 192), (4096, 384), (1024, 960)] {
            let y = values(rows * c);
            let (mut mean, mut variance) = (zeros(c), zeros(c));
            let ones = vec![1.0; c];
            let mut scratch = zeros(batch_norm_scratch_len(rows, c));
            let size = 4.0 * y.len() as f64;
            self.line(&format!("bn stats {rows} x {c}"), 0.0, size, |ctx| {
                batch_norm_statistics(ctx, &y, &mut mean, &mut variance, &mut scratch);
            });
            let clamp = Some((0.0, 6.0));
            let norm = Norm { mean: &mean, inverse_std: &ones, gamma: &ones, beta: &ones, clamp };
            let (mut z, mut dy) = (zeros(y.len()), zeros(y.len()));
            self.line(&format!("bn fwd {rows} x {c}"), 0.0, 2.0 * size, |ctx| {
                batch_norm(ctx, &y, &norm, None, &mut z);
            });
            let (mut d_gamma, mut d_beta) = (zeros(c), zeros(c));
            let mode = Statistics::Batch;
            self.line(&format!("bn bwd {rows} x {c}"), 0.0, 5.0 * size, |ctx| {
                let (dg, db) = (&mut d_gamma, &mut d_beta);
                batch_norm_backward(ctx, &z, &y, &norm, mode, &mut dy, dg, db, &mut scratch);
            });
        }
    }

    /// What the memory gives: the figure to hold the others against.
    fn copies(&self) {
        let (a, mut b) = (values(65536 * 96), zeros(65536 * 96));
        self.line("copy 65536 x 96", 0.0, 8.0 * a.len() as f64, |ctx| {
            ctx.pool.for_each_chunk_mut(&mut b, 65536, |i, b| {
                b.copy_from_slice(&a[i * 65536..][..b.len()]);
            });
        });
    }
}

/// Floats that start at a cache line, as the arenas of real runs do.
struct Floats {
    data: Vec<f32>,
    start: usize,
    len: usize,
}

impl std::ops::Deref for Floats {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.data[self.start..self.start + self.len]
    }
}

impl std::ops::DerefMut for Floats {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.data[self.start..self.start + self.len]
    }
}

fn floats(len: usize, value: impl Fn(usize) -> f32) -> Floats {
    let mut data = vec![0.0; len + 16];
    let start = data.as_ptr().align_offset(64);
    (0..len).for_each(|i| data[start + i] = value(i));
    Floats { data, start, len }
}

fn values(len: usize) -> Floats {
    floats(len, |i| ((i * 7919) % 1013) as f32 / 1013.0 - 0.5)
}

fn zeros(len: usize) -> Floats {
    floats(len, |_| 0.0)
}

/// GFLOP/s of a cache-resident product with a long reduction.
fn peak() -> f64 {
    let pool = Pool::new(1);
    let (m, k, n) = (48, 256, 128);
    let (a, b) = (values(m * k), PackedB::pack(k, n, &values(k * n)));
    let mut c = zeros(m * n);
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
    bench.convolutions();
    bench.depthwise();
    bench.batch_norms();
    bench.copies();
}
