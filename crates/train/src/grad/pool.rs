//! Pooling.

use super::{Dx, Env};

/// Geometry of a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolShape {
    pub n: usize,
    pub h: usize,
    pub w: usize,
    pub c: usize,
    pub oh: usize,
    pub ow: usize,
    pub kh: usize,
    pub kw: usize,
    pub sh: usize,
    pub sw: usize,
    pub pt: usize,
    pub pl: usize,
    pub pb: usize,
    pub pr: usize,
}

impl PoolShape {
    fn taps(&self, mut f: impl FnMut(usize, usize)) {
        for oy in 0..self.oh {
            for ox in 0..self.ow {
                for ky in 0..self.kh {
                    for kx in 0..self.kw {
                        let (y, x) = (oy * self.sh + ky, ox * self.sw + kx);
                        let (Some(y), Some(x)) = (y.checked_sub(self.pt), x.checked_sub(self.pl))
                        else {
                            continue;
                        };
                        if y < self.h && x < self.w {
                            f(oy * self.ow + ox, y * self.w + x);
                        }
                    }
                }
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct MaxPool {
    shape: PoolShape,
    argmax: Vec<u32>,
}

impl MaxPool {
    pub fn new(shape: PoolShape) -> MaxPool {
        MaxPool { shape, argmax: vec![0; shape.n * shape.oh * shape.ow * shape.c] }
    }
    pub fn scratch_len(&self) -> usize {
        0
    }
    pub fn forward(&mut self, env: &Env, x: &[f32], z: &mut [f32]) {
        let s = self.shape;
        z.fill(f32::NEG_INFINITY);
        for i in 0..env.n {
            s.taps(|o, p| {
                for c in 0..s.c {
                    let (o, p) = ((i * s.oh * s.ow + o) * s.c + c, (i * s.h * s.w + p) * s.c + c);
                    if x[p] > z[o] {
                        z[o] = x[p];
                        self.argmax[o] = p as u32;
                    }
                }
            });
        }
    }
    pub fn backward(&self, _env: &Env, dz: &[f32], to: Dx, dx: &mut [f32], _s: &mut [f32]) {
        if to == Dx::Write {
            dx.fill(0.0);
        }
        if to != Dx::Skip {
            dz.iter().zip(&self.argmax).for_each(|(d, &p)| dx[p as usize] += d);
        }
    }
}

#[derive(Debug)]
pub(crate) struct AveragePool {
    shape: PoolShape,
    include: bool,
}

impl AveragePool {
    pub fn new(shape: PoolShape, include: bool) -> AveragePool {
        AveragePool { shape, include }
    }
    pub fn scratch_len(&self) -> usize {
        0
    }
    fn counts(&self) -> Vec<f32> {
        let mut counts = vec![0.0; self.shape.oh * self.shape.ow];
        self.shape.taps(|o, _| counts[o] += 1.0);
        if self.include {
            counts.fill((self.shape.kh * self.shape.kw) as f32);
        }
        counts
    }
    pub fn forward(&mut self, env: &Env, x: &[f32], z: &mut [f32]) {
        let s = self.shape;
        z.fill(0.0);
        let counts = self.counts();
        for i in 0..env.n {
            s.taps(|o, p| {
                for c in 0..s.c {
                    let (q, p) = ((i * s.oh * s.ow + o) * s.c + c, (i * s.h * s.w + p) * s.c + c);
                    z[q] += x[p] / counts[o];
                }
            });
        }
    }
    pub fn backward(&self, env: &Env, dz: &[f32], to: Dx, dx: &mut [f32], _s: &mut [f32]) {
        let s = self.shape;
        if to == Dx::Write {
            dx.fill(0.0);
        }
        let counts = self.counts();
        for i in 0..env.n {
            s.taps(|o, p| {
                for c in 0..s.c {
                    let (q, p) = ((i * s.oh * s.ow + o) * s.c + c, (i * s.h * s.w + p) * s.c + c);
                    if to != Dx::Skip {
                        dx[p] += dz[q] / counts[o];
                    }
                }
            });
        }
    }
}

pub(crate) fn global_average(_env: &Env, pixels: usize, c: usize, x: &[f32], z: &mut [f32]) {
    for (z, x) in z.chunks_exact_mut(c).zip(x.chunks_exact(pixels * c)) {
        for (ch, z) in z.iter_mut().enumerate() {
            *z = x.iter().skip(ch).step_by(c).sum::<f32>() / pixels as f32;
        }
    }
}

pub(crate) fn global_average_backward(
    _env: &Env,
    pixels: usize,
    c: usize,
    dz: &[f32],
    to: Dx,
    dx: &mut [f32],
) {
    for (dx, dz) in dx.chunks_exact_mut(pixels * c).zip(dz.chunks_exact(c)) {
        for (i, dx) in dx.iter_mut().enumerate() {
            let g = dz[i % c] / pixels as f32;
            match to {
                Dx::Accumulate => *dx += g,
                _ => *dx = g,
            }
        }
    }
}
