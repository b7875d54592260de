//! Convolutions, pooling and fully connected layers.

use super::node::OpIn;
use super::ops_math::activate;
use super::tensors::{integers, permuted};
use super::values::Importer;
use crate::{
    Conv, ConvTranspose, DType, Gemm, Op, Pool, ReshapeDim, Result, Tensor, ValueId, Window,
};

/// Zeros before and after one dimension of `size` under padding SAME: the output has
/// `ceil(size / stride)` elements, and an odd number of zeros has the extra one behind.
pub(super) fn same(size: usize, kernel: usize, stride: usize, dilation: usize) -> (usize, usize) {
    let reach = dilation.saturating_mul(kernel.saturating_sub(1)).saturating_add(1);
    let last = size.div_ceil(stride).saturating_sub(1).saturating_mul(stride);
    let total = last.saturating_add(reach).saturating_sub(size);
    (total / 2, total - total / 2)
}

/// The pads of a window over the image `x`; field 0 of all windowed operators says which.
fn pads(im: &Importer, op: &OpIn, x: ValueId, window: &mut Window) -> Result<()> {
    match op.byte(0)? {
        0 => {
            let shape = &im.graph.value(x).shape;
            for i in 0..2 {
                let size = shape.extent(2 + i, &op.name)?;
                let (kernel, stride) = (window.kernel[i], window.strides[i]);
                let (before, after) = same(size, kernel, stride, window.dilations[i]);
                (window.pads[i], window.pads[i + 2]) = (before, after);
            }
            Ok(())
        }
        1 => Ok(()),
        other => Err(op.malformed(format!("has padding {other}"))),
    }
}

/// Stride and dilation options: width comes before height in the file.
fn steps(op: &OpIn, stride: usize, dilation: Option<usize>) -> Result<Window> {
    let mut window = Window::new([1, 1], [1, 1]);
    window.strides = [op.count(stride + 1, 0, "stride_h")?, op.count(stride, 0, "stride_w")?];
    if let Some(field) = dilation {
        window.dilations =
            [op.count(field + 1, 1, "dilation_h")?, op.count(field, 1, "dilation_w")?];
    }
    Ok(window)
}

/// The operand at `input` with its dimensions permuted, in a constant where the file stores it.
fn weight(im: &mut Importer, op: &OpIn, input: usize, perm: &[usize]) -> Result<ValueId> {
    let Some((info, mut tensor)) = im.stored(op.input(input)?)? else {
        let native = im.native(op.input(input)?)?;
        if im.rank(native) != perm.len() {
            return Err(op.malformed(format!("weight needs {} dimensions", perm.len())));
        }
        return im.reordered(native, perm);
    };
    if tensor.rank() != perm.len() {
        let shape = tensor.shape();
        return Err(op.malformed(format!("weight is {shape:?}, needs {} dimensions", perm.len())));
    }
    if perm.iter().enumerate().any(|(i, &p)| i != p) {
        tensor = permuted(&tensor, perm)?;
    }
    let codes = im.add_constant(&info.name, tensor)?;
    let Some(quant) = &info.quant else { return Ok(codes) };
    let axis = perm.iter().position(|&p| p == quant.axis).unwrap_or(0);
    let shape = if quant.scales.len() == 1 { vec![] } else { vec![quant.scales.len()] };
    let scales = Tensor::new(shape.clone(), quant.scales.clone())?;
    let zeros = integers(info.dtype, shape, &quant.zeros)?;
    let scales = im.add_constant(&format!("{}.scale", info.name), scales)?;
    let zeros = im.add_constant(&format!("{}.zero_point", info.name), zeros)?;
    let name = format!("{}.dequantize", info.name);
    let axis = if quant.scales.len() == 1 { 0 } else { axis };
    im.push(&name, Op::Dequantize { axis }, &[codes, scales, zeros])
}

