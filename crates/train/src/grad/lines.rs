//! Functions of whole lines of a tensor: norms along one dimension, running sums.

use super::operator::{Backward, Forward, Operator};

/// What becomes of each line.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    /// `x / norm(x)` with the 1-norm or 2-norm; zero where that is zero.
    LpNorm(usize),
    /// Local response normalisation: `x / (bias + alpha / size * sum of squares of neighbours)^beta`.
    Response { alpha: f32, beta: f32, bias: f32, size: usize },
    /// Sums of all elements up to each one.
    Sums {
        /// Whether an element's own value is left out.
        exclusive: bool,
        /// Whether sums run from the end.
        reverse: bool,
    },
}

/// A rule applied to each line along the middle of `[outer, len, inner]`.
#[derive(Debug)]
pub(crate) struct Lines {
    pub len: usize,
    pub inner: usize,
    pub rule: Rule,
}

impl Lines {
    /// Calls `f(places, out)` for every line of each matrix of `out`, with the matrix's first index.
    fn each(
        &self,
        ctx: edgecut_kernels::Ctx,
        out: &mut [f32],
        f: impl Fn(usize, &dyn Fn(usize) -> usize, &mut [f32]) + Sync,
    ) {
        let size = self.len * self.inner;
        ctx.pool.for_each_chunk_mut(out, size, |matrix, out| {
            for column in 0..self.inner {
                f(matrix * size, &|i| column + i * self.inner, out);
            }
        });
    }
}

/// Elements around `i` whose squares count: of an even number, one more lies behind than before.
fn neighbours(i: usize, size: usize, len: usize) -> std::ops::Range<usize> {
    let (before, after) = ((size - 1) / 2, size / 2);
    i.saturating_sub(before)..i.saturating_add(after + 1).min(len)
}

impl Operator for Lines {
    fn kind(&self) -> &'static str {
        "lines"
    }

    fn forward(&mut self, cx: Forward, z: &mut [f32]) {
        let (x, len, rule) = (cx.reads.get(0), self.len, self.rule);
        self.each(cx.env.ctx, z, |start, at, z| {
            let x = |i: usize| f64::from(x[start + at(i)]);
            match rule {
                Rule::LpNorm(p) => {
                    let norm = norm(p, len, &x);
                    (0..len).for_each(|i| z[at(i)] = divide(x(i), norm));
                }
                Rule::Response { beta, size, .. } => (0..len).for_each(|i| {
                    let base = base(rule, neighbours(i, size, len), &x);
                    z[at(i)] = (x(i) / libm::pow(base, beta.into())) as f32;
                }),
                Rule::Sums { exclusive, reverse } => {
                    running(len, exclusive, reverse, &x, |i, sum| z[at(i)] = sum);
                }
            }
        });
    }

    fn backward(&mut self, cx: Backward, dx: Option<&mut [f32]>) {
        let Some(dx) = dx else { return };
        let (x, dz, len, rule) = (cx.reads.get(0), cx.dz, self.len, self.rule);
        self.each(cx.env.ctx, dx, |start, at, dx| {
            let x = |i: usize| f64::from(x[start + at(i)]);
            let dz = |i: usize| f64::from(dz[start + at(i)]);
            match rule {
                Rule::LpNorm(p) => {
                    let norm = norm(p, len, &x);
                    let along = (0..len).map(|i| dz(i) * x(i)).sum::<f64>();
                    let along = divide(along, norm * norm);
                    for i in 0..len {
                        let slope = if p == 1 { sign(x(i)) } else { f64::from(divide(x(i), norm)) };
                        dx[at(i)] =
                            (f64::from(divide(dz(i), norm)) - slope * f64::from(along)) as f32;
                    }
                }
                Rule::Response { alpha, beta, size, .. } => {
                    let base = |i| base(rule, neighbours(i, size, len), &x);
                    let beta = f64::from(beta);
                    let factor = 2.0 * f64::from(alpha) / size as f64 * beta;
                    for j in 0..len {
                        // Whose neighbour j is: the mirrored range.
                        let (before, after) = ((size - 1) / 2, size / 2);
                        let of = j.saturating_sub(after)..j.saturating_add(before + 1).min(len);
                        let term = |i: usize| dz(i) * x(i) * libm::pow(base(i), -beta - 1.0);
                        let others = of.map(term).sum::<f64>();
                        let own = dz(j) * libm::pow(base(j), -beta);
                        dx[at(j)] = (own - factor * x(j) * others) as f32;
                    }
                }
                Rule::Sums { exclusive, reverse } => {
                    running(len, exclusive, !reverse, &dz, |i, sum| dx[at(i)] = sum);
                }
            }
        });
    }
}

fn norm(p: usize, len: usize, x: &dyn Fn(usize) -> f64) -> f64 {
    match p {
        1 => (0..len).map(|i| x(i).abs()).sum(),
        _ => (0..len).map(|i| x(i) * x(i)).sum::<f64>().sqrt(),
    }
}

fn divide(x: f64, by: f64) -> f32 {
    if by == 0.0 { 0.0 } else { (x / by) as f32 }
}

fn sign(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

/// What local response normalisation raises to its power.
fn base(rule: Rule, places: std::ops::Range<usize>, x: &dyn Fn(usize) -> f64) -> f64 {
    let Rule::Response { alpha, bias, size, .. } = rule else { return 1.0 };
    let squares = places.map(|i| x(i) * x(i)).sum::<f64>();
    f64::from(bias) + f64::from(alpha) / size as f64 * squares
}

fn running(
    len: usize,
    exclusive: bool,
    reverse: bool,
    x: &dyn Fn(usize) -> f64,
    mut store: impl FnMut(usize, f32),
) {
    let mut sum = 0.0;
    for i in 0..len {
        let i = if reverse { len - 1 - i } else { i };
        let with = sum + x(i);
        store(i, if exclusive { sum } else { with } as f32);
        sum = with;
    }
}
