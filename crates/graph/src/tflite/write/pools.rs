//! Pooling, and the padding of everything that slides a window.

use super::flat::Table;
use super::tasks::{Integer, Task};
use super::values::{Writer, ordered};
use crate::tflite::ops_window::same;
use crate::tflite::schema::options;
use crate::tflite::tensors::integers;
use crate::{DType, Dim, Node, Pool, Reduction, Result, Tensor, ValueId, Window};

const NHWC: [usize; 4] = [0, 2, 3, 1];

/// An input with its padding.
pub(super) struct Framed {
    /// 0 for SAME, 1 for VALID.
    pub padding: u8,
    pub x: usize,
}

/// The pads of a window as TensorFlow Lite can say them.
enum Frame {
    Same,
    Valid,
    /// Elements must be added.
    Explicit,
}

/// Padding before, and the extents of input and output, decide; what padding lies behind the last
/// window does not matter.
fn frame(window: &Window, from: [usize; 2], to: [usize; 2]) -> Frame {
    let (mut is_same, mut is_valid) = (true, true);
    for i in 0..2 {
        let (kernel, stride, dilation) = (window.kernel[i], window.strides[i], window.dilations[i]);
        let reach = dilation * (kernel - 1) + 1;
        let (before, _) = same(from[i], kernel, stride, dilation);
        is_same &= to[i] == from[i].div_ceil(stride) && window.pads[i] == before;
        is_valid &= window.pads[i] == 0 && from[i] >= (to[i] - 1) * stride + reach;
    }
    // Both where there is nothing to add: converters write SAME then.
    match (is_same, is_valid) {
        (true, _) => Frame::Same,
        (_, true) => Frame::Valid,
        _ => Frame::Explicit,
    }
}

/// Elements that the windows reach at top, left, bottom and right.
fn explicit_pads(window: &Window, from: [usize; 2], to: [usize; 2]) -> [usize; 4] {
    let mut pads = window.pads;
    for i in 0..2 {
        let reach = window.dilations[i] * (window.kernel[i] - 1) + 1;
        let end = (to[i] - 1) * window.strides[i] + reach;
        pads[i + 2] = end.saturating_sub(from[i] + pads[i]);
    }
    pads
}

/// How many elements of each window along an axis of `from` elements count.
fn counts(pool: &Pool, axis: usize, from: usize, to: usize) -> Vec<usize> {
    let (before, after) = (pool.window.pads[axis], pool.window.pads[axis + 2]);
    let (first, last) = match pool.count_include_pad {
        true => (0, from + before + after),
        false => (before, before + from),
    };
    let taps = |i: usize| {
        let start = i * pool.window.strides[axis];
        (start..start + pool.window.kernel[axis]).filter(|p| (first..last).contains(p)).count()
    };
    (0..to).map(|i| taps(i).max(1)).collect()
}

