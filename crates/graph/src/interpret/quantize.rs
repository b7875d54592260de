//! Between float and 8-bit integers (ONNX QuantizeLinear and DequantizeLinear).

use super::Args;
use crate::{DType, Data, Result};

/// `saturate(round_half_even(x / scale) + zero_point)`, the division in float32 as ONNX Runtime
/// does it: the integer of a tie depends on that.
pub(super) fn quantize(args: &Args, axis: usize, dtype: DType) -> Result<Data> {
    let (x, scale) = (args.f32s(0)?, args.f32s(1)?);
    let zeros = args.tensor(2)?.to_i64()?;
    let channel = channels(args, axis)?;
    let steps = x.iter().enumerate().map(|(i, &v)| {
        let c = channel(i);
        (v / scale[c]).round_ties_even() + zeros[c] as f32
    });
    // A float-to-integer cast saturates.
    Ok(match dtype {
        DType::U8 => steps.map(|v| v as u8).collect::<Vec<_>>().into(),
        _ => steps.map(|v| v as i8).collect::<Vec<_>>().into(),
    })
}

/// `(x - zero_point) * scale`.
pub(super) fn dequantize(args: &Args, axis: usize) -> Result<Vec<f32>> {
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
    Ok(x.iter().enumerate().map(value).collect())
}

/// Which scale each element uses: the only one, or that of its position along `axis`.
fn channels(args: &Args, axis: usize) -> Result<impl Fn(usize) -> usize> {
    let (shape, count) = (args.tensor(0)?.shape(), args.tensor(1)?.len());
    let inner: usize = if count > 1 { shape[axis + 1..].iter().product() } else { 1 };
    Ok(move |i: usize| if count > 1 { i / inner % count } else { 0 })
}
