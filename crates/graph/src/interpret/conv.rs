//! Two-dimensional convolution, grouped and dilated (ONNX Conv).

use std::ops::Range;

use super::Args;
use crate::{Conv, Result};

/// `y[n, m, oy, ox] = bias[m] + sum over c, ky, kx of w[m, c, ky, kx] * x[n, g*cg + c, iy, ix]`
/// with `iy = oy * stride + ky * dilation - pad` and `g` the group of `m`.
///
/// One output plane is accumulated in float64, tap by tap: each tap adds a scaled, shifted copy
/// of an input plane, of which [`inside`] gives the part that is not padding.
pub(super) fn conv(args: &Args, conv: &Conv, out: &[usize]) -> Result<Vec<f32>> {
    let (x, w, bias) = (args.f32s(0)?, args.f32s(1)?, args.optional_f32s(2)?);
    let (xs, ws) = (args.tensor(0)?.shape(), args.tensor(1)?.shape());
    let (channels, in_h, in_w) = (xs[1], xs[2], xs[3]);
    let (per_group, taps) = (ws[1], ws[2] * ws[3]);
    let (batch, maps, out_h, out_w) = (out[0], out[1], out[2], out[3]);
    let maps_per_group = maps / conv.groups;
    let mut result = Vec::with_capacity(batch * maps * out_h * out_w);
    let mut plane = vec![0f64; out_h * out_w];
    for n in 0..batch {
        for m in 0..maps {
            plane.fill(bias.map_or(0.0, |b| b[m].into()));
            for c in 0..per_group {
                let channel = n * channels + m / maps_per_group * per_group + c;
                let image = &x[channel * in_h * in_w..][..in_h * in_w];
                let kernel = &w[(m * per_group + c) * taps..][..taps];
                add_taps(&mut plane, [out_h, out_w], image, [in_h, in_w], kernel, conv);
            }
            result.extend(plane.iter().map(|&v| v as f32));
        }
    }
    Ok(result)
}

/// Adds one input plane under one kernel plane.
fn add_taps(
    plane: &mut [f64],
    out: [usize; 2],
    image: &[f32],
    size: [usize; 2],
    kernel: &[f32],
    conv: &Conv,
) {
    let window = &conv.window;
    for (tap, &weight) in kernel.iter().enumerate() {
        let at = [tap / window.kernel[1], tap % window.kernel[1]];
        let shift = |i: usize| (at[i] * window.dilations[i]) as isize - window.pads[i] as isize;
        let rows = inside(size[0], out[0], window.strides[0], shift(0));
        let columns = inside(size[1], out[1], window.strides[1], shift(1));
        if columns.is_empty() {
            continue;
        }
        let (step, weight) = (window.strides[1], f64::from(weight));
        let first = (columns.start * step) as isize + shift(1);
        for oy in rows {
            let iy = (oy * window.strides[0]) as isize + shift(0);
            let source = &image[iy as usize * size[1] + first as usize..];
            let target = &mut plane[oy * out[1]..][columns.clone()];
            if step == 1 {
                target.iter_mut().zip(source).for_each(|(t, &s)| *t += weight * f64::from(s));
            } else {
                let source = source.iter().step_by(step);
                target.iter_mut().zip(source).for_each(|(t, &s)| *t += weight * f64::from(s));
            }
        }
    }
}

/// The output positions `o < out` whose input position `o * stride + shift` is in `0..size`.
pub(super) fn inside(size: usize, out: usize, stride: usize, shift: isize) -> Range<usize> {
    let ceil = |distance: isize| (distance.max(0) as usize).div_ceil(stride);
    let end = ceil(size as isize - shift).min(out);
    ceil(-shift).min(end)..end
}
