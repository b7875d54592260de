//! Adam's moments, and the steps that AdamW and LAMB make of them.

use edgecut_kernels::Pool;

use super::{CHUNK, part};

/// One step's numbers.
pub(super) struct Adam {
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    /// 1 / (1 - beta1^t).
    first: f64,
    /// 1 / sqrt(1 - beta2^t).
    second: f32,
}

impl Adam {
    /// The rule at step `step`, counted from 0.
    pub fn new(beta1: f32, beta2: f32, epsilon: f32, step: u64) -> Adam {
        let first = 1.0 / (1.0 - power(beta1.into(), step + 1));
        let second = (1.0 / (1.0 - power(beta2.into(), step + 1)).sqrt()) as f32;
        Adam { beta1, beta2, epsilon, first, second }
    }

    /// Takes the gradients `g` into both moments.
    pub fn moments(&self, pool: &Pool, m: &mut [f32], v: &mut [f32], g: &[f32]) {
        pool.for_each_chunk2_mut(m, CHUNK, v, CHUNK, |i, m, v| {
            for ((m, v), &g) in m.iter_mut().zip(v).zip(part(g, i, CHUNK.min(g.len() - i * CHUNK)))
            {
                *m += (1.0 - self.beta1) * (g - *m);
                *v = self.beta2 * *v + (1.0 - self.beta2) * g * g;
            }
        });
    }

    /// Steps by `lr` times Adam's direction, and decays by `lr * decay`.
    pub fn step(&self, pool: &Pool, w: &mut [f32], m: &[f32], v: &[f32], decay: f32, lr: f32) {
        let keep = 1.0 - lr * decay;
        let rate = (f64::from(lr) * self.first) as f32;
        pool.for_each_chunk_mut(w, CHUNK, |i, w| {
            let (m, v) = (part(m, i, w.len()), part(v, i, w.len()));
            for ((w, m), v) in w.iter_mut().zip(m).zip(v) {
                *w = *w * keep - rate * m / (v.sqrt() * self.second + self.epsilon);
            }
        });
    }

    /// LAMB's factor of the rate: the norm of the weights over that of the step with decay, 1 where
    /// one of them is 0.
    pub fn trust(&self, w: &[f32], m: &[f32], v: &[f32], decay: f32) -> f32 {
        let first = self.first as f32;
        let direction =
            |i: usize| first * m[i] / (v[i].sqrt() * self.second + self.epsilon) + decay * w[i];
        let (weights, step) = (norm(w.len(), |i| w[i]), norm(w.len(), direction));
        if weights > 0.0 && step > 0.0 { (weights / step) as f32 } else { 1.0 }
    }
}

/// Euclidean norm of `len` numbers, number i added to sum i % 8: an order that vectors can keep.
fn norm(len: usize, f: impl Fn(usize) -> f32) -> f64 {
    let mut sums = [0.0f64; 8];
    for i in 0..len {
        sums[i % 8] += f64::from(f(i)) * f64::from(f(i));
    }
    sums.iter().sum::<f64>().sqrt()
}

/// base^exponent by squaring: `powi` leaves its rounding to the platform.
fn power(mut base: f64, mut exponent: u64) -> f64 {
    let mut result = 1.0;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result *= base;
        }
        base *= base;
        exponent >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::power;

    #[test]
    fn power_is_repeated_multiplication() {
        assert_eq!(power(0.5, 10), 1.0 / 1024.0);
        assert!((power(0.999, 100_000) - 0.999f64.powi(100_000)).abs() < 1e-12);
        assert_eq!(power(0.9, 0), 1.0);
    }
}
