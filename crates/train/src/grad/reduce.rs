//! Joining elements to one: reductions of any dimensions, pooling by a power.

use super::operator::{Backward, Forward, Operator};
use super::spread::invert;

/// Elements per task.
const TASK: usize = 4 * 1024;

/// How elements are joined.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Join {
    Mean,
    Sum,
    Prod,
    /// Equal largest elements share the gradient.
    Max,
    /// Equal smallest elements share the gradient.
    Min,
    LogSum,
    LogSumExp,
    SumSquare,
    /// `(sum |x|^p)^(1/p)`; its gradient is 0 where it is 0.
    Power(f64),
}

/// Each element of an image of the output joins a list of elements of the input.
#[derive(Debug)]
pub(crate) struct Reduce {
    join: Join,
    input: usize,
    /// Where the list of each output begins; one more entry at the end.
    starts: Vec<u32>,
    members: Vec<u32>,
    /// Where the outputs that each input belongs to begin in `outputs`.
    owners: Vec<u32>,
    outputs: Vec<u32>,
}

impl Reduce {
    /// `lists` has the elements of each output, of `input` in an image.
    pub fn new(join: Join, input: usize, lists: &[Vec<u32>]) -> Reduce {
        let mut starts = vec![0];
        let (mut members, mut of) = (vec![], vec![]);
        for (output, list) in lists.iter().enumerate() {
            members.extend_from_slice(list);
            of.extend(std::iter::repeat_n(output as u32, list.len()));
            starts.push(members.len() as u32);
        }
        let (owners, positions) = invert(&members, input);
        let outputs = positions.into_iter().map(|p| of[p as usize]).collect();
        Reduce { join, input, starts, members, owners, outputs }
    }

    fn list(&self, output: usize) -> &[u32] {
        &self.members[self.starts[output] as usize..self.starts[output + 1] as usize]
    }

    fn value(&self, image: &[f32], output: usize) -> f32 {
        let values = || self.list(output).iter().map(|&i| f64::from(image[i as usize]));
        let joined = match self.join {
            Join::Sum => values().sum(),
            Join::Mean => values().sum::<f64>() / values().len() as f64,
            Join::Prod => values().product(),
            Join::Max => values().fold(f64::NEG_INFINITY, larger),
            Join::Min => -values().fold(f64::NEG_INFINITY, |m, v| larger(m, -v)),
            Join::LogSum => libm::log(values().sum()),
            Join::LogSumExp => {
                let max = values().fold(f64::NEG_INFINITY, f64::max);
                let max = if max.is_finite() { max } else { 0.0 };
                max + libm::log(values().map(|v| libm::exp(v - max)).sum())
            }
            Join::SumSquare => values().map(|v| v * v).sum(),
            Join::Power(p) => root(values().map(|v| power(v.abs(), p)).sum(), p),
        };
        joined as f32
    }

    /// The derivative of an output, which is `y`, by its member `at`.
    fn slope(&self, image: &[f32], output: usize, at: u32, y: f32) -> f64 {
        let list = self.list(output);
        let (x, wide) = (image[at as usize], f64::from(y));
        match self.join {
            Join::Sum => 1.0,
            Join::Mean => 1.0 / list.len() as f64,
            Join::Prod => {
                let others = list.iter().filter(|&&i| i != at);
                others.map(|&i| f64::from(image[i as usize])).product()
            }
            Join::Max | Join::Min if x != y => 0.0,
            Join::Max | Join::Min => {
                let equal = list.iter().filter(|&&i| image[i as usize] == y).count();
                1.0 / equal as f64
            }
            Join::LogSum => libm::exp(-wide),
            Join::LogSumExp => libm::exp(f64::from(x) - wide),
            Join::SumSquare => 2.0 * f64::from(x),
            Join::Power(_) if y == 0.0 => 0.0,
            Join::Power(p) => {
                let sign = if x == 0.0 { 0.0 } else { f64::from(x.signum()) };
                sign * power(f64::from(x.abs()) / wide, p - 1.0)
            }
        }
    }
}

/// The larger one; not a number where either is not.
fn larger(a: f64, b: f64) -> f64 {
    if a > b || a.is_nan() { a } else { b }
}

fn power(x: f64, p: f64) -> f64 {
    match p {
        0.0 => 1.0,
        1.0 => x,
        2.0 => x * x,
        _ => libm::pow(x, p),
    }
}

fn root(x: f64, p: f64) -> f64 {
    match p {
        1.0 => x,
        2.0 => x.sqrt(),
        _ => libm::pow(x, 1.0 / p),
    }
}

impl Operator for Reduce {
    fn kind(&self) -> &'static str {
        "reduce"
    }

    fn keeps_output(&self) -> bool {
        true
    }

    fn forward(&mut self, cx: Forward, z: &mut [f32]) {
        let (x, count) = (cx.reads.get(0), self.starts.len() - 1);
        let length = self.members.len() / count.max(1);
        cx.env.ctx.pool.for_each_chunk_mut(z, (TASK / length.max(1)).max(1), |task, z| {
            let first = task * (TASK / length.max(1)).max(1);
            for (i, z) in z.iter_mut().enumerate() {
                let (image, output) = ((first + i) / count, (first + i) % count);
                *z = self.value(&x[image * self.input..][..self.input], output);
            }
        });
    }

    fn backward(&mut self, cx: Backward, dx: Option<&mut [f32]>) {
        let Some(dx) = dx else { return };
        let (x, count, input) = (cx.reads.get(0), self.starts.len() - 1, self.input);
        cx.env.ctx.pool.for_each_chunk_mut(dx, TASK, |task, dx| {
            for (i, dx) in dx.iter_mut().enumerate() {
                let (image, at) = ((task * TASK + i) / input, (task * TASK + i) % input);
                let own = &x[image * input..][..input];
                let outputs = self.owners[at] as usize..self.owners[at + 1] as usize;
                let term = |&output: &u32| {
                    let place = image * count + output as usize;
                    let slope = self.slope(own, output as usize, at as u32, cx.z[place]);
                    f64::from(cx.dz[place]) * slope
                };
                *dx = self.outputs[outputs].iter().map(term).sum::<f64>() as f32;
            }
        });
    }
}
