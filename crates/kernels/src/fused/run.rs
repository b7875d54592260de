//! Computing a chain, band by band.

use super::demand::{demand, nothing};
use super::{Chain, Layer, MAX_ROWS, Op, Operand, Place};
use crate::bf16::{self, Unit};
use crate::conv::{conv, conv_row, planar_conv_row};
use crate::depthwise::{DepthwiseWeights, depthwise, depthwise_rows};
use crate::gemm::{gemm, gemm_rows};
use crate::pool::SharedMut;
use crate::pool2d::{Divisor, average_pool_row, max_pool_row};
use crate::{Ctx, Epilogue, Isa};
use std::ops::Range;

/// A tensor outside of the chain: pixels of NHWC images, or planes of NCHW images where a layer
/// reads them as such.
#[derive(Debug)]
pub enum Outer<'a> {
    /// Read only. The pixels are `stride` floats apart.
    Read(&'a [f32], usize),
    /// Written only. The pixels are `stride` floats apart.
    Write(&'a mut [f32], usize),
}

/// [`Outer`], shared by the threads.
#[derive(Clone, Copy)]
enum Shared<'a> {
    None,
    Read(&'a [f32], usize),
    Write(SharedMut<'a, f32>, usize),
}

impl Shared<'_> {
    /// Floats between pixels.
    fn stride(&self) -> usize {
        match self {
            Shared::None => 0,
            Shared::Read(_, stride) | Shared::Write(_, stride) => *stride,
        }
    }
}

/// Computes all layers. `outers` are the tensors that operands name, `scratch` holds at least
/// [`Chain::scratch_len`] floats.
///
/// # Panics
/// If a tensor is smaller than a layer's shape says, or one that is read only is to be written.
pub fn run(ctx: Ctx, chain: &Chain, outers: &mut [Outer], scratch: &mut [f32]) {
    let mut shared = [Shared::None; super::MAX_OUTERS];
    for (to, outer) in shared.iter_mut().zip(outers) {
        *to = match outer {
            Outer::Read(data, stride) => Shared::Read(data, *stride),
            Outer::Write(data, stride) => Shared::Write(SharedMut::new(data), *stride),
        };
    }
    let (images, rows, threads) = (chain.images(), chain.rows(), ctx.pool.threads());
    if images == 0 || rows == 0 {
        return;
    }
    if let [layer] = &chain.layers[..] {
        let rings = SharedMut::new(&mut []);
        let memory = Memory { chain, image: 0, outers: &shared, rings, first: 0 };
        if alone(ctx, &memory, layer, scratch) {
            return;
        }
    }
    let bands = if images >= threads { 1 } else { threads.div_ceil(images).min(rows) };
    let worker_len = chain.worker_len();
    let rings = SharedMut::new(&mut scratch[..chain.scratch_len(threads)]);
    ctx.pool.for_each_worker(images * bands, &|worker, task| {
        let (image, band) = (task / bands, task % bands);
        let memory = Memory { chain, image, outers: &shared, rings, first: worker * worker_len };
        compute(ctx.isa, &memory, rows * band / bands..rows * (band + 1) / bands);
    });
}

/// What a band reads and writes.
struct Memory<'a> {
    chain: &'a Chain,
    image: usize,
    outers: &'a [Shared<'a>],
    /// The rings of all workers.
    rings: SharedMut<'a, f32>,
    /// Where those of this worker begin.
    first: usize,
}

impl<'a> Memory<'a> {
    /// Where `rows` neighbouring rows from `y` on of an operand with `[height, width, channels]`
    /// begin in its tensor or among all rings, how many floats they span, and the floats between
    /// their pixels.
    fn span(
        &self,
        operand: Operand,
        y: usize,
        rows: usize,
        [height, width, channels]: [usize; 3],
    ) -> (usize, usize, usize) {
        let (row, stride) = match operand.place {
            Place::Ring(ring) => {
                let (before, ring) = (&self.chain.rings[..ring], &self.chain.rings[ring]);
                let start: usize = before.iter().map(|r| r.rows * r.row_floats()).sum();
                (self.first + start + y % ring.rows * ring.row_floats(), ring.channels)
            }
            Place::Outer(outer) => {
                let stride = self.outers[outer].stride();
                ((self.image * height + y) * width * stride, stride)
            }
        };
        (row + operand.channel, (rows * width - 1) * stride + channels, stride)
    }

