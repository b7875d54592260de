//! Layers on bytes: integer products and sums, one rounding a layer.

use super::memory::Memory;
use super::{Family, Layer, MAX_ROWS, ensure};
use crate::quant::{
    Affine, ConvWeights, DepthwiseWeights, Finish, Mean, Output, Requant, Residual,
    average_pool_row, conv, conv_row, depthwise, depthwise_rows, gemm, gemm_rows, max_pool_row,
};
use crate::{ConvShape, Ctx, Isa};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Layers on bytes.
#[derive(Clone, Copy, Debug)]
pub enum Int8 {}

/// What a layer computes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Op {
    /// Convolution with any window.
    Conv(Arc<ConvWeights>),
    /// One filter per channel.
    Depthwise(Arc<DepthwiseWeights>),
    /// Convolution with weights of 9 bits, which are the sums of two matrices of 8: as one of a window
    /// of twice the height ([`stacked`]) that meets each row of its input twice.
    WideConv(Arc<ConvWeights>),
    /// One filter of 9 bits per channel.
    WideDepthwise(Arc<DepthwiseWeights>),
    /// Maximum over windows.
    MaxPool,
    /// Mean over windows.
    AveragePool(Mean),
}

/// What happens to the sums of a convolution ([`Finish`]).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tail {
    /// Bias, scale, activation and limits of each channel.
    pub requant: Requant,
    /// What the bytes of the residual stand for, where there is one.
    pub residual: Option<Affine>,
}

/// The shape of two matrices of weights, one behind the other.
pub fn stacked(shape: &ConvShape) -> ConvShape {
    ConvShape { kh: 2 * shape.kh, ..*shape }
}

impl Family for Int8 {
    type Element = u8;
    type Op = Op;
    /// Of a convolution; nothing happens behind a pooling.
    type Tail = Option<Tail>;

    fn check(layer: &Layer<Int8>) -> Result<(), String> {
        let s = &layer.shape;
        let (of_shape, sums) = match &layer.op {
            Op::Conv(weights) => (weights.fit(s), true),
            Op::WideConv(weights) => (2 * s.kh <= MAX_ROWS && weights.fit(&stacked(s)), true),
            Op::Depthwise(weights) => (is_filter_bank(layer) && weights.fit(s), true),
            Op::WideDepthwise(weights) => {
                let low = 2 * s.kh <= MAX_ROWS;
                (low && is_filter_bank(layer) && weights.fit(&stacked(s)), true)
            }
            Op::MaxPool | Op::AveragePool(_) => {
                let others = layer.residual.is_some() || layer.interleave.is_some();
                (s.is_depthwise() && !others, false)
            }
        };
        ensure(of_shape, || format!("weights of another shape than {s:?}"))?;
        ensure(layer.tail.is_some() == sums, || "sums without a scale".into())?;
        let Some(tail) = &layer.tail else { return Ok(()) };
        ensure(tail.requant.fit(s.cout), || "one multiplier an output channel".into())?;
        let known = tail.residual.is_some() == layer.residual.is_some();
        ensure(known, || "a residual without a scale".into())
    }

    fn planes(_: &Layer<Int8>) -> usize {
        1
    }

    fn weight_bytes(layer: &Layer<Int8>) -> usize {
        let weights = match &layer.op {
            Op::Conv(weights) | Op::WideConv(weights) => weights.bytes(),
            Op::Depthwise(weights) | Op::WideDepthwise(weights) => weights.bytes(),
            Op::MaxPool | Op::AveragePool(_) => 0,
        };
        weights + layer.tail.as_ref().map_or(0, |tail| tail.requant.bytes())
    }

    fn scratch_len(_: &Layer<Int8>) -> usize {
        0
    }

    fn alone_scratch_len(_: &Layer<Int8>, _: usize) -> usize {
        0
    }

    fn alone(ctx: Ctx, memory: &Memory<Int8>, layer: &Layer<Int8>, _: &mut [u8]) -> bool {
        let s = &layer.shape;
        let (in_rows, rows) = (s.n * s.h, s.n * s.oh);
        let (x, x_stride) = memory.read(layer.x, 0, in_rows, [in_rows, s.w, s.cin]);
        let (out, out_stride) = memory.write(layer.y, 0, rows, [rows, s.ow, layer.written()]);
        let finish = || finish(memory, layer, 0, rows);
        match &layer.op {
            Op::Conv(weights) if s.is_pointwise() => {
                let Some(weights) = weights.plain() else { return false };
                let output = Output::U8(out, finish());
                gemm(ctx, rows * s.ow, x, x_stride, weights, output, out_stride);
                true
            }
            Op::Conv(weights) => {
                conv(ctx, s, x, x_stride, weights, Output::U8(out, finish()), out_stride);
                true
            }
            Op::Depthwise(weights) if (x_stride, out_stride) == (s.cin, s.cout) => {
                depthwise(ctx, s, x, weights, out, &finish());
                true
            }
            _ => false,
        }
    }

    fn produce(
        isa: Isa,
        memory: &Memory<Int8>,
        layer: &Layer<Int8>,
        y: usize,
        end: usize,
    ) -> usize {
        match &layer.op {
            Op::Conv(weights) if layer.shape.is_pointwise() => {
                pointwise(isa, memory, layer, weights, y, end)
            }
            Op::Conv(weights) | Op::WideConv(weights) => window(isa, memory, layer, weights, y),
            Op::Depthwise(weights) | Op::WideDepthwise(weights) => {
                filters(isa, memory, layer, weights, y, end)
            }
            Op::MaxPool => pool(isa, memory, layer, None, y),
            Op::AveragePool(mean) => pool(isa, memory, layer, Some(mean), y),
        }
    }
}

