//! Normalisations, which TensorFlow Lite spells as sums and products.

use super::flat::Table;
use super::nodes::unwritten;
use super::values::{Writer, ordered, usual};
use crate::tflite::schema::options;
use crate::{DType, Node, Op, Result, Tensor};

impl Writer<'_> {
    /// `x * factor + offset`, the statistics folded into both: what no convolution took.
    pub(super) fn batch_norm(&mut self, node: &Node, epsilon: f32) -> Result<()> {
        let id = node.input(0)?;
        let (order, rank) = (self.order(id), self.rank(id));
        let parameter = |i: usize| self.graph.constant_f32s(node, i);
        let (scale, bias) = (parameter(1)?, parameter(2)?);
        let (mean, variance) = (parameter(3)?, parameter(4)?);
        let factor: Vec<f32> =
            scale.iter().zip(variance).map(|(s, v)| s / (v + epsilon).sqrt()).collect();
        let offset: Vec<f32> =
            bias.iter().zip(mean).zip(&factor).map(|((b, m), f)| b - m * f).collect();
        let shape: Vec<usize> =
            order.iter().map(|&d| if d == 1 && rank > 1 { scale.len() } else { 1 }).collect();
        let factor = Tensor::new(shape.clone(), factor)?;
        let factor = self.file.constant(&format!("{}.factor", node.name), &factor, None);
        let offset = Tensor::new(shape, offset)?;
        let offset = self.file.constant(&format!("{}.offset", node.name), &offset, None);
        let x = self.plain(id, &order)?;
        let product = self.step(node, "MUL", &[x, factor])?;
        let y = self.step(node, "ADD", &[product, offset])?;
        self.hold(node.output(), &order, y);
        Ok(())
    }

    /// `(x - mean) / sqrt(variance + epsilon)` over some dimensions of the tensor `x`.
    fn standardised(
        &mut self,
        node: &Node,
        x: usize,
        places: &[i32],
        epsilon: f32,
    ) -> Result<usize> {
        let mean = self.mean(node, x, places)?;
        let centred = self.step(node, "SUB", &[x, mean])?;
        let square = self.step(node, "MUL", &[centred, centred])?;
        let variance = self.mean(node, square, places)?;
        let moved = self.step_with(node, "ADD", variance, epsilon)?;
        let factor = self.step(node, "RSQRT", &[moved])?;
        self.step(node, "MUL", &[centred, factor])
    }

    fn mean(&mut self, node: &Node, x: usize, places: &[i32]) -> Result<usize> {
        let mut dims = self.file.tensors[x].dims.clone();
        places.iter().for_each(|&p| dims[p as usize] = 1.into());
        let y = self.file.tensor(&format!("{}.mean", node.name), DType::F32, dims, None);
        let axes = self.file.ints(&format!("{}.axes", node.name), &[places.len()], places)?;
        let options = Some((options::REDUCER, Table::default().with(0, true)));
        self.emit("MEAN", &[x, axes], y, options);
        Ok(y)
    }

    pub(super) fn layer_norm(&mut self, node: &Node, axis: usize, epsilon: f32) -> Result<()> {
        let id = node.input(0)?;
        let order: Vec<usize> = (0..self.rank(id)).collect();
        let x = self.plain(id, &order)?;
        let places: Vec<i32> = (axis..order.len()).map(|d| d as i32).collect();
        let mut y = self.standardised(node, x, &places, epsilon)?;
        for (input, op) in [(1, "MUL"), (2, "ADD")] {
            if let Some(id) = node.inputs.get(input).copied().flatten() {
                let natural: Vec<usize> = (0..self.rank(id)).collect();
                let parameter = self.plain(id, &natural)?;
                y = self.step(node, op, &[y, parameter])?;
            }
        }
        self.hold(node.output(), &order, y);
        Ok(())
    }

    pub(super) fn instance_norm(&mut self, node: &Node, epsilon: f32) -> Result<()> {
        let id = node.input(0)?;
        if self.rank(id) != 4 {
            return Err(unwritten(node));
        }
        let x = self.plain(id, &usual(4))?;
        let mut y = self.standardised(node, x, &[1, 2], epsilon)?;
        // Channels come last, so that a vector of them broadcasts.
        for (input, op) in [(1, "MUL"), (2, "ADD")] {
            let parameter = self.plain(node.input(input)?, &[0])?;
            y = self.step(node, op, &[y, parameter])?;
        }
        self.hold(node.output(), &usual(4), y);
        Ok(())
    }

    /// TensorFlow Lite's factor is that of the sum, ONNX's that of the mean.
    pub(super) fn local_response(&mut self, node: &Node) -> Result<()> {
        let Op::LocalResponseNorm { alpha, beta, bias, size } = node.op else {
            return Err(unwritten(node));
        };
        let id = node.input(0)?;
        if self.rank(id) != 4 || size.is_multiple_of(2) {
            return Err(node.error("TFLite normalises an odd number of channels of images only"));
        }
        let x = self.plain(id, &usual(4))?;
        let dims = ordered(&self.dims(id), &usual(4));
        let y = self.file.tensor(&self.name(node.output()), DType::F32, dims, None);
        let table = Table::default()
            .with(0, (size / 2) as i32)
            .with(1, bias)
            .with(2, alpha / size as f32)
            .with(3, beta);
        let options = Some((options::LOCAL_RESPONSE, table));
        self.emit("LOCAL_RESPONSE_NORMALIZATION", &[x], y, options);
        self.hold(node.output(), &usual(4), y);
        Ok(())
    }
}
