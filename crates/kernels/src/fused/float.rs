//! Layers on float32, with bfloat16 products where they are asked for.

use super::memory::Memory;
use super::{Family, Layer, MAX_ROWS, Place, ensure};
use crate::bf16::{self, Unit};
use crate::conv::{ConvWeights, conv, conv_row, conv_scratch_len, planar_conv_row};
use crate::depthwise::{DepthwiseWeights, depthwise, depthwise_rows};
use crate::gemm::{gemm, gemm_rows};
use crate::pool2d::{Divisor, average_pool_row, max_pool_row};
use crate::{Activation, Blob, Ctx, Epilogue, Isa, sparse};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Layers on float32.
#[derive(Clone, Copy, Debug)]
pub enum Float {}

/// What a layer computes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Op {
    /// Convolution of pixels.
    Conv(Arc<ConvWeights>),
    /// Convolution of the planes of an NCHW image, which a network's first layer may read.
    PlanarConv(Arc<ConvWeights>),
    /// Convolution in bfloat16, with any window.
    ConvBf16(Arc<bf16::Weights>),
    /// Pointwise convolution with weights that are mostly zero.
    SparseConv(Arc<sparse::Weights>),
    /// One filter per channel.
    Depthwise(Arc<DepthwiseWeights>),
    /// Maximum over windows; nothing happens to it afterwards.
    MaxPool,
    /// Mean over windows; nothing happens to it afterwards.
    AveragePool(Divisor),
}

/// What happens to the sums of a layer: `activation(sum + bias + residual)`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tail {
    /// One value per output channel.
    pub bias: Option<Blob<f32>>,
    /// Applied last.
    pub activation: Activation,
}

impl Family for Float {
    type Element = f32;
    type Op = Op;
    type Tail = Tail;

    fn check(layer: &Layer) -> Result<(), String> {
        let s = &layer.shape;
        let of_shape = match &layer.op {
            Op::Conv(weights) => weights.fit(s),
            Op::PlanarConv(weights) => {
                s.groups == 1 && weights.fit(s) && matches!(layer.x.place, Place::Outer(_))
            }
            Op::ConvBf16(weights) => bf16::fits(s) && weights.fit(s),
            Op::SparseConv(weights) => {
                s.is_pointwise() && s.groups == 1 && [weights.k(), weights.n()] == [s.cin, s.cout]
            }
            Op::Depthwise(weights) => s.is_depthwise() && weights.fit(s),
            Op::MaxPool | Op::AveragePool(_) => {
                let others = layer.residual.is_some() || layer.interleave.is_some();
                s.is_depthwise() && !others && layer.tail == Tail::default()
            }
        };
        ensure(of_shape, || format!("weights of another shape than {s:?}"))?;
        let bias = layer.tail.bias.as_ref().is_none_or(|bias| bias.len() == s.cout);
        ensure(bias, || "a bias of another size".into())
    }

    fn planes(layer: &Layer) -> usize {
        if matches!(layer.op, Op::PlanarConv(_)) { layer.shape.cin } else { 1 }
    }

    fn weight_bytes(layer: &Layer) -> usize {
        let weights = match &layer.op {
            Op::Conv(weights) | Op::PlanarConv(weights) => weights.bytes(),
            Op::ConvBf16(weights) => weights.bytes(),
            Op::SparseConv(weights) => weights.bytes(),
            Op::Depthwise(weights) => weights.bytes(),
            Op::MaxPool | Op::AveragePool(_) => 0,
        };
        weights + layer.tail.bias.as_ref().map_or(0, Blob::bytes)
    }

    fn scratch_len(layer: &Layer) -> usize {
        match &layer.op {
            Op::ConvBf16(_) if layer.shape.is_pointwise() => {
                bf16::scratch_len(&layer.as_row(layer.shape.oh))
            }
            Op::ConvBf16(_) => bf16::scratch_len(&layer.shape),
            Op::SparseConv(weights) => {
                sparse::scratch_len(layer.as_row(layer.shape.oh).ow, weights)
            }
            _ => 0,
        }
    }