fn is_filter_bank(layer: &Layer<Int8>) -> bool {
    layer.shape.is_depthwise() && layer.interleave.is_none()
}

/// The shape that the layer's weights are packed for: with wide ones, `slices`, of which the first
/// `rows` are there, become twice as many.
fn packed_shape(layer: &Layer<Int8>, slices: &mut [&[u8]; MAX_ROWS], rows: usize) -> ConvShape {
    match layer.op {
        Op::WideConv(_) | Op::WideDepthwise(_) => {
            slices.copy_within(..rows, rows);
            stacked(&layer.shape)
        }
        _ => layer.shape,
    }
}

/// What happens to the sums of rows `y..y + rows` of a convolution.
fn finish<'a>(
    memory: &Memory<'a, Int8>,
    layer: &'a Layer<Int8>,
    y: usize,
    rows: usize,
) -> Finish<'a> {
    let s = &layer.shape;
    let Some(tail) = &layer.tail else { panic!("sums without a scale") };
    let other = |operand| memory.read(operand, y, rows, [s.oh, s.ow, s.cout]);
    let residual = layer.residual.zip(tail.residual).map(|(operand, affine)| {
        let (data, stride) = other(operand);
        Residual { data, stride, affine }
    });
    Finish { requant: &tail.requant, residual, interleave: layer.interleave.map(other) }
}

/// As many rows of a pointwise convolution as lie next to each other; returns how many.
fn pointwise(
    isa: Isa,
    memory: &Memory<Int8>,
    layer: &Layer<Int8>,
    weights: &ConvWeights,
    y: usize,
    end: usize,
) -> usize {
    let s = &layer.shape;
    let rows = memory.neighbours(layer, y, end);
    let (x, x_stride) = memory.read(layer.x, y, rows, [s.h, s.w, s.cin]);
    let (out, out_stride) = memory.write(layer.y, y, rows, [s.oh, s.ow, layer.written()]);
    let (row, finish) = (layer.as_row(rows), finish(memory, layer, y, rows));
    match weights.plain() {
        Some(weights) => gemm_rows(isa, row.ow, x, x_stride, weights, out, out_stride, &finish),
        None => conv_row(isa, &row, &[x], x_stride, weights, out, out_stride, &finish),
    }
    rows
}

/// One row of a convolution with any window; returns 1.
fn window(
    isa: Isa,
    memory: &Memory<Int8>,
    layer: &Layer<Int8>,
    weights: &ConvWeights,
    y: usize,
) -> usize {
    let s = &layer.shape;
    let (out, out_stride) = memory.write(layer.y, y, 1, [s.oh, s.ow, layer.written()]);
    let mut slices = [&[][..]; MAX_ROWS];
    let x_stride = memory.gather(layer, y, &mut slices[..s.kh]);
    let shape = packed_shape(layer, &mut slices, s.kh);
    let (slices, finish) = (&slices[..shape.kh], finish(memory, layer, y, 1));
    conv_row(isa, &shape, slices, x_stride, weights, out, out_stride, &finish);
    1
}

/// One or more rows of a depthwise convolution; returns how many.
fn filters(
    isa: Isa,
    memory: &Memory<Int8>,
    layer: &Layer<Int8>,
    weights: &DepthwiseWeights,
    y: usize,
    end: usize,
) -> usize {
    let s = &layer.shape;
    let pairs = s.sh == 1 && s.dh == 1 && matches!(layer.op, Op::Depthwise(_));
    let rows = if pairs { (end - y).min(2) } else { 1 };
    let mut slices = [&[][..]; MAX_ROWS];
    let count = s.kh + (rows - 1) * s.sh;
    let x_stride = memory.gather(layer, y, &mut slices[..count]);
    let shape = packed_shape(layer, &mut slices, count);
    let count = shape.kh + (rows - 1) * shape.sh;
    let mut out_stride = 0;
    let mut outs: [&mut [u8]; 2] = std::array::from_fn(|_| &mut [][..]);
    for (i, out) in outs[..rows].iter_mut().enumerate() {
        (*out, out_stride) = memory.write(layer.y, y + i, 1, [s.oh, s.ow, s.cout]);
    }
    let finishes: [Finish; 2] =
        std::array::from_fn(|i| finish(memory, layer, (y + i).min(end - 1), 1));
    let (slices, outs, finishes) = (&slices[..count], &mut outs[..rows], &finishes[..rows]);
    depthwise_rows(isa, &shape, slices, x_stride, weights, outs, out_stride, finishes);
    rows
}

/// One row of maxima, or of means; returns 1.
fn pool(
    isa: Isa,
    memory: &Memory<Int8>,
    layer: &Layer<Int8>,
    mean: Option<&Mean>,
    y: usize,
) -> usize {
    let s = &layer.shape;
    let (out, out_stride) = memory.write(layer.y, y, 1, [s.oh, s.ow, s.cout]);
    let mut slices = [&[][..]; MAX_ROWS];
    let slices = &mut slices[..s.kh];
    let x_stride = memory.gather(layer, y, slices);
    match mean {
        None => max_pool_row(isa, s, slices, x_stride, out, out_stride),
        Some(mean) => average_pool_row(isa, s, mean, slices, x_stride, out, out_stride),
    }
    1
}
