//! Addition, clamps, concatenation.

use edgecut_kernels::elementwise::{Unary, add, add_to, unary, unary_backward, unary_in_place};
use edgecut_kernels::layout::copy_rows;

use super::{Dx, Env, Reads};

/// `z = a + b`, where `z` may lie where one of them does.
pub(crate) fn sum(env: &Env, reads: &Reads, place: usize, z: &mut [f32]) {
    if reads.lies_at(0, place) {
        add_to(env.ctx, reads.get(1), z);
    } else if reads.lies_at(1, place) {
        add_to(env.ctx, reads.get(0), z);
    } else {
        add(env.ctx, reads.get(0), reads.get(1), None, z);
    }
}

/// The gradient of either input of a sum is that of the output; it is shared unless the input has
/// one already.
pub(crate) fn sum_backward(env: &Env, dz: &[f32], to: Dx, dx: &mut [f32]) {
    match to {
        Dx::Skip | Dx::InPlace => {}
        Dx::Write => dx.copy_from_slice(dz),
        Dx::Accumulate => add_to(env.ctx, dz, dx),
    }
}

/// `z = min(max(x, low), high)`.
#[derive(Debug)]
pub(crate) struct Clamp {
    pub low: f32,
    pub high: f32,
}

/// Elements that one task masks.
const CHUNK: usize = 1 << 14;

impl Clamp {
    fn op(&self) -> Unary {
        Unary::Clamp(self.low, self.high)
    }

    pub fn forward(&self, env: &Env, reads: &Reads, place: usize, z: &mut [f32]) {
        if reads.lies_at(0, place) {
            unary_in_place(env.ctx, self.op(), z);
        } else {
            unary(env.ctx, self.op(), reads.get(0), z);
        }
    }

    /// The output tells as well as the input whether the latter was strictly between the bounds.
    pub fn backward(&self, env: &Env, z: &[f32], dz: &mut [f32], to: Dx, dx: &mut [f32]) {
        if to == Dx::InPlace {
            let (low, high) = (self.low, self.high);
            env.ctx.pool.for_each_chunk_mut(dz, CHUNK, |i, dz| {
                for (d, &z) in dz.iter_mut().zip(&z[i * CHUNK..]) {
                    *d = if z > low && z < high { *d } else { 0.0 };
                }
            });
        } else if to != Dx::Skip {
            unary_backward(env.ctx, self.op(), z, dz, dx, to == Dx::Accumulate);
        }
    }
}

/// Channels of several inputs behind each other.
#[derive(Debug)]
pub(crate) struct Concat {
    /// Channels of each input.
    widths: Vec<usize>,
    pixels: usize,
    batch: usize,
}

impl Concat {
    pub fn new(batch: usize, pixels: usize, widths: Vec<usize>) -> Concat {
        Concat { widths, pixels, batch }
    }

    /// One input's part of the gradient, where it must be added to another.
    pub fn scratch_len(&self) -> usize {
        self.batch * self.pixels * self.widths.iter().max().copied().unwrap_or(0)
    }

    fn total(&self) -> usize {
        self.widths.iter().sum()
    }

    pub fn forward(&self, env: &Env, reads: &Reads, z: &mut [f32]) {
        let (rows, total) = (env.n * self.pixels, self.total());
        let mut start = 0;
        for (i, &width) in self.widths.iter().enumerate() {
            copy_rows(env.ctx, rows, width, reads.get(i), width, &mut z[start..], total);
            start += width;
        }
    }

    pub fn backward(
        &self,
        env: &Env,
        index: usize,
        dz: &[f32],
        to: Dx,
        dx: &mut [f32],
        scratch: &mut [f32],
    ) {
        let (rows, total, width) = (env.n * self.pixels, self.total(), self.widths[index]);
        let dz = &dz[self.widths[..index].iter().sum()..];
        match to {
            Dx::Skip | Dx::InPlace => {}
            Dx::Write => copy_rows(env.ctx, rows, width, dz, total, dx, width),
            Dx::Accumulate => {
                let part = &mut scratch[..dx.len()];
                copy_rows(env.ctx, rows, width, dz, total, part, width);
                add_to(env.ctx, part, dx);
            }
        }
    }
}