/// The bias at `input`: float, or int32 in units of input scale times weight scale.
fn bias(im: &mut Importer, op: &OpIn, input: usize) -> Result<Option<ValueId>> {
    if op.optional(input).is_none() {
        return Ok(None);
    }
    let Some((info, tensor)) = im.stored(op.input(input)?)? else {
        return im.operand(op.input(input)?).map(Some);
    };
    let len = tensor.len();
    let tensor = tensor.reshaped([len])?;
    let is_int = tensor.dtype() == DType::I32;
    let id = im.add_constant(&info.name, tensor)?;
    if !is_int {
        return Ok(Some(id));
    }
    let Some(quant) = &info.quant else {
        return Err(op.unsupported("its int32 bias has no scale"));
    };
    let shape = if quant.scales.len() == 1 { vec![] } else { vec![quant.scales.len()] };
    let scales = Tensor::new(shape, quant.scales.clone())?;
    let scales = im.add_constant(&format!("{}.scale", info.name), scales)?;
    let name = format!("{}.dequantize", info.name);
    im.push(&name, Op::Dequantize { axis: 0 }, &[id, scales]).map(Some)
}

/// Adds the layer, its activation, and makes it the operator's result.
fn layer(
    im: &mut Importer,
    op: &OpIn,
    layer: Op,
    inputs: [Option<ValueId>; 3],
    activation: u8,
) -> Result<()> {
    let inputs: Vec<ValueId> = inputs.into_iter().flatten().collect();
    let suffix = layer.name().to_lowercase();
    let y = im.push(&format!("{}.{suffix}", op.name), layer, &inputs)?;
    let y = activate(im, op, y, activation)?;
    im.set(op, op.output(0)?, y)
}

/// The extents of dimensions 2 and 3 of a weight.
fn kernel(im: &Importer, op: &OpIn, w: ValueId) -> Result<[usize; 2]> {
    let shape = &im.graph.value(w).shape;
    Ok([shape.extent(2, &op.name)?, shape.extent(3, &op.name)?])
}

/// Weights `[out, h, w, in / groups]`.
pub(super) fn conv(im: &mut Importer, op: &OpIn) -> Result<()> {
    let x = im.operand(op.input(0)?)?;
    let w = weight(im, op, 1, &[0, 3, 1, 2])?;
    let mut window = steps(op, 1, Some(4))?;
    window.kernel = kernel(im, op, w)?;
    pads(im, op, x, &mut window)?;
    let channels = im.graph.value(x).shape.extent(1, &op.name)?;
    let per_group = im.graph.value(w).shape.extent(1, &op.name)?.max(1);
    let groups = channels / per_group;
    let bias = bias(im, op, 2)?;
    layer(im, op, Op::Conv(Conv { window, groups }), [Some(x), Some(w), bias], op.byte(3)?)
}

/// Weights `[1, h, w, channels * multiplier]`.
pub(super) fn depthwise(im: &mut Importer, op: &OpIn) -> Result<()> {
    let x = im.operand(op.input(0)?)?;
    let w = weight(im, op, 1, &[3, 0, 1, 2])?;
    let mut window = steps(op, 1, Some(5))?;
    window.kernel = kernel(im, op, w)?;
    pads(im, op, x, &mut window)?;
    let groups = im.graph.value(x).shape.extent(1, &op.name)?;
    let bias = bias(im, op, 2)?;
    layer(im, op, Op::Conv(Conv { window, groups }), [Some(x), Some(w), bias], op.byte(4)?)
}

/// Inputs: output shape, weights `[out, h, w, in]`, x, optional bias. SAME and VALID are those of
/// the convolution that this one transposes.
pub(super) fn transpose_conv(im: &mut Importer, op: &OpIn) -> Result<()> {
    let target = im.ints(op, 0)?;
    let x = im.operand(op.input(2)?)?;
    let w = weight(im, op, 1, &[3, 0, 1, 2])?;
    let mut window = steps(op, 1, None)?;
    window.kernel = kernel(im, op, w)?;
    let mut output_padding = [0; 2];
    for (i, extra) in output_padding.iter_mut().enumerate() {
        let wrong = || op.malformed(format!("output shape is {target:?}"));
        let out = target.get(1 + i).and_then(|&d| usize::try_from(d).ok()).ok_or_else(wrong)?;
        let size = im.graph.value(x).shape.extent(2 + i, &op.name)?;
        let full = size.saturating_sub(1).saturating_mul(window.strides[i]);
        let full = full.saturating_add(window.kernel[i]);
        let cut = full.saturating_sub(out);
        let before = if op.byte(0)? == 0 { cut / 2 } else { 0 };
        (window.pads[i], window.pads[i + 2]) = (before, cut - before);
        *extra = out.saturating_sub(full);
    }
    let bias = bias(im, op, 3)?;
    let conv = ConvTranspose { window, groups: 1, output_padding };
    layer(im, op, Op::ConvTranspose(conv), [Some(x), Some(w), bias], op.byte(3)?)
}