    /// These rows of an operand, and the floats between their pixels.
    fn read(
        &self,
        operand: Operand,
        y: usize,
        rows: usize,
        size: [usize; 3],
    ) -> (&'a [f32], usize) {
        let (start, len, stride) = self.span(operand, y, rows, size);
        let row = match operand.place {
            // SAFETY: the worker alone uses its rings, and a layer never reads the ring that it
            // writes (`Chain::check`).
            Place::Ring(_) => unsafe { self.rings.range(start, len) },
            Place::Outer(outer) => {
                let Shared::Read(data, _) = self.outers[outer] else {
                    panic!("tensor {outer} is read, but was not given to be read");
                };
                &data[start..start + len]
            }
        };
        (row, stride)
    }

    /// As [`Memory::read`], to be written.
    fn write(
        &self,
        operand: Operand,
        y: usize,
        rows: usize,
        size: [usize; 3],
    ) -> (&'a mut [f32], usize) {
        let (start, len, stride) = self.span(operand, y, rows, size);
        let row = match operand.place {
            // SAFETY: as in `read`.
            Place::Ring(_) => unsafe { self.rings.range(start, len) },
            Place::Outer(outer) => {
                let Shared::Write(data, _) = self.outers[outer] else {
                    panic!("tensor {outer} is written, but was not given to be written");
                };
                // SAFETY: rows of the last layers belong to one band each.
                unsafe { data.range(start, len) }
            }
        };
        (row, stride)
    }

    /// How many of `count` rows from `y` on lie next to each other.
    fn run_len(&self, operand: Operand, y: usize, count: usize) -> usize {
        match operand.place {
            Place::Ring(ring) => {
                let rows = self.chain.rings[ring].rows;
                count.min(rows - y % rows)
            }
            Place::Outer(_) => count,
        }
    }

    /// What operators need besides the rings.
    fn scratch(&self) -> &'a mut [f32] {
        let rings = self.chain.rings_len();
        // SAFETY: behind the rings of this worker, which computes one layer at a time.
        unsafe { self.rings.range(self.first + rings, self.chain.worker_len() - rings) }
    }

    /// What happens to the sums of rows `y..y + rows` of a layer.
    fn epilogue(&self, layer: &'a Layer, y: usize, rows: usize) -> Epilogue<'a> {
        let s = &layer.shape;
        let other = |operand| self.read(operand, y, rows, [s.oh, s.ow, s.cout]);
        Epilogue {
            bias: layer.bias.as_deref(),
            residual: layer.residual.map(other),
            activation: layer.activation,
            accumulate: false,
            interleave: layer.interleave.map(other),
        }
    }
}

/// Rows `band` of the last layers of one image.
fn compute(isa: Isa, memory: &Memory, band: Range<usize>) {
    let chain = memory.chain;
    let mut done = nothing();
    for first in band.clone().step_by(chain.step) {
        let needs = demand(chain, first..(first + chain.step).min(band.end));
        for (index, layer) in chain.layers.iter().enumerate() {
            let need = needs[index].clone();
            produce(isa, memory, layer, need.start.max(done[index].end)..need.end);
            done[index].end = done[index].end.max(need.end);
        }
    }
}

/// A layer on its own, where its kernel for whole tensors has more ways to be shared out than rows
/// and takes these operands; returns whether it does.
fn alone(ctx: Ctx, memory: &Memory, layer: &Layer, scratch: &mut [f32]) -> bool {
    let s = &layer.shape;
    let (in_rows, rows) = (s.n * s.h, s.n * s.oh);
    let (x, x_stride) = memory.read(layer.x, 0, in_rows, [in_rows, s.w, s.cin]);
    let (out, out_stride) = memory.write(layer.y, 0, rows, [rows, s.ow, layer.written()]);
    let epilogue = memory.epilogue(layer, 0, rows);
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

/// Rows of one layer.
fn produce(isa: Isa, memory: &Memory, layer: &Layer, rows: Range<usize>) {
    let mut y = rows.start;
    while y < rows.end {
        y += match &layer.op {
            Op::Conv(_) | Op::ConvBf16(_) if layer.shape.is_pointwise() => {
                pointwise(isa, memory, layer, y, rows.end)
            }
            Op::Conv(_) | Op::ConvBf16(_) | Op::PlanarConv(_) => window(isa, memory, layer, y),
            Op::Depthwise(weights) => filters(isa, memory, layer, weights, y, rows.end),
            Op::MaxPool => pool(isa, memory, layer, None, y),
            Op::AveragePool(divisor) => pool(isa, memory, layer, Some(*divisor), y),
        };
    }
}

/// As many rows of a pointwise convolution as lie next to each other; returns how many.
fn pointwise(isa: Isa, memory: &Memory, layer: &Layer, y: usize, end: usize) -> usize {
    let s = &layer.shape;
    let operands = [Some(layer.x), Some(layer.y), layer.residual, layer.interleave];
    let rows = operands.into_iter().flatten().fold(end - y, |n, o| memory.run_len(o, y, n));
    let (x, x_stride) = memory.read(layer.x, y, rows, [s.h, s.w, s.cin]);
    let (out, out_stride) = memory.write(layer.y, y, rows, [s.oh, s.ow, layer.written()]);
    let epilogue = memory.epilogue(layer, y, rows);
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
        _ => unreachable!("is no pointwise convolution"),
    }
    rows
}

