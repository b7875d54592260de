//! Addition, clamps, concatenation, sums over rows.

use super::{Dx, Env, Reads};

/// Floats of scratch memory that [`column_sums`] needs.
pub(crate) const SUM_SCRATCH: usize = 0;

/// `sums[c]`: the sum of each column of `x[rows, c]`.
pub(crate) fn column_sums(_env: &Env, x: &[f32], sums: &mut [f32], _scratch: &mut [f32]) {
    let c = sums.len();
    for (i, s) in sums.iter_mut().enumerate() {
        *s = x.iter().skip(i).step_by(c).map(|&v| f64::from(v)).sum::<f64>() as f32;
    }
}

/// `y += x`
pub(crate) fn add_to(_env: &Env, x: &[f32], y: &mut [f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
}

/// `z = a + b`, where `z` may lie where one of them does.
pub(crate) fn add(env: &Env, reads: &Reads, buffer: usize, z: &mut [f32]) {
    if reads.lies_in(0, buffer) {
        add_to(env, reads.get(1), z);
    } else if reads.lies_in(1, buffer) {
        add_to(env, reads.get(0), z);
    } else {
        z.copy_from_slice(reads.get(0));
        add_to(env, reads.get(1), z);
    }
}

/// The gradient of either input is that of the output.
pub(crate) fn add_backward(env: &Env, dz: &[f32], to: Dx, dx: &mut [f32]) {
    match to {
        Dx::Skip | Dx::InPlace => {}
        Dx::Write => dx.copy_from_slice(dz),
        Dx::Accumulate => add_to(env, dz, dx),
    }
}

/// `z = min(max(x, low), high)`.
#[derive(Debug)]
pub(crate) struct Clamp {
    pub low: f32,
    pub high: f32,
}

impl Clamp {
    pub fn forward(&self, _env: &Env, reads: &Reads, buffer: usize, z: &mut [f32]) {
        if !reads.lies_in(0, buffer) {
            z.copy_from_slice(reads.get(0));
        }
        z.iter_mut().for_each(|z| *z = z.max(self.low).min(self.high));
    }

    pub fn backward(&self, _env: &Env, z: &[f32], dz: &mut [f32], to: Dx, dx: &mut [f32]) {
        let keep = |z: f32| if z > self.low && z < self.high { 1.0 } else { 0.0 };
        match to {
            Dx::Skip => {}
            Dx::InPlace => dz.iter_mut().zip(z).for_each(|(d, &z)| *d *= keep(z)),
            Dx::Write => {
                for ((x, d), &z) in dx.iter_mut().zip(dz).zip(z) {
                    *x = *d * keep(z);
                }
            }
            Dx::Accumulate => {
                for ((x, d), &z) in dx.iter_mut().zip(dz).zip(z) {
                    *x += *d * keep(z);
                }
            }
        }
    }
}

/// Channels of several inputs behind each other.
#[derive(Debug)]
pub(crate) struct Concat {
    /// Channels of each input.
    widths: Vec<usize>,
    pixels: usize,
}

impl Concat {
    pub fn new(widths: Vec<usize>, pixels: usize) -> Concat {
        Concat { widths, pixels }
    }

    pub fn forward(&self, _env: &Env, reads: &Reads, z: &mut [f32]) {
        let total: usize = self.widths.iter().sum();
        let mut start = 0;
        for (i, &width) in self.widths.iter().enumerate() {
            let rows = z.chunks_exact_mut(total).zip(reads.get(i).chunks_exact(width));
            rows.for_each(|(z, x)| z[start..start + width].copy_from_slice(x));
            start += width;
        }
    }

    pub fn backward(&self, env: &Env, index: usize, dz: &[f32], to: Dx, dx: &mut [f32]) {
        debug_assert!(dz.len() == env.n * self.pixels * self.widths.iter().sum::<usize>());
        let total: usize = self.widths.iter().sum();
        let (start, width) = (self.widths[..index].iter().sum::<usize>(), self.widths[index]);
        for (dx, dz) in dx.chunks_exact_mut(width).zip(dz.chunks_exact(total)) {
            let dz = &dz[start..start + width];
            match to {
                Dx::Accumulate => add_to(env, dz, dx),
                _ => dx.copy_from_slice(dz),
            }
        }
    }
}