    fn alone_scratch_len(layer: &Layer, threads: usize) -> usize {
        let s = &layer.shape;
        match &layer.op {
            Op::ConvBf16(weights) if s.is_pointwise() => {
                bf16::product_scratch_len(s.out_pixels(), weights, threads)
            }
            Op::SparseConv(weights) => {
                sparse::product_scratch_len(s.out_pixels(), weights, threads)
            }
            Op::Conv(_) => conv_scratch_len(s, threads),
            _ => 0,
        }
    }

    fn alone(ctx: Ctx, memory: &Memory<Float>, layer: &Layer, scratch: &mut [f32]) -> bool {
        let s = &layer.shape;
        let (in_rows, rows) = (s.n * s.h, s.n * s.oh);
        let (x, x_stride) = memory.read(layer.x, 0, in_rows, [in_rows, s.w, s.cin]);
        let (out, out_stride) = memory.write(layer.y, 0, rows, [rows, s.ow, layer.written()]);
        let epilogue = epilogue(memory, layer, 0, rows);
        let dense = (x_stride, out_stride) == (s.cin, s.cout) && epilogue.interleave.is_none();
        match &layer.op {
            Op::Conv(weights) if s.is_pointwise() => match weights.plain() {
                Some(weights) => {
                    gemm(ctx, rows * s.ow, x, x_stride, weights, out, out_stride, &epilogue);
                    true
                }
                None => false,
            },
            Op::ConvBf16(weights) if s.is_pointwise() && s.groups == 1 => {
                let m = rows * s.ow;
                bf16::product(ctx, m, x, x_stride, weights, out, out_stride, &epilogue, scratch);
                true
            }
            Op::SparseConv(weights) => {
                let m = rows * s.ow;
                sparse::product(ctx, m, x, x_stride, weights, out, out_stride, &epilogue, scratch);
                true
            }
            Op::Conv(weights) if dense => {
                conv(ctx, s, x, weights, out, scratch, &epilogue);
                true
            }
            Op::Depthwise(weights) if dense => {
                depthwise(ctx, s, x, weights, out, &epilogue);
                true
            }
            _ => false,
        }
    }

    fn produce(isa: Isa, memory: &Memory<Float>, layer: &Layer, y: usize, end: usize) -> usize {
        match &layer.op {
            Op::Conv(_) | Op::ConvBf16(_) if layer.shape.is_pointwise() => {
                pointwise(isa, memory, layer, y, end)
            }
            Op::SparseConv(_) => pointwise(isa, memory, layer, y, end),
            Op::Conv(_) | Op::ConvBf16(_) | Op::PlanarConv(_) => window(isa, memory, layer, y),
            Op::Depthwise(weights) => filters(isa, memory, layer, weights, y, end),
            Op::MaxPool => pool(isa, memory, layer, None, y),
            Op::AveragePool(divisor) => pool(isa, memory, layer, Some(*divisor), y),
        }
    }
}

/// What happens to the sums of rows `y..y + rows` of a layer.
fn epilogue<'a>(
    memory: &Memory<'a, Float>,
    layer: &'a Layer,
    y: usize,
    rows: usize,
) -> Epilogue<'a> {
    let s = &layer.shape;
    let other = |operand| memory.read(operand, y, rows, [s.oh, s.ow, s.cout]);
    Epilogue {
        bias: layer.tail.bias.as_deref(),
        residual: layer.residual.map(other),
        activation: layer.tail.activation,
        accumulate: false,
        interleave: layer.interleave.map(other),
    }
}

