//! Helpers of this crate's tests: generated data, and one result for all threads and instruction
//! sets.

use crate::{Ctx, Isa, Pool};
use proptest::prelude::ProptestConfig;
use std::sync::OnceLock;

/// `len` values in -1..1, the same for the same seed.
pub(crate) fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xd1b5_4a32_d192_ed03;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// `len` bytes, the same for the same seed.
pub(crate) fn random_bytes(len: usize, seed: u64) -> Vec<u8> {
    random(len, seed).into_iter().map(|x| (x * 128.0 + 128.0) as u8).collect()
}

/// Runs `f` for every instruction set of this machine on 1, 2 and 3 threads, asserts that all
/// results have the same bits, and returns them.
pub(crate) fn everywhere(f: impl Fn(Ctx) -> Vec<f32>) -> Vec<f32> {
    static POOLS: OnceLock<Vec<Pool>> = OnceLock::new();
    let pools = POOLS.get_or_init(|| (1..4).map(Pool::new).collect());
    let mut first: Option<Vec<f32>> = None;
    for isa in Isa::available() {
        for pool in pools {
            let result = f(Ctx { isa, pool });
            let Some(first) = &first else {
                first = Some(result);
                continue;
            };
            assert_eq!(first.len(), result.len());
            for (i, (x, y)) in first.iter().zip(&result).enumerate() {
                let place = || format!("element {i} on {} x {}", isa.name(), pool.threads());
                assert_eq!(x.to_bits(), y.to_bits(), "{x} and {y}: {}", place());
            }
        }
    }
    first.expect("there is always the scalar level")
}

/// Asserts that `got` is within `tolerance * (1 + |want|)` of `want`.
pub(crate) fn assert_close(got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(g) - w).abs();
        assert!(error <= tolerance * (1.0 + w.abs()), "element {i}: {g} instead of {w}");
    }
}

/// This many generated cases (`PROPTEST_CASES` at most, for slow machines), and no files with failed
/// ones.
pub(crate) fn cases(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig { cases: cases.min(default.cases), failure_persistence: None, ..default }
}
