//! Steps that compute each element from the elements at the same place.

use serde::{Deserialize, Serialize};

use edgecut_graph as graph;
use edgecut_kernels::Blob;
use edgecut_kernels::elementwise::{self, Binary, Unary, Walk};

use crate::plan::Slot;
use crate::step::Env;
use crate::step::check::{Check, Checked, ensure};

/// Elements that one task computes, about.
const CHUNK: usize = 8 * 1024;

/// `y = f(x)`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Elementwise {
    pub x: Slot,
    pub y: Slot,
    pub function: Unary,
}

/// The kernel's name for a function of one float.
pub(crate) fn unary(function: graph::Unary) -> Unary {
    use graph::Unary as G;
    match function {
        G::Relu => Unary::RELU,
        G::Clip { min, max } => Unary::Clamp(min, max),
        G::LeakyRelu { alpha } => Unary::LeakyRelu(alpha),
        G::Sigmoid => Unary::Sigmoid,
        G::HardSigmoid { alpha, beta } => Unary::HardSigmoid(alpha, beta),
        G::HardSwish => Unary::HardSwish,
        G::Silu => Unary::Silu,
        G::Mish => Unary::Mish,
        G::Gelu { tanh: false } => Unary::Gelu,
        G::Gelu { tanh: true } => Unary::GeluTanh,
        G::Elu { alpha } => Unary::Elu(alpha),
        G::Selu { alpha, gamma } => Unary::Selu(alpha, gamma),
        G::Celu { alpha } => Unary::Celu(alpha),
        G::ThresholdedRelu { alpha } => Unary::ThresholdedRelu(alpha),
        G::Shrink { bias, lambda } => Unary::Shrink(bias, lambda),
        G::Softplus => Unary::Softplus,
        G::Softsign => Unary::Softsign,
        G::Tanh => Unary::Tanh,
        G::Erf => Unary::Erf,
        G::Exp => Unary::Exp,
        G::Log => Unary::Log,
        G::Sqrt => Unary::Sqrt,
        G::Reciprocal => Unary::Reciprocal,
        G::Abs => Unary::Abs,
        G::Neg => Unary::Neg,
        G::Sign => Unary::Sign,
        G::Floor => Unary::Floor,
        G::Ceil => Unary::Ceil,
        G::Round => Unary::Round,
        G::Sin => Unary::Sin,
        G::Cos => Unary::Cos,
    }
}

/// The kernel's name for a function of two floats; `None` of one that floats do not have.
pub(crate) fn binary(function: graph::Binary) -> Option<Binary> {
    use graph::Binary as G;
    Some(match function {
        G::Add => Binary::Add,
        G::Sub => Binary::Sub,
        G::Mul => Binary::Mul,
        G::Div => Binary::Div,
        G::Pow => Binary::Pow,
        G::Max => Binary::Max,
        G::Min => Binary::Min,
        G::Fmod => Binary::Fmod,
        G::PRelu => Binary::PRelu,
        G::Mod => return None,
    })
}

/// The lower bound first, as ONNX Clip; NaN stays NaN.
fn clamp(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

impl Elementwise {
    pub fn check(&self, c: &mut Check) -> Checked {
        c.map::<f32>(self.x, self.y).map(drop)
    }

    pub fn run(&self, env: &mut Env) {
        if env.same(self.x, self.y) {
            elementwise::unary_in_place(env.ctx, self.function, env.write(self.y));
        } else {
            elementwise::unary(env.ctx, self.function, env.read(self.x), env.write(self.y));
        }
    }
}

/// `y = clamp(a op b)`, each operand walked with its own strides (0 where it is broadcast).
#[derive(Serialize, Deserialize)]
pub(crate) struct Broadcast {
    pub op: Binary,
    pub a: Slot,
    pub b: Slot,
    pub y: Slot,
    pub clamp: Option<(f32, f32)>,
    pub walk: Walk,
}

impl Broadcast {
    pub fn check(&self, c: &mut Check) -> Checked {
        let (a, b) = (c.len::<f32>(self.a)?, c.len::<f32>(self.b)?);
        let walk = self.walk.reach().filter(|&(_, reach)| reach[0] <= a && reach[1] <= b);
        let (len, _) = walk.ok_or_else(|| "walks out of its operands".to_string())?;
        c.read::<f32>(self.b, b)?;
        if self.walk.is_along_first() {
            return c.map::<f32>(self.a, self.y).map(drop);
        }
        c.read::<f32>(self.a, a)?;
        c.write::<f32>(self.y, len)
    }

    pub fn run(&self, env: &mut Env) {
        let (ctx, op, walk, clamp) = (env.ctx, self.op, &self.walk, self.clamp);
        if env.same(self.a, self.y) {
            let (b, y) = (env.read(self.b), env.write(self.y));
            elementwise::broadcast_in_place(ctx, op, walk, b, clamp, y);
        } else {
            let (a, b, y) = (env.read(self.a), env.read(self.b), env.write(self.y));
            elementwise::broadcast(ctx, op, walk, a, b, clamp, y);
        }
    }
}

/// `y = clamp(x * scale + shift)` with one scale and shift for each position of the last
/// dimension: a BatchNorm that no convolution absorbs.
#[derive(Serialize, Deserialize)]
pub(crate) struct ChannelAffine {
    pub x: Slot,
    pub y: Slot,
    pub scale: Blob<f32>,
    pub shift: Blob<f32>,
    pub clamp: Option<(f32, f32)>,
}

impl ChannelAffine {
    pub fn check(&self, c: &mut Check) -> Checked {
        let (len, channels) = (c.len::<f32>(self.x)?, self.scale.len());
        let fits = channels > 0 && self.shift.len() == channels && len.is_multiple_of(channels);
        ensure(fits, || format!("{channels} scales for {len} elements"))?;
        c.read::<f32>(self.x, len)?;
        c.write::<f32>(self.y, len)
    }

    pub fn weight_bytes(&self) -> usize {
        self.scale.bytes() + self.shift.bytes()
    }

    pub fn run(&self, env: &mut Env) {
        let (low, high) = self.clamp.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
        let channels = self.scale.len();
        let rows = (CHUNK / channels).max(1);
        let (x, y) = (env.read::<f32>(self.x), env.write::<f32>(self.y));
        env.ctx.pool.for_each_chunk_mut(y, rows * channels, |task, y| {
            let x = &x[task * rows * channels..];
            for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                let parameters = self.scale.iter().zip(&self.shift[..]);
                for ((y, x), (scale, shift)) in y.iter_mut().zip(x).zip(parameters) {
                    *y = clamp(x * scale + shift, low, high);
                }
            }
        });
    }
}
