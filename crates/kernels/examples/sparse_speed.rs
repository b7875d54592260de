//! Pointwise convolutions of lightweight networks with more and more zeros: how many times as fast as
//! the dense product the sparse one is, and whether [`sparse::pays`] would choose it.
//!
//! `cargo run --release -p edgecut-kernels --example sparse_speed [THREADS]`
//!
//! A star marks what is chosen. The last lines say where the choice was worst: the slowest that is
//! chosen, and the fastest that is not. Dense and sparse products are timed in turn, and the least of
//! each counts; operands stay in the caches, which favours the dense product, as its weights are more.

use edgecut_kernels::gemm::{PackedB, gemm};
use edgecut_kernels::{Activation, Ctx, Epilogue, Pool, sparse};
use std::time::Instant;

/// Pixels, input and output channels.
const LAYERS: [[usize; 3]; 24] = [
    [12544, 32, 64],
    [3136, 64, 128],
    [3136, 128, 128],
    [784, 128, 256],
    [784, 256, 256],
    [196, 256, 512],
    [196, 512, 512],
    [49, 512, 1024],
    [49, 1024, 1024],
    [12544, 16, 96],
    [12544, 32, 16],
    [3136, 96, 24],
    [3136, 24, 144],
    [784, 32, 192],
    [784, 192, 32],
    [196, 64, 384],
    [196, 384, 64],
    [196, 96, 576],
    [196, 576, 96],
    [49, 160, 960],
    [49, 960, 160],
    [49, 320, 1280],
    [112, 32, 64],
    [1, 960, 320],
];

/// Which weights are zero.
#[derive(Clone, Copy)]
enum Zeros {
    /// This share, anywhere.
    Single(f32),
    /// Two of each four input channels.
    TwoOfFour,
    /// This share of blocks of four outputs.
    Blocks(f32),
}

const PATTERNS: [(&str, Zeros); 8] = [
    ("30%", Zeros::Single(0.3)),
    ("50%", Zeros::Single(0.5)),
    ("2:4", Zeros::TwoOfFour),
    ("70%", Zeros::Single(0.7)),
    ("80%", Zeros::Single(0.8)),
    ("90%", Zeros::Single(0.9)),
    ("4x 50%", Zeros::Blocks(0.5)),
    ("4x 80%", Zeros::Blocks(0.8)),
];

/// Least time of each of two functions in seconds, called in turn.
fn times(mut a: impl FnMut(), mut b: impl FnMut()) -> [f64; 2] {
    let mut least = [f64::MAX; 2];
    let began = Instant::now();
    for round in 0.. {
        if round > 5 && began.elapsed().as_millis() > 20 {
            break;
        }
        let start = Instant::now();
        a();
        let between = Instant::now();
        b();
        least[0] = least[0].min((between - start).as_secs_f64());
        least[1] = least[1].min(between.elapsed().as_secs_f64());
    }
    least
}

fn main() {
    let threads = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1);
    let pool = Pool::new(threads);
    let ctx = Ctx::new(&pool);
    print!("{:>20}", "");
    PATTERNS.iter().for_each(|(name, _)| print!("{name:>9}"));
    println!();
    let mut chosen = (f64::MAX, String::new());
    let mut left = (0.0, String::new());
    for [m, k, n] in LAYERS {
        print!("{:20}", format!("{m} x {k} x {n}"));
        for (name, zeros) in PATTERNS {
            let matrix = matrix(k, n, zeros);
            let speedup = speedup(ctx, m, k, n, &matrix);
            let pays = sparse::pays(m, k, n, &matrix);
            print!("{speedup:8.2}{}", if pays { '*' } else { ' ' });
            let layer = || (speedup, format!("{m} x {k} x {n}, {name}"));
            if pays && speedup < chosen.0 {
                chosen = layer();
            } else if !pays && speedup > left.0 {
                left = layer();
            }
        }
        println!();
    }
    println!("slowest that is chosen:     {:.2} ({})", chosen.0, chosen.1);
    println!("fastest that is not chosen: {:.2} ({})", left.0, left.1);
}

/// Time of the dense product over that of the sparse one.
fn speedup(ctx: Ctx, m: usize, k: usize, n: usize, matrix: &[f32]) -> f64 {
    let (x, bias) = (values(m * k, 1), values(n, 2));
    let epilogue = Epilogue::biased(Some(&bias), Activation::RELU6);
    let (dense, weights) = (PackedB::pack(k, n, matrix), sparse::Weights::pack(k, n, matrix));
    let (mut out, mut other) = (vec![0.0; m * n], vec![0.0; m * n]);
    let mut scratch = vec![0.0; sparse::product_scratch_len(m, &weights, ctx.pool.threads())];
    let [dense, sparse] = times(
        || gemm(ctx, m, &x, k, &dense, &mut out, n, &epilogue),
        || sparse::product(ctx, m, &x, k, &weights, &mut other, n, &epilogue, &mut scratch),
    );
    dense / sparse
}

/// Weights `[k, n]` with such zeros.
fn matrix(k: usize, n: usize, zeros: Zeros) -> Vec<f32> {
    let (weights, chances) = (values(k * n, 3), values(k * n, 4));
    let goes = |i: usize| {
        let (row, column) = (i / n, i % n);
        let chance = |i: usize| (chances[i] + 1.0) / 2.0;
        match zeros {
            Zeros::Single(share) => chance(i) < share,
            Zeros::Blocks(share) => chance(row * n + column / 4 * 4) < share,
            Zeros::TwoOfFour => {
                let kept = (chance(row / 4 * 4 * n + column) * 6.0) as usize;
                let pairs = [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]];
                !pairs[kept.min(5)].contains(&(row % 4))
            }
        }
    };
    weights.iter().enumerate().map(|(i, &w)| if goes(i) { 0.0 } else { w }).collect()
}

/// Numbers in -1..1, the same for the same seed.
fn values(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}
