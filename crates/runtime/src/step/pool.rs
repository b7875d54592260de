//! Pooling steps.

use edgecut_kernels::{ConvShape, quant};

use crate::plan::Slot;
use crate::step::Env;

/// Pooling over windows, channels in vectors.
pub(crate) struct Pool {
    pub x: Slot,
    pub y: Slot,
    pub shape: ConvShape,
    pub kind: PoolKind,
}

/// What is computed of a window.
#[derive(Clone, Copy)]
pub(crate) enum PoolKind {
    Max,
    MaxBytes,
    Average { include_pad: bool },
}

impl Pool {
    pub fn run(&self, env: &mut Env) {
        let s = &self.shape;
        match self.kind {
            PoolKind::MaxBytes => {
                quant::max_pool(env.ctx, s, env.read(self.x), env.write(self.y));
            }
            PoolKind::Max => self.rows(env, |x, y, oy, ox| {
                y.fill(f32::NEG_INFINITY);
                for_each_tap(s, oy, ox, |pixel| {
                    let x = &x[pixel * s.cin..][..s.cin];
                    y.iter_mut()
                        .zip(x)
                        .for_each(|(y, &x)| *y = if x > *y || x.is_nan() { x } else { *y });
                });
            }),
            PoolKind::Average { include_pad } => self.rows(env, |x, y, oy, ox| {
                y.fill(0.0);
                let mut taps = 0;
                for_each_tap(s, oy, ox, |pixel| {
                    let x = &x[pixel * s.cin..][..s.cin];
                    y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
                    taps += 1;
                });
                let divisor = if include_pad { s.kh * s.kw } else { taps } as f32;
                y.iter_mut().for_each(|y| *y /= divisor);
            }),
        }
    }

    fn rows(&self, env: &mut Env, f: impl Fn(&[f32], &mut [f32], usize, usize) + Sync) {
        let s = &self.shape;
        let (x, y) = (env.read::<f32>(self.x), env.write::<f32>(self.y));
        env.ctx.pool.for_each_chunk_mut(y, s.ow * s.cout, |row, y| {
            let image = &x[row / s.oh * s.h * s.w * s.cin..][..s.h * s.w * s.cin];
            for (ox, y) in y.chunks_exact_mut(s.cout).enumerate() {
                f(image, y, row % s.oh, ox);
            }
        });
    }
}

/// Calls `f` with each pixel of an image that the window of output `(oy, ox)` meets.
fn for_each_tap(s: &ConvShape, oy: usize, ox: usize, mut f: impl FnMut(usize)) {
    for ky in 0..s.kh {
        let Some(iy) = (oy * s.sh + ky * s.dh).checked_sub(s.pt).filter(|&i| i < s.h) else {
            continue;
        };
        for kx in 0..s.kw {
            if let Some(ix) = (ox * s.sw + kx * s.dw).checked_sub(s.pl).filter(|&i| i < s.w) {
                f(iy * s.w + ix);
            }
        }
    }
}

/// Mean over all pixels of each image.
pub(crate) struct GlobalAverage {
    pub x: Slot,
    pub y: Slot,
    pub images: usize,
    pub pixels: usize,
    pub channels: usize,
}

impl GlobalAverage {
    pub fn run(&self, env: &mut Env) {
        let (x, y) = (env.read::<f32>(self.x), env.write::<f32>(self.y));
        let image = self.pixels * self.channels;
        debug_assert_eq!(x.len(), self.images * image);
        env.ctx.pool.for_each_chunk_mut(y, self.channels, |i, y| {
            y.fill(0.0);
            for x in x[i * image..][..image].chunks_exact(self.channels) {
                y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
            }
            y.iter_mut().for_each(|y| *y /= self.pixels as f32);
        });
    }
}
