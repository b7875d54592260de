//! Steps that compute each element from the elements at the same place.

use edgecut_graph::{Binary, Unary};

use edgecut_kernels::elementwise::{self, Operand};
use edgecut_kernels::softmax;

use crate::plan::Slot;
use crate::step::Env;

/// Elements that one task computes, about.
const CHUNK: usize = 8 * 1024;

/// Dimensions of a broadcast after neighbours are merged.
const MAX_RANK: usize = edgecut_graph::limits::MAX_RANK;

/// `y = f(x)`.
pub(crate) struct Elementwise {
    pub x: Slot,
    pub y: Slot,
    pub function: Unary,
}

/// A function of one float, for tables over 8-bit data.
pub(crate) fn apply(function: Unary, x: f32) -> f32 {
    match function {
        Unary::Relu => clamp(x, 0.0, f32::INFINITY),
        Unary::Clip { min, max } => clamp(x, min, max),
        Unary::LeakyRelu { alpha } => {
            if x < 0.0 {
                x * alpha
            } else {
                x
            }
        }
        Unary::Sigmoid => (1.0 / (1.0 + (-f64::from(x)).exp())) as f32,
        Unary::HardSigmoid { alpha, beta } => clamp(alpha * x + beta, 0.0, 1.0),
        Unary::HardSwish => x * clamp(1.0 / 6.0 * x + 0.5, 0.0, 1.0),
        _ => todo!("{function:?}"),
    }
}

/// The lower bound first, as ONNX Clip; NaN stays NaN.
pub(crate) fn clamp(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

impl Elementwise {
    pub fn run(&self, env: &mut Env) {
        let function = match self.function {
            Unary::Relu => elementwise::Unary::RELU,
            Unary::Clip { min, max } => elementwise::Unary::Clamp(min, max),
            Unary::LeakyRelu { alpha } => elementwise::Unary::LeakyRelu(alpha),
            Unary::Sigmoid => elementwise::Unary::Sigmoid,
            Unary::HardSigmoid { alpha, beta } => elementwise::Unary::HardSigmoid(alpha, beta),
            Unary::HardSwish => elementwise::Unary::HardSwish,
            _ => todo!("{:?}", self.function),
        };
        if env.same(self.x, self.y) {
            elementwise::unary_in_place(env.ctx, function, env.write(self.y));
        } else {
            elementwise::unary(env.ctx, function, env.read(self.x), env.write(self.y));
        }
    }
}

/// exp(x) / sum(exp(x)) over rows of `columns` elements.
pub(crate) struct Softmax {
    pub x: Slot,
    pub y: Slot,
    pub columns: usize,
}

impl Softmax {
    pub fn run(&self, env: &mut Env) {
        softmax::softmax(env.ctx, self.columns, env.read(self.x), env.write(self.y));
    }
}

/// `y = clamp(a op b)`, each operand walked with its own strides (0 where it is broadcast).
pub(crate) struct Broadcast {
    pub op: Binary,
    pub a: Slot,
    pub b: Slot,
    pub y: Slot,
    pub clamp: Option<(f32, f32)>,
    pub walk: Walk,
}

/// Extents of the result, and how far each operand moves along them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    rank: usize,
    dims: [usize; MAX_RANK],
    strides: [[usize; 2]; MAX_RANK],
}

impl Walk {
    /// A walk over `dims` in physical order.
    pub fn new(dims: &[usize], a: &[usize], b: &[usize]) -> Walk {
        let mut walk = Walk { rank: 0, dims: [1; MAX_RANK], strides: [[0; 2]; MAX_RANK] };
        for i in (0..dims.len()).filter(|&i| dims[i] != 1) {
            let (dim, strides) = (dims[i], [a[i], b[i]]);
            let last = walk.rank.wrapping_sub(1);
            if walk.rank > 0 && walk.strides[last] == strides.map(|s| s * dim) {
                walk.dims[last] *= dim;
                walk.strides[last] = strides;
            } else {
                (walk.dims[walk.rank], walk.strides[walk.rank]) = (dim, strides);
                walk.rank += 1;
            }
        }
        walk.rank = walk.rank.max(1);
        walk
    }

    /// Whether both operands have the result's shape.
    fn is_flat(&self) -> bool {
        self.rank == 1 && self.strides[0] == [1, 1]
    }

