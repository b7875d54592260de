//! Convolutions and matrix products in float32, with what follows them.

use serde::{Deserialize, Serialize};

use std::sync::Arc;

use edgecut_kernels::bf16;
use edgecut_kernels::conv::ConvWeights;
use edgecut_kernels::gemm::{PackedB, gemm};
use edgecut_kernels::matmul::matmul;
use edgecut_kernels::{Activation, Blob, ConvShape, Epilogue, conv};

use crate::plan::Slot;
use crate::step::Env;
use crate::step::check::{Check, Checked, ensure, product, valid};

/// What a convolution does to its sums before they are stored: bias, then a residual of the
/// result's shape, then an activation.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tail {
    pub bias: Option<Blob<f32>>,
    pub residual: Option<Slot>,
    pub activation: Activation,
}

impl Tail {
    fn bytes(&self) -> usize {
        self.bias.as_ref().map_or(0, Blob::bytes)
    }

    /// For `rows` rows of `row` channels.
    fn check(&self, c: &mut Check, rows: usize, row: usize) -> Checked {
        let bias = self.bias.as_ref().is_none_or(|bias| bias.len() >= row);
        ensure(bias, || format!("fewer than {row} bias values"))?;
        let len = product(&[rows, row])?;
        self.residual.map_or(Ok(()), |residual| c.read::<f32>(residual, len))
    }

    /// `row` is the number of output channels.
    fn epilogue<'a>(&'a self, env: &mut Env<'a>, row: usize) -> Epilogue<'a> {
        Epilogue {
            bias: self.bias.as_deref(),
            residual: self.residual.map(|slot| (env.read::<f32>(slot), row)),
            activation: self.activation,
            ..Epilogue::default()
        }
    }
}

/// Convolution as matrix products over packed weights.
#[derive(Serialize, Deserialize)]
pub(crate) struct Conv {
    pub x: Slot,
    pub y: Slot,
    pub shape: ConvShape,
    pub weights: Arc<ConvWeights>,
    pub tail: Tail,
}

impl Conv {
    pub fn check(&self, c: &mut Check) -> Checked {
        let s = &self.shape;
        valid(s)?;
        ensure(self.weights.fit(s), || format!("the weights are not those of {s:?}"))?;
        c.read::<f32>(self.x, s.in_len())?;
        self.tail.check(c, s.out_pixels(), s.cout)?;
        c.write::<f32>(self.y, s.out_len())
    }

    pub fn weight_bytes(&self) -> usize {
        self.weights.bytes() + self.tail.bytes()
    }

    pub fn scratch_bytes(&self, threads: usize) -> usize {
        4 * conv::conv_scratch_len(&self.shape, threads)
    }

    pub fn run<'a>(&'a self, env: &mut Env<'a>) {
        let (x, y) = (env.read(self.x), env.write(self.y));
        let epilogue = self.tail.epilogue(env, self.shape.cout);
        let scratch = env.scratch(self.scratch_bytes(env.ctx.pool.threads()) / 4);
        conv::conv(env.ctx, &self.shape, x, &self.weights, y, scratch, &epilogue);
    }
}

/// Rows of x times packed weights.
#[derive(Serialize, Deserialize)]
pub(crate) struct Linear {
    pub x: Slot,
    pub y: Slot,
    pub rows: usize,
    pub weights: Arc<PackedB>,
    pub tail: Tail,
}

impl Linear {
    pub fn check(&self, c: &mut Check) -> Checked {
        let (k, n) = (self.weights.k(), self.weights.n());
        ensure(self.weights.fit(k, n), || format!("the weights are not {k} x {n}"))?;
        c.read::<f32>(self.x, product(&[self.rows, k])?)?;
        self.tail.check(c, self.rows, n)?;
        c.write::<f32>(self.y, product(&[self.rows, n])?)
    }

    pub fn weight_bytes(&self) -> usize {
        self.weights.bytes() + self.tail.bytes()
    }

    pub fn run<'a>(&'a self, env: &mut Env<'a>) {
        let (x, y) = (env.read(self.x), env.write(self.y));
        let (k, n) = (self.weights.k(), self.weights.n());
        let epilogue = self.tail.epilogue(env, n);
        gemm(env.ctx, self.rows, x, k, &self.weights, y, n, &epilogue);
    }
}

/// [`Linear`] in bfloat16.
#[derive(Serialize, Deserialize)]
pub(crate) struct LinearBf16 {
    pub x: Slot,
    pub y: Slot,
    pub rows: usize,
    pub weights: Arc<bf16::Weights>,
    pub tail: Tail,
}

impl LinearBf16 {
    pub fn check(&self, c: &mut Check) -> Checked {
        let (k, n) = (self.weights.k(), self.weights.n());
        let row = ConvShape::new([1, 1, self.rows, k], n, [1, 1], [1, 1], [0; 4]);
        let fit = row.is_some_and(|row| self.weights.fit(&row));
        ensure(fit, || format!("the weights are not {k} x {n}"))?;
        c.read::<f32>(self.x, product(&[self.rows, k])?)?;
        self.tail.check(c, self.rows, n)?;
        c.write::<f32>(self.y, product(&[self.rows, n])?)
    }

    pub fn weight_bytes(&self) -> usize {
        self.weights.bytes() + self.tail.bytes()
    }

    pub fn scratch_bytes(&self, threads: usize) -> usize {
        4 * bf16::product_scratch_len(self.rows, &self.weights, threads)
    }

    pub fn run<'a>(&'a self, env: &mut Env<'a>) {
        let (x, y) = (env.read(self.x), env.write(self.y));
        let (k, n) = (self.weights.k(), self.weights.n());
        let epilogue = self.tail.epilogue(env, n);
        let scratch = env.scratch(self.scratch_bytes(env.ctx.pool.threads()) / 4);
        bf16::product(env.ctx, self.rows, x, k, &self.weights, y, n, &epilogue, scratch);
    }
}

/// Products of pairs of matrices that are both computed, row-major.
#[derive(Serialize, Deserialize)]
pub(crate) struct MatMul {
    pub a: Slot,
    pub b: Slot,
    pub y: Slot,
    /// Rows of the result, length of the sums, columns.
    pub extents: [usize; 3],
    /// Where the left and right matrix of each product begin.
    pub starts: [Vec<usize>; 2],
}

impl MatMul {
    pub fn check(&self, c: &mut Check) -> Checked {
        let [m, k, n] = self.extents;
        let count = self.starts[0].len();
        ensure(self.starts[1].len() == count, || "one start for each matrix".into())?;
        for (slot, starts, size) in [
            (self.a, &self.starts[0], product(&[m, k])?),
            (self.b, &self.starts[1], product(&[k, n])?),
        ] {
            let len = c.len::<f32>(slot)?;
            let inside = |&start: &usize| start <= len && size <= len - start;
            ensure(starts.iter().all(inside), || format!("a matrix outside of {len} elements"))?;
            c.read::<f32>(slot, len)?;
        }
        product(&[m, n])?;
        c.write::<f32>(self.y, product(&[count, m, n])?)
    }

    pub fn weight_bytes(&self) -> usize {
        self.starts.iter().map(|starts| size_of_val(&starts[..])).sum()
    }

    pub fn run(&self, env: &mut Env) {
        let (a, b, y) = (env.read(self.a), env.read(self.b), env.write(self.y));
        let [a_starts, b_starts] = &self.starts;
        matmul(env.ctx, self.extents, (a, a_starts), (b, b_starts), y);
    }
}
