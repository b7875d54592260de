//! Layers: the forward and backward pass of every operator that can be trained, one file per
//! family. The arithmetic is that of `edgecut-kernels`; what is here is which kernel sees which
//! operand, and what must be remembered between the two passes.
//!
//! Layers that nets for images are made of are an enum: the compiler fuses them, lets them work in
//! place, and lets them add to a gradient. All others are an [`Operator`], which reads its inputs
//! and writes its results and no more.

mod batch_norm;
mod binary;
mod constant;
mod conv;
mod conv_transpose;
mod depthwise;
mod detached;
mod elementwise;
mod fake_quant;
mod half;
mod linear;
mod lines;
mod loss;
mod matmul;
mod moves;
mod operator;
mod pool;
mod reads;
mod reduce;
mod resample;
mod row_norm;
mod select;
mod softmax;
mod spread;
mod unary;
mod weight;

use edgecut_kernels::Ctx;

use crate::params::Params;

pub(crate) use batch_norm::Norm;
pub(crate) use binary::{Pairs, Side, Source};
pub(crate) use constant::Constant;
pub(crate) use conv::Convolution;
pub(crate) use conv_transpose::Transposed;
pub(crate) use depthwise::Depthwise;
pub(crate) use detached::{Argument, Detached};
pub(crate) use elementwise::{Clamp, Concat};
pub(crate) use fake_quant::{FakeQuant, Zero};
pub(crate) use half::Half;
pub(crate) use linear::Linear;
pub(crate) use lines::{Lines, Rule};
pub(crate) use loss::Loss;
pub(crate) use matmul::MatMul;
pub(crate) use moves::{Convert, Moves, Shuffle};
pub(crate) use operator::Operator;
pub(crate) use pool::{AveragePool, GlobalAveragePool, MaxPool};
pub(crate) use reads::{Reads, with_parts};
pub(crate) use reduce::{Join, Reduce};
pub(crate) use resample::{Resample, Weights};
pub(crate) use row_norm::RowNorm;
pub(crate) use select::{ScatterAdd, Select};
pub(crate) use softmax::Softmax;
pub(crate) use spread::{NOWHERE, Spread};
pub(crate) use unary::Function;
pub(crate) use weight::{Rounding, Weight};

use operator::{Backward, Forward};

/// What every pass needs to know.
#[derive(Clone, Copy)]
pub(crate) struct Env<'a> {
    pub ctx: Ctx<'a>,
    /// Images in this batch.
    pub n: usize,
    /// Whether BatchNorm uses the batch's statistics.
    pub training: bool,
    /// Whether the same has been computed before, in the forward pass of the same step.
    pub again: bool,
}

/// What becomes of the gradient of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dx {
    /// Not needed.
    Skip,
    /// Overwrites `dx`.
    Write,
    /// Is added to `dx`.
    Accumulate,
    /// Replaces the output's gradient.
    InPlace,
}

/// One operator with what it remembers.
#[derive(Debug)]
pub(crate) enum Layer {
    Convolution(Convolution),
    Depthwise(Depthwise),
    Transposed(Transposed),
    Linear(Linear),
    Norm(Box<Norm>),
    Clamp(Clamp),
    Add,
    Concat(Concat),
    MaxPool(MaxPool),
    AveragePool(AveragePool),
    GlobalAveragePool(GlobalAveragePool),
    Operator(Box<dyn Operator>),
}