/// As many rows of a pointwise convolution as lie next to each other; returns how many.
fn pointwise(isa: Isa, memory: &Memory<Float>, layer: &Layer, y: usize, end: usize) -> usize {
    let s = &layer.shape;
    let rows = memory.neighbours(layer, y, end);
    let (x, x_stride) = memory.read(layer.x, y, rows, [s.h, s.w, s.cin]);
    let (out, out_stride) = memory.write(layer.y, y, rows, [s.oh, s.ow, layer.written()]);
    let epilogue = epilogue(memory, layer, y, rows);
    let row = layer.as_row(rows);
    match &layer.op {
        Op::Conv(weights) => match weights.plain() {
            Some(weights) => {
                gemm_rows(isa, row.ow, x, x_stride, weights, out, out_stride, &epilogue);
            }
            None => conv_row(isa, &row, &[x], x_stride, weights, out, out_stride, &epilogue),
        },
        Op::ConvBf16(weights) => {
            let (unit, scratch, x) = (Unit::of(isa), memory.scratch(), &[x]);
            bf16::conv_row(unit, &row, x, x_stride, weights, out, out_stride, &epilogue, scratch);
        }
        Op::SparseConv(weights) => {
            let scratch = memory.scratch();
            sparse::rows(isa, row.ow, x, x_stride, weights, out, out_stride, &epilogue, scratch);
        }
        _ => unreachable!("is no pointwise convolution"),
    }
    rows
}

/// One row of a convolution with any window; returns 1.
fn window(isa: Isa, memory: &Memory<Float>, layer: &Layer, y: usize) -> usize {
    let s = &layer.shape;
    let (out, out_stride) = memory.write(layer.y, y, 1, [s.oh, s.ow, layer.written()]);
    let epilogue = epilogue(memory, layer, y, 1);
    let mut slices = [&[][..]; MAX_ROWS];
    if let Op::PlanarConv(weights) = &layer.op {
        let slices = &mut slices[..s.cin * s.kh];
        memory.planes(layer, y, slices);
        planar_conv_row(isa, s, slices, weights, out, out_stride, &epilogue);
        return 1;
    }
    let slices = &mut slices[..s.kh];
    let x = memory.gather(layer, y, slices);
    match &layer.op {
        Op::Conv(weights) => conv_row(isa, s, slices, x, weights, out, out_stride, &epilogue),
        Op::ConvBf16(weights) => {
            let (unit, scratch) = (Unit::of(isa), memory.scratch());
            bf16::conv_row(unit, s, slices, x, weights, out, out_stride, &epilogue, scratch);
        }
        _ => unreachable!("is no convolution of pixels"),
    }
    1
}

/// One or more rows of a depthwise convolution; returns how many.
fn filters(
    isa: Isa,
    memory: &Memory<Float>,
    layer: &Layer,
    weights: &DepthwiseWeights,
    y: usize,
    end: usize,
) -> usize {
    let s = &layer.shape;
    let rows = if s.sh == 1 && s.dh == 1 { (end - y).min(2) } else { 1 };
    let mut slices = [&[][..]; MAX_ROWS];
    let count = s.kh + (rows - 1) * s.sh;
    let x_stride = memory.gather(layer, y, &mut slices[..count]);
    let size = [s.oh, s.ow, layer.written()];
    let mut out_stride = 0;
    let mut outs: [&mut [f32]; 2] = std::array::from_fn(|_| &mut [][..]);
    for (i, out) in outs[..rows].iter_mut().enumerate() {
        (*out, out_stride) = memory.write(layer.y, y + i, 1, size);
    }
    let epilogues: [Epilogue; 2] =
        std::array::from_fn(|i| epilogue(memory, layer, (y + i).min(end - 1), 1));
    let (slices, outs, epilogues) = (&slices[..count], &mut outs[..rows], &epilogues[..rows]);
    depthwise_rows(isa, s, slices, x_stride, weights, outs, out_stride, epilogues);
    rows
}

/// One row of maxima, or of means; returns 1.
fn pool(
    isa: Isa,
    memory: &Memory<Float>,
    layer: &Layer,
    divisor: Option<Divisor>,
    y: usize,
) -> usize {
    let s = &layer.shape;
    let (out, out_stride) = memory.write(layer.y, y, 1, [s.oh, s.ow, s.cout]);
    let mut slices = [&[][..]; MAX_ROWS];
    let slices = &mut slices[..s.kh];
    let x_stride = memory.gather(layer, y, slices);
    match divisor {
        None => max_pool_row(isa, s, slices, x_stride, out, out_stride),
        Some(divisor) => {
            average_pool_row(isa, s, divisor, y, slices, x_stride, out, out_stride);
        }
    }
    1
}
