//! Softmax and its logarithm along one dimension.

use edgecut_kernels::softmax::{softmax_along, softmax_backward};

use super::operator::{Backward, Forward, Operator};

/// Along the middle of `[outer, len, inner]`.
#[derive(Debug)]
pub(crate) struct Softmax {
    pub len: usize,
    pub inner: usize,
    pub log: bool,
}

impl Operator for Softmax {
    fn kind(&self) -> &'static str {
        "softmax"
    }

    fn reads_again(&self) -> bool {
        false
    }

    fn keeps_output(&self) -> bool {
        true
    }

    fn forward(&mut self, cx: Forward, z: &mut [f32]) {
        softmax_along(cx.env.ctx, self.len, self.inner, self.log, cx.reads.get(0), z);
    }

    /// `dx = y (dz - sum(dz y))`; of the logarithm, `dx = dz - exp(z) sum(dz)`.
    fn backward(&mut self, cx: Backward, dx: Option<&mut [f32]>) {
        let Some(dx) = dx else { return };
        let (len, inner, log) = (self.len, self.inner, self.log);
        if inner == 1 && !log {
            return softmax_backward(cx.env.ctx, len, cx.z, cx.dz, dx);
        }
        let size = len * inner;
        cx.env.ctx.pool.for_each_chunk_mut(dx, size, |i, dx| {
            let range = i * size..i * size + dx.len();
            let (z, dz) = (&cx.z[range.clone()], &cx.dz[range]);
            for column in 0..inner {
                let places = || (column..size).step_by(inner);
                let term = |i: usize| if log { dz[i] } else { dz[i] * z[i] };
                let sum = places().map(|i| f64::from(term(i))).sum::<f64>();
                for i in places() {
                    let (d, y) = (f64::from(dz[i]), f64::from(z[i]));
                    dx[i] = if log { d - libm::exp(y) * sum } else { y * (d - sum) } as f32;
                }
            }
        });
    }
}
