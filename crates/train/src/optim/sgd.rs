//! Gradient descent with momentum.

use edgecut_kernels::Pool;

use super::{CHUNK, part};

/// One step's numbers.
pub(super) struct Sgd {
    pub momentum: f32,
    pub nesterov: bool,
    pub decay: f32,
    pub lr: f32,
}

impl Sgd {
    /// Updates `w` and its momentum `m` by the gradient `g`.
    pub fn step(&self, pool: &Pool, w: &mut [f32], m: &mut [f32], g: &[f32]) {
        pool.for_each_chunk2_mut(w, CHUNK, m, CHUNK, |i, w, m| {
            let g = part(g, i, w.len());
            for ((w, m), &g) in w.iter_mut().zip(m).zip(g) {
                let g = g + self.decay * *w;
                *m = self.momentum * *m + g;
                let update = if self.nesterov { g + self.momentum * *m } else { *m };
                *w -= self.lr * update;
            }
        });
    }
}
