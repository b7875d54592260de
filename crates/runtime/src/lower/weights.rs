//! Weights from ONNX order into the order that kernels read, and out of QDQ form.

use edgecut_graph::{Conv, Node, Op, Tensor, ValueId};
use edgecut_kernels::ConvShape;

use super::Lowering;
use crate::Result;

/// 8-bit weights of a DequantizeLinear: symmetric once the zero point is subtracted.
pub(super) struct IntWeights {
    /// Weights less zero point, in ONNX order, from -255 to 254: two numbers of 8 bits add up to each.
    pub data: Vec<i16>,
    /// One scale, or one an output channel.
    pub scales: Vec<f32>,
}

impl IntWeights {
    /// The weights where they fit int8.
    pub fn narrow(&self) -> Option<Vec<i8>> {
        self.data.iter().map(|&w| i8::try_from(w).ok()).collect()
    }

    pub fn scale(&self, channel: usize) -> f32 {
        if self.scales.len() == 1 { self.scales[0] } else { self.scales[channel] }
    }
}

/// A tensor of integers with its parameters.
struct Dequantised {
    codes: Tensor,
    scales: Vec<f32>,
    /// As many as scales.
    zeros: Vec<i64>,
}

/// The geometry of a convolution node.
pub(super) fn conv_shape(conv: &Conv, x: &[usize], y: &[usize]) -> ConvShape {
    let w = &conv.window;
    ConvShape {
        n: x[0],
        h: x[2],
        w: x[3],
        cin: x[1],
        oh: y[2],
        ow: y[3],
        cout: y[1],
        kh: w.kernel[0],
        kw: w.kernel[1],
        sh: w.strides[0],
        sw: w.strides[1],
        dh: w.dilations[0],
        dw: w.dilations[1],
        pt: w.pads[0],
        pl: w.pads[1],
        groups: conv.groups,
    }
}

/// The matrix `[kh * kw * cin / groups, cout]` of all groups side by side, from weights
/// `[cout, cin / groups, kh, kw]`.
pub(super) fn conv_matrix<T: Copy>(s: &ConvShape, weights: &[T]) -> Vec<T> {
    let (channels, taps) = (s.cin_per_group(), s.kh * s.kw);
    let mut matrix = Vec::with_capacity(weights.len());
    for tap in 0..taps {
        for channel in 0..channels {
            matrix.extend((0..s.cout).map(|m| weights[(m * channels + channel) * taps + tap]));
        }
    }
    matrix
}

/// The transpose of the row-major matrix `[rows, columns]`.
pub(super) fn transposed<T: Copy>(rows: usize, columns: usize, matrix: &[T]) -> Vec<T> {
    (0..columns).flat_map(|c| (0..rows).map(move |r| matrix[r * columns + c])).collect()
}

impl Lowering<'_> {
    /// The integers behind `value`, where a DequantizeLinear of constants computes it with one
    /// scale or one for each position of `axis`, and two of int8 add up to each once their zero points
    /// are subtracted.
    pub(super) fn int_weights(
        &mut self,
        value: ValueId,
        axis: usize,
    ) -> Result<Option<IntWeights>> {
        let Some(index) = self.held[value.index()].deferred else { return Ok(None) };
        let node = &self.graph.nodes[index];
        let Some(Dequantised { codes, scales, zeros }) = self.dequantised(node)? else {
            return Ok(None);
        };
        let (shape, data) = (codes.shape().to_vec(), codes.to_i64()?);
        let own_axis = matches!(node.op, Op::Dequantize { axis: own } if own == axis);
        let fits = scales.len() == 1 || (own_axis && scales.len() == shape[axis]);
        let usable = scales.iter().all(|s| s.is_finite() && *s > 0.0);
        if !codes.dtype().is_quantised() || !fits || !usable {
            return Ok(None);
        }
        let inner: usize = shape[axis + 1..].iter().product();
        let zero = |i: usize| zeros[if zeros.len() == 1 { 0 } else { i / inner % zeros.len() }];
        let data: Option<Vec<i16>> = (data.iter().enumerate())
            .map(|(i, q)| i16::try_from(q - zero(i)).ok().filter(|w| (-255..255).contains(w)))
            .collect();
        Ok(data.map(|data| IntWeights { data, scales }))
    }

    /// The operands of a Dequantize of constants.
    fn dequantised(&mut self, node: &Node) -> Result<Option<Dequantised>> {
        let (Some(codes), Some(scales)) =
            (self.constant(node.input(0)?)?, self.constant(node.input(1)?)?)
        else {
            return Ok(None);
        };
        let Some(zeros) = self.optional_constant(node, 2)? else { return Ok(None) };
        let scales = scales.f32s()?.to_vec();
        let zeros = match zeros {
            Some(zeros) => zeros.to_i64()?,
            None => vec![0; scales.len()],
        };
        Ok(Some(Dequantised { codes, scales, zeros }))
    }

    /// The bias at `node`'s input 2 in units of `unit(channel)`, the scale of the sums; zeros where
    /// there is none. `None` where it is computed, of another size, or too large for sums of at
    /// most `reach(channel)` beside it.
    pub(super) fn int_bias(
        &mut self,
        node: &Node,
        channels: usize,
        unit: impl Fn(usize) -> f32,
        reach: impl Fn(usize) -> i64,
    ) -> Result<Option<Vec<i32>>> {
        let Some(input) = node.inputs.get(2).copied().flatten() else {
            let fits = (0..channels).all(|c| reach(c) <= i64::from(i32::MAX));
            return Ok(fits.then(|| vec![0; channels]));
        };
        let Some(numbers) = self.bias_numbers(input)? else { return Ok(None) };
        if numbers.len() != 1 && numbers.len() != channels {
            return Ok(None);
        }
        let in_units = |c: usize| {
            let number = numbers[if numbers.len() == 1 { 0 } else { c }];
            let bias = (number / f64::from(unit(c))).round_ties_even();
            let fits = bias.abs() + reach(c) as f64 <= f64::from(i32::MAX);
            fits.then_some(bias as i32)
        };
        Ok((0..channels).map(in_units).collect())
    }

    /// The real numbers of a constant bias, unrounded where it is dequantised int32.
    fn bias_numbers(&mut self, value: ValueId) -> Result<Option<Vec<f64>>> {
        if let Some(index) = self.held[value.index()].deferred {
            let node = &self.graph.nodes[index];
            if let Some(Dequantised { codes, scales, zeros }) = self.dequantised(node)? {
                let (rank, data) = (codes.rank(), codes.to_i64()?);
                if rank <= 1 {
                    let at = |len: usize, i: usize| if len == 1 { 0 } else { i };
                    let number = |(i, &q): (usize, &i64)| {
                        let zero = zeros[at(zeros.len(), i)];
                        (q - zero) as f64 * f64::from(scales[at(scales.len(), i)])
                    };
                    return Ok(Some(data.iter().enumerate().map(number).collect()));
                }
            }
        }
        let Some(tensor) = self.constant(value)? else { return Ok(None) };
        Ok(Some(tensor.f32s()?.iter().map(|&b| f64::from(b)).collect()))
    }
}
