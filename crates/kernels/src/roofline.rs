//! What this machine can do at most: the two roofs under which every kernel runs.
//!
//! A step that computes `m` multiply-adds on `b` bytes takes at least the longer of `m / peak` and
//! `b / bandwidth` (Williams, Waterman and Patterson, "Roofline", CACM 2009). Both are measured, on
//! as many threads as will run the step and with the instructions that its kernel would use, because
//! clock, vector units and the share of a cache that a virtual machine gets are not written anywhere.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::simd::{LANES, Simd, simd_fn};
use crate::{Isa, quant};

/// How often each figure is taken; the best counts.
const TRIALS: usize = 5;

/// How long one of them lasts.
const TRIAL: Duration = Duration::from_millis(4);

/// Bytes that a thread reads for [`Peaks::far`]: as much as the weights of a network of 4 M
/// parameters, more than the second cache of any core.
const FAR_BYTES: usize = 16 << 20;

/// Size of the second cache where the system does not tell: the least that is common.
const COMMON_L2: usize = 256 << 10;

/// Peak rates of this machine, all threads together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peaks {
    /// Threads that ran.
    pub threads: usize,
    /// float32 multiply-adds a second, operands in registers.
    pub f32_macs: f64,
    /// Multiply-adds of u8 and s8 a second, operands in registers.
    pub int8_macs: f64,
    /// Bytes a second that come from the second cache of each core.
    pub near: f64,
    /// Bytes that the second caches of these threads hold.
    pub near_bytes: usize,
    /// Bytes a second that come from beyond it: a shared cache or memory.
    pub far: f64,
}

impl Peaks {
    /// Measures for about 0.1 s on `threads` threads, 0 counts as 1.
    pub fn measure(isa: Isa, threads: usize) -> Peaks {
        let threads = threads.max(1);
        let l2 = l2_bytes().unwrap_or(COMMON_L2);
        let read = |bytes: usize| {
            move || {
                let data = vec![1.0f32; bytes / size_of::<f32>()];
                move |passes: u64| -> u64 {
                    (0..passes).for_each(|_| _ = black_box(sum(isa, black_box(&data))));
                    passes * bytes as u64
                }
            }
        };
        let compute = |kernel: fn(Isa, u64) -> u64| move || move |n: u64| kernel(isa, black_box(n));
        Peaks {
            threads,
            f32_macs: rate(threads, compute(multiply_add)),
            int8_macs: rate(threads, compute(quant::multiply_add)),
            near: rate(threads, read(l2 / 2)),
            near_bytes: threads * l2,
            far: rate(threads, read(FAR_BYTES)),
        }
    }
}

/// Work a second of `threads` threads, each with its own `work` from `prepare`: a function that does
/// so many rounds and returns how much that was.
fn rate<W: FnMut(u64) -> u64>(threads: usize, prepare: impl Fn() -> W + Sync) -> f64 {
    let barrier = Barrier::new(threads);
    let trials = || {
        let mut work = prepare();
        let rounds = rounds_per_trial(&mut work);
        let mut trial = || {
            barrier.wait();
            let began = Instant::now();
            let done = work(rounds);
            done as f64 / began.elapsed().as_secs_f64().max(1e-9)
        };
        [0.0; TRIALS].map(|_| trial())
    };
    let all: Vec<[f64; TRIALS]> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(trials)).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    (0..TRIALS).map(|t| all.iter().map(|rates| rates[t]).sum()).fold(0.0, f64::max)
}

/// Doubles until the clock can tell.
fn rounds_per_trial(work: &mut impl FnMut(u64) -> u64) -> u64 {
    let mut rounds = 1;
    loop {
        let began = Instant::now();
        work(rounds);
        let elapsed = began.elapsed();
        if elapsed > TRIAL / 8 || rounds > u64::MAX / 16 {
            let factor = TRIAL.as_secs_f64() / elapsed.as_secs_f64().max(1e-9);
            return ((rounds as f64 * factor) as u64).max(1);
        }
        rounds *= 2;
    }
}

simd_fn! {
    /// `rounds` multiply-adds on each of twelve vectors (six pairs of registers where there are
    /// sixteen): latency 4 on two units needs eight that do not wait for each other. Returns their
    /// number.
    fn multiply_add(s: Simd, rounds: u64) -> u64 {
        if S::WIDE { chains::<S, 12>(s, rounds) } else { chains::<S, 6>(s, rounds) }
    }
}

#[inline(always)]
fn chains<S: Simd, const N: usize>(s: S, rounds: u64) -> u64 {
    let (a, b) = (s.splat(black_box(0.5)), s.splat(black_box(0.25)));
    let mut sums = [s.splat(black_box(0.0)); N];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = s.fma(a, b, *sum);
        }
    }
    black_box(sums);
    rounds * (N * LANES) as u64
}

simd_fn! {
    /// The sum of all whole groups of four or eight vectors: enough loads in flight.
    fn sum(s: Simd, data: &[f32]) -> f32 {
        if S::WIDE { sum_by::<S, 8>(s, data) } else { sum_by::<S, 4>(s, data) }
    }
}

#[inline(always)]
fn sum_by<S: Simd, const N: usize>(s: S, data: &[f32]) -> f32 {
    let mut sums = [s.splat(0.0); N];
    for group in data.chunks_exact(N * LANES) {
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the group has N vectors.
            *sum = s.add(*sum, unsafe { s.load(group.as_ptr().add(i * LANES)) });
        }
    }
    let total = sums.into_iter().reduce(|a, b| s.add(a, b)).unwrap_or(s.splat(0.0));
    let mut lanes = [0.0; LANES];
    // SAFETY: there are 16 floats to write to.
    unsafe { s.store(lanes.as_mut_ptr(), total) };
    lanes.iter().sum()
}

/// Size of a core's second cache, as Linux tells it.
fn l2_bytes() -> Option<usize> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/cpu0/cache/index2/size").ok()?;
    let kib: usize = text.trim().strip_suffix('K')?.parse().ok()?;
    (kib > 0).then_some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_are_rates_and_far_is_not_faster_than_near_by_much() {
        for isa in Isa::available() {
            let peaks = Peaks::measure(isa, 2);
            for rate in [peaks.f32_macs, peaks.int8_macs, peaks.near, peaks.far] {
                assert!(rate.is_finite() && rate > 1e6, "{peaks:?}");
            }
            assert_eq!(peaks.threads, 2);
        }
    }

    #[test]
    fn sums_are_of_everything() {
        let data: Vec<f32> = (0..LANES * 32).map(|i| i as f32).collect();
        let expected: f32 = data.iter().sum();
        for isa in Isa::available() {
            assert_eq!(sum(isa, &data), expected, "{}", isa.name());
        }
    }

    #[test]
    fn work_is_counted() {
        for isa in Isa::available() {
            let a_round = multiply_add(isa, 1);
            assert!(a_round > 0 && multiply_add(isa, 10) == 10 * a_round);
            let a_round = quant::multiply_add(isa, 1);
            assert!(a_round > 0 && quant::multiply_add(isa, 10) == 10 * a_round);
        }
    }
}
