//! Normalisations: mean and variance in float64, one rounding.

use super::Args;
use crate::{Data, Result};

/// `(x - mean) / sqrt(var + epsilon) * scale + bias` per channel (dimension 1).
pub(super) fn batch_norm(args: &Args, epsilon: f32) -> Result<Data> {
    let (x, shape) = (args.f32s(0)?, args.tensor(0)?.shape());
    let (scale, bias) = (args.f32s(1)?, args.f32s(2)?);
    let (mean, variance) = (args.f32s(3)?, args.f32s(4)?);
    let (channels, inner) = (shape[1], shape[2..].iter().product::<usize>());
    let mut result = Vec::with_capacity(x.len());
    for plane in 0..shape[0] * channels {
        let c = plane % channels;
        let factor = f64::from(scale[c]) / (f64::from(variance[c]) + f64::from(epsilon)).sqrt();
        let normalise =
            |&v: &f32| (f64::from(v) - f64::from(mean[c])) * factor + f64::from(bias[c]);
        let elements = &x[plane * inner..][..inner];
        result.extend(elements.iter().map(|v| normalise(v) as f32));
    }
    Ok(result.into())
}

/// Over all dimensions from `axis` on; scale and bias have an element for each position.
pub(super) fn layer_norm(args: &Args, axis: usize, epsilon: f32) -> Result<Data> {
    let size = args.shape()[axis..].iter().product();
    normalised(args, size, epsilon, |i| i % size)
}

/// Over space, for each image and channel.
pub(super) fn instance_norm(args: &Args, epsilon: f32) -> Result<Data> {
    by_channel(args, 1, epsilon)
}

/// Over space and the channels of a group, for each image.
pub(super) fn group_norm(args: &Args, groups: usize, epsilon: f32) -> Result<Data> {
    by_channel(args, args.shape()[1] / groups, epsilon)
}

/// Over space and `together` channels; scale and bias have an element for each channel.
fn by_channel(args: &Args, together: usize, epsilon: f32) -> Result<Data> {
    let (channels, space) = (args.shape()[1], args.shape()[2..].iter().product::<usize>());
    normalised(args, together * space, epsilon, |i| i / space % channels)
}

/// Gives each run of `size` elements mean 0 and variance 1, then scales and shifts element `i` by
/// the parameters at `parameter(i)`.
fn normalised(
    args: &Args,
    size: usize,
    epsilon: f32,
    parameter: impl Fn(usize) -> usize,
) -> Result<Data> {
    let (x, scale, bias) = (args.f32s(0)?, args.f32s(1)?, args.optional_f32s(2)?);
    let mut result = Vec::with_capacity(x.len());
    // `max` for an input without elements, which has no run either.
    for (run, values) in x.chunks(size.max(1)).enumerate() {
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / size as f64;
        let squares = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>();
        let deviation = (squares / size as f64 + f64::from(epsilon)).sqrt();
        for (i, &v) in values.iter().enumerate() {
            let p = parameter(run * size + i);
            let shift = bias.map_or(0.0, |bias| bias[p].into());
            let unit = (f64::from(v) - mean) / deviation;
            result.push((unit * f64::from(scale[p]) + shift) as f32);
        }
    }
    Ok(result.into())
}

/// x / (bias + alpha / size * sum of squares over neighbouring channels)^beta. Of an even number
/// of channels, one more lies behind than before.
pub(super) fn local_response(
    args: &Args,
    (alpha, beta, bias): (f32, f32, f32),
    size: usize,
) -> Result<Data> {
    let (x, shape) = (args.f32s(0)?, args.tensor(0)?.shape());
    let (channels, space) = (shape[1], shape[2..].iter().product::<usize>());
    let (before, after) = ((size - 1) / 2, size / 2);
    let factor = f64::from(alpha) / size as f64;
    let respond = |(i, &v): (usize, &f32)| {
        let (image, c) = (i / space / channels, i / space % channels);
        let neighbours = c.saturating_sub(before)..c.saturating_add(after + 1).min(channels);
        let square = |other| f64::from(x[(image * channels + other) * space + i % space]).powi(2);
        let base = f64::from(bias) + factor * neighbours.map(square).sum::<f64>();
        (f64::from(v) / libm::pow(base, beta.into())) as f32
    };
    Ok(x.iter().enumerate().map(respond).collect::<Vec<_>>().into())
}