impl Layer {
    /// Short name for tables.
    pub fn kind(&self) -> &'static str {
        match self {
            Layer::Convolution(conv) if conv.is_pointwise() => "pointwise conv",
            Layer::Convolution(_) => "conv",
            Layer::Depthwise(_) => "depthwise conv",
            Layer::Transposed(_) => "transposed conv",
            Layer::Linear(_) => "linear",
            Layer::Norm(norm) if norm.residual => "batch norm + add",
            Layer::Norm(_) => "batch norm + clamp",
            Layer::Clamp(_) => "clamp",
            Layer::Add => "add",
            Layer::Concat(_) => "concat",
            Layer::MaxPool(_) => "max pool",
            Layer::AveragePool(_) => "average pool",
            Layer::GlobalAveragePool(_) => "global average pool",
            Layer::Operator(operator) => operator.kind(),
        }
    }

    /// Whether the output may lie where an input was.
    pub fn in_place(&self) -> bool {
        matches!(self, Layer::Clamp(_) | Layer::Add)
    }

    /// Whether the backward pass looks at the output.
    pub fn keeps_output(&self) -> bool {
        match self {
            Layer::Clamp(_) => true,
            Layer::Operator(operator) => operator.keeps_output(),
            _ => false,
        }
    }

    /// Whether the backward pass looks at input `index`.
    pub fn reads_again(&self, index: usize) -> bool {
        match self {
            Layer::Convolution(_)
            | Layer::Depthwise(_)
            | Layer::Transposed(_)
            | Layer::Linear(_) => true,
            Layer::Norm(_) => index == 0,
            Layer::Operator(operator) => operator.reads_again(),
            _ => false,
        }
    }

    /// Products of the forward pass over a full batch.
    pub fn macs(&self) -> usize {
        match self {
            Layer::Convolution(conv) => conv.macs(),
            Layer::Depthwise(depthwise) => depthwise.macs(),
            Layer::Transposed(conv) => conv.macs(),
            Layer::Linear(linear) => linear.macs(),
            _ => 0,
        }
    }

    /// What an element that is read or written costs, next to one of a kernel that only waits for
    /// memory: operators without a kernel of their own go through elements one by one.
    pub fn weight_of_element(&self) -> f64 {
        if matches!(self, Layer::Operator(_)) { 4.0 } else { 1.0 }
    }

    /// Floats, or what takes as much, that the layer holds beside its parameters.
    pub fn held_len(&self) -> usize {
        match self {
            Layer::Convolution(conv) => conv.held_len(),
            Layer::Depthwise(depthwise) => depthwise.held_len(),
            Layer::Transposed(conv) => conv.held_len(),
            Layer::Linear(linear) => linear.held_len(),
            Layer::MaxPool(pool) => pool.held_len(),
            _ => 0,
        }
    }

    /// Whether a gradient of the output gives one of the inputs.
    pub fn passes_gradient(&self) -> bool {
        match self {
            Layer::Operator(operator) => operator.passes_gradient(),
            _ => true,
        }
    }

    /// Whether the output's gradient is that of input `index` too.
    pub fn shares_gradient(&self, index: usize) -> bool {
        match self {
            Layer::Add => true,
            Layer::Norm(norm) => norm.residual && index == 1,
            _ => false,
        }
    }

    /// Whether the backward pass can turn the output's gradient into the input's.
    pub fn gradient_in_place(&self) -> bool {
        matches!(self, Layer::Clamp(_))
    }

    /// Whether the backward pass can leave out the gradient of its input.
    pub fn can_skip(&self) -> bool {
        !matches!(self, Layer::Norm(_))
    }

    /// Whether the backward pass can add to a gradient instead of writing it.
    pub fn accumulates(&self) -> bool {
        !matches!(self, Layer::Norm(_) | Layer::Operator(_))
    }

    /// Floats of scratch memory that the passes need.
    pub fn scratch_len(&self, threads: usize) -> usize {
        match self {
            Layer::Convolution(conv) => conv.scratch_len(threads),
            Layer::Depthwise(depthwise) => depthwise.scratch_len(),
            Layer::Transposed(conv) => conv.scratch_len(threads),
            Layer::Linear(linear) => linear.scratch_len(threads),
            Layer::Norm(norm) => norm.scratch_len(),
            Layer::Concat(concat) => concat.scratch_len(),
            Layer::Operator(operator) => operator.scratch_len(),
            _ => 0,
        }
    }

    /// Packs weights after a change of parameters, for training or for evaluation.
    pub fn prepare(&mut self, params: &Params, training: bool) {
        match self {
            Layer::Convolution(conv) => conv.prepare(params, training),
            Layer::Depthwise(depthwise) => depthwise.prepare(params),
            Layer::Transposed(conv) => conv.prepare(params),
            Layer::Linear(linear) => linear.prepare(params, training),
            _ => {}
        }
    }

    /// Computes `y`, which lies at `place`.
    pub fn forward(
        &mut self,
        env: &Env,
        params: &mut Params,
        reads: &Reads,
        place: usize,
        y: &mut [f32],
        scratch: &mut [f32],
    ) {
        match self {
            Layer::Convolution(conv) => conv.forward(env, params, reads.get(0), y, scratch),
            Layer::Depthwise(conv) => conv.forward(env, params, reads.get(0), y),
            Layer::Transposed(conv) => conv.forward(env, params, reads.get(0), y, scratch),
            Layer::Linear(linear) => linear.forward(env, params, reads.get(0), y, scratch),
            Layer::Norm(norm) => norm.forward(env, params, reads, y, scratch),
            Layer::Clamp(clamp) => clamp.forward(env, reads, place, y),
            Layer::Add => elementwise::sum(env, reads, place, y),
            Layer::Concat(concat) => concat.forward(env, reads, y),
            Layer::MaxPool(pool) => pool.forward(env, reads.get(0), y),
            Layer::AveragePool(pool) => pool.forward(env, reads.get(0), y),
            Layer::GlobalAveragePool(pool) => pool.forward(env, reads.get(0), y),
            Layer::Operator(operator) => {
                operator.forward(Forward { env, params, reads, scratch }, y);
            }
        }
    }

    /// From `dz`, the gradient of the output `z`, computes the gradients of the parameters (once,
    /// with `index` 0) and that of input `index`, which goes where `to` says.
    pub fn backward(
        &mut self,
        env: &Env,
        params: &Params,
        gradients: &mut [f32],
        reads: &Reads,
        z: &[f32],
        index: usize,
        dz: &mut [f32],
        to: Dx,
        dx: &mut [f32],
        scratch: &mut [f32],
    ) {
        match self {
            Layer::Convolution(conv) => {
                conv.backward(env, params, gradients, reads.get(0), dz, to, dx, scratch);
            }
            Layer::Depthwise(conv) => {
                conv.backward(env, params, gradients, reads.get(0), dz, to, dx, scratch);
            }
            Layer::Transposed(conv) => {
                conv.backward(env, params, gradients, reads.get(0), dz, to, dx, scratch);
            }
            Layer::Linear(linear) => {
                linear.backward(env, params, gradients, reads.get(0), dz, to, dx, scratch);
            }
            Layer::Norm(_) if index == 1 => elementwise::sum_backward(env, dz, to, dx),
            Layer::Norm(norm) => {
                norm.backward(env, params, gradients, reads.get(0), dz, to, dx, scratch);
            }
            Layer::Clamp(clamp) => clamp.backward(env, z, dz, to, dx),
            Layer::Add => elementwise::sum_backward(env, dz, to, dx),
            Layer::Concat(concat) => concat.backward(env, index, dz, to, dx, scratch),
            Layer::MaxPool(pool) => pool.backward(env, dz, to, dx),
            Layer::AveragePool(pool) => pool.backward(env, dz, to, dx),
            Layer::GlobalAveragePool(pool) => pool.backward(env, dz, to, dx),
            Layer::Operator(operator) => {
                let cx = Backward { env, params, reads, z, dz, index, gradients, scratch };
                operator.backward(cx, (to != Dx::Skip).then_some(dx));
            }
        }
    }
}
