//! Between float and 8-bit integers (ONNX QuantizeLinear, DequantizeLinear and
//! DynamicQuantizeLinear).

use super::Args;
use crate::{DType, Data, Result};

/// `saturate(round_half_even(x / scale) + zero_point)`, the division in float32 as ONNX Runtime
/// does it: the integer of a tie depends on that.
pub(super) fn quantize(args: &Args, axis: usize) -> Result<Data> {
    let (x, scale) = (args.f32s(0)?, args.f32s(1)?);
    let zeros = args.tensor(2)?.to_i64()?;
    let channel = channels(args, axis)?;
    let steps = x.iter().enumerate().map(|(i, &v)| {
        let c = channel(i);
        (v / scale[c]).round_ties_even() + zeros[c] as f32
    });
    // A float-to-integer cast saturates.
    Ok(match args.dtype() {
        DType::U8 => steps.map(|v| v as u8).collect::<Vec<_>>().into(),
        _ => steps.map(|v| v as i8).collect::<Vec<_>>().into(),
    })
}

/// `(x - zero_point) * scale`.
pub(super) fn dequantize(args: &Args, axis: usize) -> Result<Data> {
    let (x, scale) = (args.tensor(0)?.to_i64()?, args.f32s(1)?);
    let zeros = match args.optional(2) {
        Some(zeros) => zeros.to_i64()?,
        None => vec![0; scale.len()],
    };
    let channel = channels(args, axis)?;
    let value = |(i, &v): (usize, &i64)| {
        let c = channel(i);
        (v - zeros[c]) as f32 * scale[c]
    };
    Ok(x.iter().enumerate().map(value).collect::<Vec<_>>().into())
}

/// Quantised values, scale and zero point, by the range of the input with zero in it. All in
/// float32, as ONNX defines it; where everything is zero the scale is 1.
pub(super) fn dynamic_quantize(args: &Args) -> Result<Vec<Data>> {
    let x = args.f32s(0)?;
    let (low, high) = x.iter().fold((0f32, 0f32), |(low, high), &v| (low.min(v), high.max(v)));
    let scale = if low == high { 1.0 } else { (high - low) / 255.0 };
    let zero = (-low / scale).clamp(0.0, 255.0).round_ties_even();
    let value = |&v: &f32| ((v / scale).round_ties_even() + zero) as u8;
    let values: Vec<u8> = x.iter().map(value).collect();
    Ok(vec![values.into(), vec![scale].into(), vec![zero as u8].into()])
}

/// Which scale each element uses: the only one, or that of its position along `axis`.
fn channels(args: &Args, axis: usize) -> Result<impl Fn(usize) -> usize> {
    let (shape, count) = (args.tensor(0)?.shape(), args.tensor(1)?.len());
    let inner: usize = if count > 1 { shape[axis + 1..].iter().product() } else { 1 };
    Ok(move |i: usize| if count > 1 { i / inner % count } else { 0 })
}