impl Writer<'_> {
    fn extents(&self, node: &Node, id: ValueId) -> Result<[usize; 2]> {
        let shape = &self.graph.value(id).shape;
        Ok([shape.extent(2, &node.name)?, shape.extent(3, &node.name)?])
    }

    /// Tensor `x`, which holds `id` as NHWC, padded with `fill` where it must be.
    pub(super) fn frame(
        &mut self,
        node: &Node,
        x: usize,
        id: ValueId,
        window: &Window,
        fill: f32,
    ) -> Result<Framed> {
        let (from, to) = (self.extents(node, id)?, self.extents(node, node.output())?);
        match frame(window, from, to) {
            Frame::Same => Ok(Framed { padding: 0, x }),
            Frame::Valid => Ok(Framed { padding: 1, x }),
            Frame::Explicit => self.explicit(node, x, window, from, to, fill),
        }
    }

    /// Tensor `x` with all padding that the windows reach.
    fn explicit(
        &mut self,
        node: &Node,
        x: usize,
        window: &Window,
        from: [usize; 2],
        to: [usize; 2],
        fill: f32,
    ) -> Result<Framed> {
        let pads = explicit_pads(window, from, to);
        let sides = [[0, 0], [pads[0], pads[2]], [pads[1], pads[3]], [0, 0]];
        let mut dims = self.file.tensors[x].dims.clone();
        for i in 0..2 {
            dims[1 + i] = Dim::Fixed(from[i] + pads[i] + pads[i + 2]);
        }
        let (dtype, quant) = (self.file.tensors[x].dtype, self.file.tensors[x].quant.clone());
        let y = self.file.tensor(&format!("{}.padded", node.name), dtype, dims, quant);
        self.pad_with(node, x, y, &sides, fill)?;
        Ok(Framed { padding: 1, x: y })
    }

    /// Writes `x` with `sides` elements before and after each dimension, of value `fill`, to `y`.
    pub(super) fn pad_with(
        &mut self,
        node: &Node,
        x: usize,
        y: usize,
        sides: &[[usize; 2]],
        fill: f32,
    ) -> Result<()> {
        let flat: Vec<i32> = sides.iter().flatten().map(|&n| n as i32).collect();
        let pads = self.file.ints(&format!("{}.pads", node.name), &[sides.len(), 2], &flat)?;
        // PAD fills with what stands for zero.
        if fill == 0.0 {
            self.emit("PAD", &[x, pads], y, None);
            return Ok(());
        }
        let (dtype, quant) = (self.file.tensors[x].dtype, self.file.tensors[x].quant.clone());
        let value = match (&quant, dtype) {
            (Some(quant), _) => {
                let code = (fill / quant.scales[0]).round_ties_even() + quant.zeros[0] as f32;
                let range = if dtype == DType::U8 { 0..=255 } else { -128..=127 };
                integers(dtype, vec![1], &[(code as i64).clamp(*range.start(), *range.end())])?
            }
            (None, DType::F32) => Tensor::vector(vec![fill]),
            (None, _) => integers(dtype, vec![1], &[fill as i64])?,
        };
        let value = self.file.constant(&format!("{}.fill", node.name), &value, quant);
        self.emit("PADV2", &[x, pads, value], y, None);
        Ok(())
    }

    pub(super) fn max_pool(&mut self, index: usize, pool: &Pool) -> Result<()> {
        let node = &self.graph.nodes[index];
        self.undilated(node, pool)?;
        let id = node.input(0)?;
        let x = self.moved(id, &NHWC)?;
        // Padding never wins.
        let frame = self.frame(node, x, id, &pool.window, f32::MIN)?;
        if self.file.tensors[x].quant.is_some() {
            let y = self.move_to(node, x, &NHWC);
            let options = Some((options::POOL, pool_options(pool, frame.padding, 0)));
            self.emit("MAX_POOL_2D", &[frame.x], y, options);
            return Ok(());
        }
        let task = self.task(index, &[], Integer::Never, true)?;
        self.pool("MAX_POOL_2D", task, pool, frame)
    }

    /// TensorFlow Lite's SAME does not count padding.
    pub(super) fn average_pool(&mut self, index: usize, pool: &Pool) -> Result<()> {
        let node = &self.graph.nodes[index];
        self.undilated(node, pool)?;
        let id = node.input(0)?;
        let (from, to) = (self.extents(node, id)?, self.extents(node, node.output())?);
        // The operator keeps the parameters of its input; others would be rounded to twice. MEAN
        // may have others.
        let same = self.same_params(index, id);
        if pool.window.kernel == from && to == [1, 1] && pool.window.pads == [0; 4] && !same {
            return self.reduce(index, Reduction::Mean, &[2, 3], true);
        }
        let frame = match frame(&pool.window, from, to) {
            Frame::Same if pool.count_include_pad => Frame::Explicit,
            frame => frame,
        };
        let padding = match frame {
            Frame::Same => 0,
            Frame::Valid => 1,
            Frame::Explicit => return self.corrected_average(index, pool, from, to),
        };
        let kind = if same { Integer::Input } else { Integer::Never };
        let task = self.task(index, &[id], kind, true)?;
        let x = self.input(&task, id, &NHWC)?;
        self.pool("AVERAGE_POOL_2D", task, pool, Framed { padding, x })
    }

    /// Pads that SAME does not mean: zeros are added, the whole window counts, and where fewer
    /// elements do the mean is scaled up by `area / count`.
    fn corrected_average(
        &mut self,
        index: usize,
        pool: &Pool,
        from: [usize; 2],
        to: [usize; 2],
    ) -> Result<()> {
        let node = &self.graph.nodes[index];
        let id = node.input(0)?;
        let x = self.plain(id, &NHWC)?;
        let frame = self.explicit(node, x, &pool.window, from, to, 0.0)?;
        let dims = ordered(&self.dims(node.output()), &NHWC);
        let mean = self.file.tensor(&format!("{}.mean", node.name), DType::F32, dims, None);
        let options = Some((options::POOL, pool_options(pool, frame.padding, 0)));
        self.emit("AVERAGE_POOL_2D", &[frame.x], mean, options);
        let counts = [0, 1].map(|axis| counts(pool, axis, from[axis], to[axis]));
        let area = pool.window.kernel[0] * pool.window.kernel[1];
        let rows = counts[0].iter();
        let factors =
            rows.flat_map(|r| counts[1].iter().map(move |c| area as f32 / (r * c) as f32));
        let factors = Tensor::new([1, to[0], to[1], 1], factors.collect::<Vec<f32>>())?;
        let factors = self.file.constant(&format!("{}.factors", node.name), &factors, None);
        let y = self.step(node, "MUL", &[mean, factors])?;
        self.hold(node.output(), &NHWC, y);
        Ok(())
    }

    /// Whether what quantises the result of the node at `index` has the parameters of `id`.
    pub(super) fn same_params(&self, index: usize, id: ValueId) -> bool {
        let Some(own) = self.quant(id) else { return false };
        let mut result = self.graph.nodes[index].output();
        // Over a clamp, if there is one.
        while let [reader] = self.readers[result.index()][..] {
            let node = &self.graph.nodes[reader];
            result = node.output();
            if let Some(q) = self.params.get(result) {
                return q.scales == own.scales && q.zeros == own.zeros;
            }
            if node.op.clamp_bounds().is_none() {
                return false;
            }
        }
        false
    }

    fn undilated(&self, node: &Node, pool: &Pool) -> Result<()> {
        if pool.window.dilations == [1, 1] {
            return Ok(());
        }
        Err(node.error("TFLite has no pooling with dilations"))
    }

    fn pool(&mut self, op: &'static str, task: Task, pool: &Pool, frame: Framed) -> Result<()> {
        let y = self.output(&task, &NHWC);
        let options = Some((options::POOL, pool_options(pool, frame.padding, task.activation)));
        self.emit(op, &[frame.x], y, options);
        self.complete(task, y, &NHWC)
    }
}

fn pool_options(pool: &Pool, padding: u8, activation: u8) -> Table {
    Table::default()
        .with(0, padding)
        .with(1, pool.window.strides[1] as i32)
        .with(2, pool.window.strides[0] as i32)
        .with(3, pool.window.kernel[1] as i32)
        .with(4, pool.window.kernel[0] as i32)
        .with(5, activation)
}