    /// Where row `row` of the innermost dimension begins in both operands.
    fn start(&self, mut row: usize) -> [usize; 2] {
        let mut at = [0; 2];
        for i in (0..self.rank - 1).rev() {
            let index = row % self.dims[i];
            row /= self.dims[i];
            (0..2).for_each(|o| at[o] += index * self.strides[i][o]);
        }
        at
    }
}

impl Broadcast {
    pub fn run(&self, env: &mut Env) {
        if self.walk.is_flat() {
            return self.flat(env);
        }
        match self.op {
            Binary::Add => self.map(env, |a, b| a + b),
            Binary::Sub => self.map(env, |a, b| a - b),
            Binary::Mul => self.map(env, |a, b| a * b),
            Binary::Div => self.map(env, |a, b| a / b),
            _ => todo!("{:?}", self.op),
        }
    }

    /// Operands of the result's shape.
    fn flat(&self, env: &mut Env) {
        let op = match self.op {
            Binary::Add => elementwise::Binary::Add,
            Binary::Sub => elementwise::Binary::Sub,
            Binary::Mul => elementwise::Binary::Mul,
            Binary::Div => elementwise::Binary::Div,
            _ => todo!("{:?}", self.op),
        };
        let (a, b) = (Operand::Full(env.read(self.a)), Operand::Full(env.read(self.b)));
        elementwise::binary(env.ctx, op, 1, a, b, self.clamp, env.write(self.y));
    }

    fn map(&self, env: &mut Env, f: impl Fn(f32, f32) -> f32 + Sync) {
        match self.clamp {
            None => self.walk(env, f),
            Some((low, high)) => self.walk(env, |a, b| clamp(f(a, b), low, high)),
        }
    }

    fn walk(&self, env: &mut Env, f: impl Fn(f32, f32) -> f32 + Sync) {
        let (a, b) = (env.read::<f32>(self.a), env.read::<f32>(self.b));
        let walk = &self.walk;
        let (len, [sa, sb]) = (walk.dims[walk.rank - 1], walk.strides[walk.rank - 1]);
        let inner = |y: &mut [f32], [a0, b0]: [usize; 2]| {
            let (a, b) = (&a[a0..], &b[b0..]);
            match (sa, sb) {
                (1, 1) => y.iter_mut().zip(a).zip(b).for_each(|((y, a), b)| *y = f(*a, *b)),
                (1, 0) => y.iter_mut().zip(a).for_each(|(y, a)| *y = f(*a, b[0])),
                (0, 1) => y.iter_mut().zip(b).for_each(|(y, b)| *y = f(a[0], *b)),
                _ => y.iter_mut().enumerate().for_each(|(j, y)| *y = f(a[j * sa], b[j * sb])),
            }
        };
        let y = env.write::<f32>(self.y);
        if walk.rank == 1 {
            env.ctx.pool.for_each_chunk_mut(y, CHUNK, |task, y| {
                inner(y, [task * CHUNK * sa, task * CHUNK * sb]);
            });
        } else {
            let rows = (CHUNK / len).max(1);
            env.ctx.pool.for_each_chunk_mut(y, rows * len, |task, y| {
                for (i, y) in y.chunks_exact_mut(len).enumerate() {
                    inner(y, walk.start(task * rows + i));
                }
            });
        }
    }
}

/// `y = clamp(x * scale + shift)` with one scale and shift for each position of the last
/// dimension: a BatchNorm that no convolution absorbs.
pub(crate) struct ChannelAffine {
    pub x: Slot,
    pub y: Slot,
    pub scale: Vec<f32>,
    pub shift: Vec<f32>,
    pub clamp: Option<(f32, f32)>,
}

impl ChannelAffine {
    pub fn weight_bytes(&self) -> usize {
        4 * (self.scale.len() + self.shift.len())
    }

    pub fn run(&self, env: &mut Env) {
        let (low, high) = self.clamp.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
        let channels = self.scale.len();
        let rows = (CHUNK / channels).max(1);
        let (x, y) = (env.read::<f32>(self.x), env.write::<f32>(self.y));
        env.ctx.pool.for_each_chunk_mut(y, rows * channels, |task, y| {
            let x = &x[task * rows * channels..];
            for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                let parameters = self.scale.iter().zip(&self.shift);
                for ((y, x), (scale, shift)) in y.iter_mut().zip(x).zip(parameters) {
                    *y = clamp(x * scale + shift, low, high);
                }
            }
        });
    }
}