/// Weights `[out, in]`; the input is taken as rows of `in` elements.
pub(super) fn fully_connected(im: &mut Importer, op: &OpIn) -> Result<()> {
    if op.byte(1)? != 0 {
        return Err(op.unsupported("its weights are shuffled: convert the model again"));
    }
    let w = weight(im, op, 1, &[0, 1])?;
    let (out, width) = {
        let shape = &im.graph.value(w).shape;
        (shape.extent(0, &op.name)?, shape.extent(1, &op.name)?)
    };
    let native = im.native(op.input(0)?)?;
    let dims = im.dims(native);
    let mut x = native;
    if dims.len() != 2 || dims[1].fixed() != Some(width) {
        let rows = vec![ReshapeDim::Infer, ReshapeDim::Fixed(width)];
        x = im.push(&format!("{}.rows", op.name), Op::Reshape { dims: rows }, &[native])?;
    }
    let bias = bias(im, op, 2)?;
    let gemm = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true };
    let inputs: Vec<ValueId> = [Some(x), Some(w), bias].into_iter().flatten().collect();
    let y = im.push(&format!("{}.gemm", op.name), Op::Gemm(gemm), &inputs)?;
    let mut y = activate(im, op, y, op.byte(0)?)?;
    if op.flag(2)? && dims.len() != 2 {
        let fixed = |(i, d): (usize, &crate::Dim)| match d.fixed() {
            _ if i + 1 == dims.len() => ReshapeDim::Fixed(out),
            Some(n) => ReshapeDim::Fixed(n),
            None => ReshapeDim::Infer,
        };
        let dims = dims.iter().enumerate().map(fixed).collect();
        y = im.push(&format!("{}.shape", op.name), Op::Reshape { dims }, &[y])?;
    }
    im.set_native(op, op.output(0)?, y)
}

/// Pooling; elements of the padding do not count.
pub(super) fn pool(im: &mut Importer, op: &OpIn, make: fn(Pool) -> Op) -> Result<()> {
    let x = im.operand(op.input(0)?)?;
    let mut window = steps(op, 1, None)?;
    window.kernel = [op.count(4, 0, "filter_height")?, op.count(3, 0, "filter_width")?];
    pads(im, op, x, &mut window)?;
    let pool = make(Pool { window, ceil_mode: false, count_include_pad: false });
    layer(im, op, pool, [Some(x), None, None], op.byte(5)?)
}

/// The root of the mean of squares over a window.
pub(super) fn l2_pool(im: &mut Importer, op: &OpIn) -> Result<()> {
    let x = im.operand(op.input(0)?)?;
    let mut window = steps(op, 1, None)?;
    window.kernel = [op.count(4, 0, "filter_height")?, op.count(3, 0, "filter_width")?];
    pads(im, op, x, &mut window)?;
    let square = Op::Binary(crate::Binary::Mul);
    let square = im.push(&format!("{}.square", op.name), square, &[x, x])?;
    let pool = Op::AveragePool(Pool { window, ceil_mode: false, count_include_pad: false });
    let mean = im.push(&format!("{}.mean", op.name), pool, &[square])?;
    let root = Op::Unary(crate::Unary::Sqrt);
    let value = im.push(&format!("{}.sqrt", op.name), root, &[mean])?;
    let value = activate(im, op, value, op.byte(5)?)?;
    im.set(op, op.output(0)?, value)
}
