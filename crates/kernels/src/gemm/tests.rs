use super::*;
use crate::Activation;
use crate::testing::{assert_close, cases, everywhere, random};
use proptest::prelude::*;

/// `A B` in f64, dense.
fn product(m: usize, k: usize, n: usize, a: impl Fn(usize, usize) -> f32, b: &[f32]) -> Vec<f64> {
    let mut c = vec![0.0; m * n];
    for i in 0..m {
        for p in 0..k {
            for j in 0..n {
                c[i * n + j] += f64::from(a(i, p)) * f64::from(b[p * n + j]);
            }
        }
    }
    c
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn gemm_agrees_with_f64(
        m in 1usize..80, k in 0usize..50, n in 1usize..100,
        gaps in 0usize..5, seed: u64,
        bias: bool, residual: bool, clamp: bool, accumulate: bool, transposed: bool,
    ) {
        let (lda, ldc, ldr) = (k + gaps, n + 2 * gaps, n + gaps);
        let (a, b) = (random(m * lda, seed), random(k * n, seed ^ 1));
        let (bias_values, old) = (random(n, seed ^ 2), random(m * ldc, seed ^ 3));
        let skip = random(m * ldr, seed ^ 4);
        let epilogue = Epilogue {
            bias: bias.then_some(&bias_values[..]),
            residual: residual.then_some((&skip[..], ldr)),
            activation: Activation::clamp(clamp.then_some((-0.5, 0.75))),
            accumulate,
            interleave: None,
        };
        let packed = if transposed {
            let mut bt = vec![0.0; k * n];
            for i in 0..k {
                for j in 0..n {
                    bt[j * k + i] = b[i * n + j];
                }
            }
            let mut packed = PackedB::pack(3, 200, &[1.0; 600]);
            packed.repack(k, n, &bt, 1, k);
            packed
        } else {
            PackedB::pack(k, n, &b)
        };
        let got = everywhere(|ctx| {
            let mut c = old.clone();
            gemm(ctx, m, &a, lda, &packed, &mut c, ldc, &epilogue);
            c
        });
        let sums = product(m, k, n, |i, p| a[i * lda + p], &b);
        let mut want: Vec<f64> = old.iter().map(|&x| x.into()).collect();
        for i in 0..m {
            for j in 0..n {
                let mut y = sums[i * n + j];
                if bias { y += f64::from(bias_values[j]); }
                if accumulate { y += want[i * ldc + j]; }
                if residual { y += f64::from(skip[i * ldr + j]); }
                want[i * ldc + j] = if clamp { y.clamp(-0.5, 0.75) } else { y };
            }
        }
        assert_close(&got, &want, 1e-5);
    }

    #[test]
    fn at_b_agrees_with_f64(
        rows in 0usize..1500, k in 1usize..30, n in 1usize..80,
        gaps in 0usize..5, seed: u64, accumulate: bool,
    ) {
        let (lda, ldb) = (k + gaps, n + 2 * gaps);
        let (a, b) = (random(rows * lda, seed), random(rows * ldb, seed ^ 1));
        let old = random(k * n, seed ^ 2);
        let got = everywhere(|ctx| {
            let mut dw = old.clone();
            let mut scratch = vec![f32::NAN; gemm_at_b_scratch_len(rows, k, n)];
            gemm_at_b(ctx, rows, &a, lda, k, &b, ldb, n, &mut dw, n, &mut scratch, accumulate);
            dw
        });
        let dense: Vec<f32> =
            (0..rows).flat_map(|p| b[p * ldb..p * ldb + n].iter().copied()).collect();
        let mut want = product(k, rows, n, |i, p| a[p * lda + i], &dense);
        if accumulate {
            want.iter_mut().zip(&old).for_each(|(x, &y)| *x += f64::from(y));
        }
        assert_close(&got, &want, 5e-5);
    }
}

#[test]
fn a_large_reduction_crosses_blocks_and_spans() {
    let (rows, k, n) = (5000, 13, 200);
    let (a, b) = (random(rows * k, 1), random(rows * n, 2));
    let got = everywhere(|ctx| {
        let mut dw = vec![0.0; k * n];
        let mut scratch = vec![0.0; gemm_at_b_scratch_len(rows, k, n)];
        gemm_at_b(ctx, rows, &a, k, k, &b, n, n, &mut dw, n, &mut scratch, false);
        dw
    });
    assert_close(&got, &product(k, rows, n, |i, p| a[p * k + i], &b), 2e-4);
}

#[test]
fn nan_passes_the_clamp() {
    let b = PackedB::pack(1, 2, &[f32::NAN, 5.0]);
    let epilogue = Epilogue::activated(Activation::RELU6);
    let c = everywhere(|ctx| {
        let mut c = vec![0.0; 4];
        gemm(ctx, 2, &[1.0, -1.0], 1, &b, &mut c, 2, &epilogue);
        c
    });
    assert!(c[0].is_nan() && c[2].is_nan());
    assert_eq!([c[1], c[3]], [5.0, 0.0]);
}

#[test]
fn every_task_part_is_covered_once() {
    for threads in [1, 2, 8] {
        for (m, k, n) in [(1, 1280, 1280), (49, 160, 960), (65536, 16, 80), (7, 3, 1)] {
            let split = Split::new(threads, m, k, n);
            let panels = n.div_ceil(32);
            let mut seen = vec![0; m * panels];
            for task in 0..split.tasks {
                for (rows, panel_range) in split.parts(task) {
                    for row in rows {
                        panel_range.clone().for_each(|p| seen[row * panels + p] += 1);
                    }
                }
            }
            assert!(seen.iter().all(|&count| count == 1));
        }
    }
}
