//! Convolutions and matrix products: operators with weights.

use std::sync::Arc;

use super::flat::Table;
use super::pools::Framed;
use super::tasks::{Integer, Task};
use super::values::{Writer, usual};
use crate::tflite::schema::options;
use crate::tflite::tensors::Quant;
use crate::{Conv, ConvTranspose, DType, Dim, Gemm, Node, Op, Result, Tensor, ValueId, Window};

/// Images as the file has them.
const NHWC: [usize; 4] = [0, 2, 3, 1];

impl Writer<'_> {
    pub(super) fn conv(&mut self, index: usize, conv: &Conv) -> Result<()> {
        let node = &self.graph.nodes[index];
        let (x, w) = (node.input(0)?, node.input(1)?);
        let channels = self.graph.value(x).shape.extent(1, &node.name)?;
        let outputs = self.graph.value(w).shape.extent(0, &node.name)?;
        let depthwise = conv.groups > 1 && conv.groups == channels;
        let task = self.weighted_task(index, 0)?;
        let frame = self.framed(node, &task, &conv.window, 0.0)?;
        let weights = if depthwise { [1, 2, 3, 0] } else { [0, 2, 3, 1] };
        let weights = self.weights(node, &task, &weights)?;
        // Kernels of runtimes ask for a bias, though the schema does not.
        let bias = match self.bias(node, &task, outputs)? {
            Some(bias) => bias,
            None => self.no_bias(node, &task, outputs)?,
        };
        let y = self.output(&task, &NHWC);
        let inputs = [frame.x, weights, bias].map(Some);
        let options = Table::default()
            .with(0, frame.padding)
            .with(1, conv.window.strides[1] as i32)
            .with(2, conv.window.strides[0] as i32);
        let [down, across] = conv.window.dilations.map(|d| d as i32);
        let dilated = down != 1 || across != 1;
        if depthwise {
            let options = options
                .with(3, (outputs / channels) as i32)
                .with(4, task.activation)
                .with(5, across)
                .with(6, down);
            let options = Some((options::DEPTHWISE, options));
            let least = if dilated { 2 } else { 1 };
            self.file.call("DEPTHWISE_CONV_2D", &inputs, &[y], options, least);
        } else {
            let options = options.with(3, task.activation).with(4, across).with(5, down);
            let least = if conv.groups > 1 { 6 } else { 1 };
            let options = Some((options::CONV, options));
            self.file.call("CONV_2D", &inputs, &[y], options, least);
        }
        self.complete(task, y, &NHWC)
    }

    /// VALID makes the whole result, which a SLICE crops, unless SAME or VALID mean the very pads.
    pub(super) fn conv_transpose(&mut self, index: usize, conv: &ConvTranspose) -> Result<()> {
        let node = &self.graph.nodes[index];
        if conv.groups != 1 || conv.window.dilations != [1, 1] {
            return Err(node.error("TFLite has no transposed convolution with groups or dilations"));
        }
        let (x, w, id) = (node.input(0)?, node.input(1)?, node.output());
        let outputs = self.graph.value(w).shape.extent(1, &node.name)?;
        let task = self.weighted_task(index, 1)?;
        let input = self.input(&task, x, &NHWC)?;
        let weights = self.weights(node, &task, &[1, 2, 3, 0])?;
        let bias = self.bias(node, &task, outputs)?;
        let crop = self.crop(node, x, id, &conv.window)?;
        let mut dims = super::values::ordered(&self.dims(id), &NHWC);
        let y = self.output(&task, &NHWC);
        let mut whole = y;
        if let Crop::Cut { size, .. } = crop {
            (dims[1], dims[2]) = (Dim::Fixed(size[0]), Dim::Fixed(size[1]));
            let (name, quant) = (self.name(id), self.file.tensors[y].quant.clone());
            let dtype = self.file.tensors[y].dtype;
            whole = self.file.tensor(&format!("{name}.whole"), dtype, dims.clone(), quant);
        }
        let shape = self.shape_vector(node, input, &dims)?;
        let options = Table::default()
            .with(0, u8::from(!matches!(crop, Crop::Same)))
            .with(1, conv.window.strides[1] as i32)
            .with(2, conv.window.strides[0] as i32)
            .with(3, task.activation);
        let least = if task.activation != 0 { 4 } else { 2 * i32::from(bias.is_some()) + 1 };
        let inputs = [Some(shape), Some(weights), Some(input), bias];
        let count = if bias.is_some() { 4 } else { 3 };
        let options = Some((options::TRANSPOSE_CONV, options));
        self.file.call("TRANSPOSE_CONV", &inputs[..count], &[whole], options, least);
        if let Crop::Cut { start, .. } = crop {
            let begin = [0, start[0] as i32, start[1] as i32, 0];
            let begin = self.file.ints(&format!("{}.begin", node.name), &[4], &begin)?;
            let size = super::values::target(node, &self.file.tensors[y].dims)?;
            let size = self.file.ints(&format!("{}.size", node.name), &[4], &size)?;
            self.emit("SLICE", &[whole, begin, size], y, None);
        }
        self.complete(task, y, &NHWC)
    }

    /// How the result of a transposed convolution is cut out of the whole one.
    fn crop(&self, node: &Node, x: ValueId, y: ValueId, window: &Window) -> Result<Crop> {
        let (mut same, mut valid) = (true, true);
        let (mut start, mut size) = ([0; 2], [0; 2]);
        for i in 0..2 {
            let from = self.graph.value(x).shape.extent(2 + i, &node.name)?;
            let to = self.graph.value(y).shape.extent(2 + i, &node.name)?;
            let (kernel, stride) = (window.kernel[i], window.strides[i]);
            let (before, _) = crate::tflite::ops_window::same(to, kernel, stride, 1);
            same &= to.div_ceil(stride) == from && before == window.pads[i];
            let full = (from - 1) * stride + kernel;
            valid &= window.pads[i] == 0 && to >= full;
            (start[i], size[i]) = (window.pads[i], full.max(to + window.pads[i]));
        }
        Ok(match (same, valid) {
            (true, _) => Crop::Same,
            (_, true) => Crop::Valid,
            _ => Crop::Cut { start, size },
        })
    }

    /// A vector of these extents; an open batch is taken from tensor `like` when the model runs.
    fn shape_vector(&mut self, node: &Node, like: usize, dims: &[Dim]) -> Result<usize> {
        let shape = super::values::target(node, dims)?;
        if !shape.contains(&-1) {
            return self.file.ints(&format!("{}.shape", node.name), &[shape.len()], &shape);
        }
        let rank = self.file.tensors[like].dims.len();
        let stem = node.name.clone();
        let vector = |len: usize| vec![Dim::Fixed(len)];
        let all = self.file.tensor(&format!("{stem}.extents"), DType::I32, vector(rank), None);
        self.emit("SHAPE", &[like], all, None);
        let begin = self.file.ints(&format!("{stem}.begin"), &[1], &[0])?;
        let size = self.file.ints(&format!("{stem}.size"), &[1], &[1])?;
        let batch = self.file.tensor(&format!("{stem}.batch"), DType::I32, vector(1), None);
        self.emit("SLICE", &[all, begin, size], batch, None);
        let rest = self.file.ints(&format!("{stem}.rest"), &[shape.len() - 1], &shape[1..])?;
        let whole =
            self.file.tensor(&format!("{stem}.shape"), DType::I32, vector(shape.len()), None);
        let options = Some((options::CONCATENATION, Table::default().with(0, 0)));
        self.emit("CONCATENATION", &[batch, rest], whole, options);
        Ok(whole)
    }

    /// A product with a matrix: FULLY_CONNECTED where that is stored, else BATCH_MATMUL.
    pub(super) fn gemm(&mut self, index: usize, gemm: &Gemm) -> Result<()> {
        let node = &self.graph.nodes[index];
        let (a, b) = (node.input(0)?, node.input(1)?);
        let columns = usize::from(!gemm.trans_b);
        let outputs = self.graph.value(b).shape.extent(columns, &node.name)?;
        let flip = |yes: bool| if yes { [1, 0] } else { [0, 1] };
        let addend = node.inputs.get(2).copied().flatten();
        let plain = gemm.alpha == 1.0 && gemm.beta == 1.0;
        let fits = match addend {
            Some(c) => plain && self.is_row(c, outputs)?,
            None => gemm.alpha == 1.0,
        };
        if !fits {
            return self.spelled_gemm(index, gemm);
        }
        let task = self.weighted_task(index, columns)?;
        let x = self.input(&task, a, &flip(gemm.trans_a))?;
        let weights = self.weights(node, &task, &flip(!gemm.trans_b))?;
        let bias = self.bias(node, &task, outputs)?;
        self.fully_connected(task, x, weights, bias, &[0, 1], false)
    }

    fn fully_connected(
        &mut self,
        task: Task,
        x: usize,
        weights: usize,
        bias: Option<usize>,
        order: &[usize],
        keep_dims: bool,
    ) -> Result<()> {
        let y = self.output(&task, order);
        let options = Table::default().with(0, task.activation).with(2, keep_dims);
        let options = Some((options::FULLY_CONNECTED, options));
        let inputs = [Some(x), Some(weights), bias];
        let count = if bias.is_some() { 3 } else { 2 };
        let least = match (bias, keep_dims) {
            (None, _) => 6,
            (_, true) => 5,
            _ => 1,
        };
        self.file.call("FULLY_CONNECTED", &inputs[..count], &[y], options, least);
        self.complete(task, y, order)
    }

    /// Factors and addends that FULLY_CONNECTED lacks as operators of their own, in float.
    fn spelled_gemm(&mut self, index: usize, gemm: &Gemm) -> Result<()> {
        let node = &self.graph.nodes[index];
        let id = node.output();
        let flip = |yes: bool| if yes { [1, 0] } else { [0, 1] };
        let a = self.plain(node.input(0)?, &flip(gemm.trans_a))?;
        let b = self.plain(node.input(1)?, &flip(!gemm.trans_b))?;
        let dims = self.dims(id);
        let mut y = self.file.tensor(&format!("{}.product", self.name(id)), DType::F32, dims, None);
        let options = Some((options::FULLY_CONNECTED, Table::default()));
        self.file.call("FULLY_CONNECTED", &[Some(a), Some(b)], &[y], options, 6);
        if gemm.alpha != 1.0 {
            y = self.scaled(id, y, gemm.alpha)?;
        }
        if let Some(c) = node.inputs.get(2).copied().flatten() {
            let order: Vec<usize> = (0..self.rank(c)).collect();
            let mut addend = self.plain(c, &order)?;
            if gemm.beta != 1.0 {
                addend = self.scaled(c, addend, gemm.beta)?;
            }
            let dims = self.dims(id);
            let sum = self.file.tensor(&self.name(id), DType::F32, dims, None);
            self.emit("ADD", &[y, addend], sum, Some((options::ADD, Table::default())));
            y = sum;
        }
        self.hold(id, &[0, 1], y);
        Ok(())
    }

    /// The tensor `x` times a number, under the name of a value.
    fn scaled(&mut self, id: ValueId, x: usize, factor: f32) -> Result<usize> {
        let name = self.name(id);
        let factor = self.file.constant(&format!("{name}.factor"), &Tensor::scalar(factor), None);
        let dims = self.file.tensors[x].dims.clone();
        let y = self.file.tensor(&format!("{name}.scaled"), DType::F32, dims, None);
        self.emit("MUL", &[x, factor], y, Some((options::MUL, Table::default())));
        Ok(y)
    }

    pub(super) fn mat_mul(&mut self, index: usize) -> Result<()> {
        let node = &self.graph.nodes[index];
        let (a, b) = (node.input(0)?, node.input(1)?);
        let ranks = [self.rank(a), self.rank(b)];
        if ranks.iter().any(|&r| r < 2) {
            return Err(node.error("TFLite has no product with a vector: reshape it to a matrix"));
        }
        let natural = |rank: usize| (0..rank).collect::<Vec<usize>>();
        let order = natural(self.rank(node.output()));
        if ranks[1] == 2 && self.is_stored(b) {
            let task = self.weighted_task(index, 1)?;
            let x = self.input(&task, a, &natural(ranks[0]))?;
            let weights = self.weights(node, &task, &[1, 0])?;
            return self.fully_connected(task, x, weights, None, &order, ranks[0] != 2);
        }
        let task = self.task(index, &[a, b], Integer::Any, false)?;
        let inputs =
            [self.input(&task, a, &natural(ranks[0]))?, self.input(&task, b, &natural(ranks[1]))?];
        let y = self.output(&task, &order);
        self.emit("BATCH_MATMUL", &inputs, y, Some((options::BATCH_MATMUL, Table::default())));
        self.complete(task, y, &order)
    }

    /// Whether a value is a constant, or 8-bit codes of one behind a Dequantize.
    fn is_stored(&self, id: ValueId) -> bool {
        self.graph.constant(id).is_some() || self.constant_codes(id).is_some()
    }

    /// Whether a value is one number for each of `count` columns.
    fn is_row(&self, id: ValueId, count: usize) -> Result<bool> {
        let stored = self.constant(id)?.is_some_and(|t| t.len() == count || t.len() == 1);
        let dims = self.dims(id);
        let column = dims.last() == Some(&Dim::Fixed(count)) || count == 1 || dims.is_empty();
        Ok(stored && (column || self.constant(id)?.is_some_and(|t| t.len() == 1)))
    }

    /// The task of a layer whose outputs lie along dimension `axis` of its weights.
    fn weighted_task(&mut self, index: usize, axis: usize) -> Result<Task> {
        let node = &self.graph.nodes[index];
        let weights = self.constant_codes(node.input(1)?).map(|(_, quant)| quant.clone());
        let bias = node.inputs.get(2).copied().flatten();
        let stored = bias.map_or(Ok(true), |b| self.constant(b).map(|t| t.is_some()))?;
        let along = |q: &Arc<Quant>| q.scales.len() == 1 || q.axis == axis;
        let kind = match weights.is_some_and(|q| along(&q)) && stored {
            true => Integer::Any,
            false => Integer::Never,
        };
        self.task(index, &[node.input(0)?], kind, true)
    }

    fn weights(&mut self, node: &Node, task: &Task, order: &[usize]) -> Result<usize> {
        let w = node.input(1)?;
        if !task.integer {
            return self.plain(w, order);
        }
        if let Some((_, quant)) = self.constant_codes(w) {
            let symmetric = quant.zeros.iter().all(|&z| z == 0);
            if self.params.dtype == DType::I8 && !symmetric {
                return Err(node.error("its int8 weights have a zero point, TFLite's have none"));
            }
            if self.params.dtype == DType::U8 && quant.scales.len() > 1 {
                return Err(node.error(
                    "its weights have a scale for each channel, and others of the model are not \
                     symmetric: TFLite has no kernels for both in one model",
                ));
            }
        }
        self.codes_of(w, order)
    }

    /// The bias of a layer of `count` outputs: int32 in units of input scale times weight scale for
    /// integers.
    fn bias(&mut self, node: &Node, task: &Task, count: usize) -> Result<Option<usize>> {
        let Some(id) = node.inputs.get(2).copied().flatten() else { return Ok(None) };
        let name = self.name(id);
        let Some(tensor) = self.constant(id)? else {
            return self.plain(id, &usual(self.rank(id))).map(Some);
        };
        let spread = |values: &[f32]| match values {
            [one] => vec![*one; count],
            all => all.to_vec(),
        };
        if !task.integer {
            let bias = Tensor::vector(spread(tensor.f32s()?));
            return Ok(Some(self.file.constant(&name, &bias, None)));
        }
        let units = self.units(node)?;
        if let Some(exact) = self.stored_bias(id, &units, count)? {
            return Ok(Some(exact));
        }
        let unit = |c: usize| f64::from(units[if units.len() == 1 { 0 } else { c }]);
        let code = |(c, b): (usize, f32)| {
            let steps = if b == 0.0 { 0.0 } else { f64::from(b) / unit(c) };
            let steps = steps.round_ties_even();
            let fits = steps.abs() <= f64::from(i32::MAX);
            fits.then_some(steps as i32).ok_or_else(|| {
                node.error(format!(
                    "bias {b} of channel {c} is beyond int32 in units of {:e}: quantise the layer \
                     with larger scales or leave it float",
                    unit(c)
                ))
            })
        };
        let codes = spread(tensor.f32s()?).into_iter().enumerate().map(code);
        let codes = Tensor::vector(codes.collect::<Result<Vec<i32>>>()?);
        let zeros = vec![0; units.len()];
        let quant = Quant { scales: units, zeros, axis: 0 };
        Ok(Some(self.file.constant(&name, &codes, Some(Arc::new(quant)))))
    }

    /// A bias of zeros.
    fn no_bias(&mut self, node: &Node, task: &Task, count: usize) -> Result<usize> {
        let name = format!("{}.bias", node.name);
        if !task.integer {
            return Ok(self.file.constant(&name, &Tensor::zeros([count])?, None));
        }
        let scales = self.units(node)?;
        let quant = Quant { zeros: vec![0; scales.len()], scales, axis: 0 };
        let zeros = Tensor::vector(vec![0i32; count]);
        Ok(self.file.constant(&name, &zeros, Some(Arc::new(quant))))
    }

    /// What one unit of each channel's sum is worth: input scale times weight scale.
    fn units(&self, node: &Node) -> Result<Vec<f32>> {
        let scale = self.quant(node.input(0)?).map_or(1.0, |q| q.scales[0]);
        let weights = self.constant_codes(node.input(1)?).map(|(_, quant)| quant.clone());
        Ok(weights.map_or(vec![], |q| q.scales.iter().map(|s| s * scale).collect()))
    }

    /// An int32 bias of the graph that has these units already, integers and scales as they are.
    fn stored_bias(&mut self, id: ValueId, units: &[f32], count: usize) -> Result<Option<usize>> {
        let Some(node) = self.producer(id) else { return Ok(None) };
        if !matches!(node.op, Op::Dequantize { .. }) {
            return Ok(None);
        }
        let (codes, quant) = super::params::stored_codes(self.graph, node, self.params.dtype)?;
        // Kernels do not read the scale; files of other tools are off by some roundings.
        let close = |(own, unit): (&f32, &f32)| (own - unit).abs() <= 1e-4 * unit;
        let same = quant.scales.len() == units.len() && quant.scales.iter().zip(units).all(close);
        if !same || codes.len() != count || codes.dtype() != DType::I32 {
            return Ok(None);
        }
        let codes = codes.reshaped([count])?;
        let name = self.name(node.input(0)?);
        Ok(Some(self.file.constant(&name, &codes, Some(Arc::new(Quant { axis: 0, ..quant })))))
    }
}

/// See [`Writer::crop`].
#[derive(Clone, Copy)]
enum Crop {
    Same,
    Valid,
    Cut { start: [usize; 2], size: [usize; 2] },
}

impl Writer<'_> {
    /// The input of a windowed operator, padded where neither SAME nor VALID mean its pads.
    pub(super) fn framed(
        &mut self,
        node: &Node,
        task: &Task,
        window: &Window,
        fill: f32,
    ) -> Result<Framed> {
        let id = node.input(0)?;
        let x = self.input(task, id, &NHWC)?;
        self.frame(node, x, id, window, fill)
    }
}