/// One row of a convolution with any window; returns 1.
fn window(isa: Isa, memory: &Memory, layer: &Layer, y: usize) -> usize {
    let s = &layer.shape;
    let (out, out_stride) = memory.write(layer.y, y, 1, [s.oh, s.ow, layer.written()]);
    let epilogue = memory.epilogue(layer, y, 1);
    let mut slices = [&[][..]; MAX_ROWS];
    if let Op::PlanarConv(weights) = &layer.op {
        let slices = &mut slices[..s.cin * s.kh];
        planes(memory, layer, y, slices);
        planar_conv_row(isa, s, slices, weights, out, out_stride, &epilogue);
        return 1;
    }
    let slices = &mut slices[..s.kh];
    let x = gather(memory, layer, y, slices);
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
    memory: &Memory,
    layer: &Layer,
    weights: &DepthwiseWeights,
    y: usize,
    end: usize,
) -> usize {
    let s = &layer.shape;
    let rows = if s.sh == 1 && s.dh == 1 { (end - y).min(2) } else { 1 };
    let mut slices = [&[][..]; MAX_ROWS];
    let count = s.kh + (rows - 1) * s.sh;
    let x_stride = gather(memory, layer, y, &mut slices[..count]);
    let size = [s.oh, s.ow, layer.written()];
    let mut out_stride = 0;
    let mut outs: [&mut [f32]; 2] = std::array::from_fn(|_| &mut [][..]);
    for (i, out) in outs[..rows].iter_mut().enumerate() {
        (*out, out_stride) = memory.write(layer.y, y + i, 1, size);
    }
    let epilogues: [Epilogue; 2] =
        std::array::from_fn(|i| memory.epilogue(layer, (y + i).min(end - 1), 1));
    let (slices, outs, epilogues) = (&slices[..count], &mut outs[..rows], &epilogues[..rows]);
    depthwise_rows(isa, s, slices, x_stride, weights, outs, out_stride, epilogues);
    rows
}

/// One row of maxima, or of means; returns 1.
fn pool(isa: Isa, memory: &Memory, layer: &Layer, divisor: Option<Divisor>, y: usize) -> usize {
    let s = &layer.shape;
    let (out, out_stride) = memory.write(layer.y, y, 1, [s.oh, s.ow, s.cout]);
    let mut slices = [&[][..]; MAX_ROWS];
    let slices = &mut slices[..s.kh];
    let x_stride = gather(memory, layer, y, slices);
    match divisor {
        None => max_pool_row(isa, s, slices, x_stride, out, out_stride),
        Some(divisor) => {
            average_pool_row(isa, s, divisor, y, slices, x_stride, out, out_stride);
        }
    }
    1
}

/// The input row that each kernel row of output row `y` meets, empty in the padding; returns the
/// floats between pixels. More slices than kernel rows are those of the next output rows.
fn gather<'a>(memory: &Memory<'a>, layer: &Layer, y: usize, slices: &mut [&'a [f32]]) -> usize {
    let s = &layer.shape;
    let mut stride = s.cin;
    for (ky, slice) in slices.iter_mut().enumerate() {
        let row = (y * s.sh + ky * s.dh).checked_sub(s.pt).filter(|&row| row < s.h);
        if let Some(row) = row {
            (*slice, stride) = memory.read(layer.x, row, 1, [s.h, s.w, s.cin]);
        }
    }
    stride
}

/// As [`gather`], of the planes of an NCHW tensor: `[c][ky]`.
fn planes<'a>(memory: &Memory<'a>, layer: &Layer, y: usize, slices: &mut [&'a [f32]]) {
    let s = &layer.shape;
    for (c, slices) in slices.chunks_exact_mut(s.kh).enumerate() {
        for (ky, slice) in slices.iter_mut().enumerate() {
            let row = (y * s.sh + ky * s.dh).checked_sub(s.pt).filter(|&row| row < s.h);
            let read = |row| memory.read(layer.x, c * s.h + row, 1, [s.cin * s.h, s.w, 1]).0;
            *slice = row.map_or(&[], read);
        }
    }
}
