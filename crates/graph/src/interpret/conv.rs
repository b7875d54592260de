//! Two-dimensional convolutions, grouped and dilated: of floats, of integers, and transposed.

use std::ops::{AddAssign, Mul, Range};

use super::Args;
use super::integer::centred;
use crate::{Conv, ConvTranspose, Data, Result, Window};

/// `y[n, m, oy, ox] = bias[m] + sum over c, ky, kx of w[m, c, ky, kx] * x[n, g*cg + c, iy, ix]`
/// with `iy = oy * stride + ky * dilation - pad` and `g` the group of `m`. Sums are in float64.
pub(super) fn conv(args: &Args, conv: &Conv) -> Result<Data> {
    let (x, w, bias) = (args.f32s(0)?, args.f32s(1)?, args.optional_f32s(2)?);
    let start = |m: usize| bias.map_or(0.0, |b| f64::from(b[m]));
    Ok(convolve(args, conv, x, w, start, |sum| sum as f32)?.into())
}

/// As [`conv`] on integers less their zero points: padding counts as the zero point. Sums that
/// exceed 32 bits wrap around.
pub(super) fn conv_integer(args: &Args, conv: &Conv) -> Result<Data> {
    let maps = args.shape()[1];
    let taps = args.tensor(1)?.len() / maps.max(1);
    let x = centred(args, 0, 2, |_| 0)?;
    let w = centred(args, 1, 3, |i| i / taps)?;
    Ok(convolve(args, conv, &x, &w, |_| 0i64, |sum| sum as i32)?.into())
}

/// One output plane is accumulated at a time, tap by tap: each tap adds a scaled, shifted copy of
/// an input plane, of which [`inside`] gives the part that is not padding.
fn convolve<T, S, R>(
    args: &Args,
    conv: &Conv,
    x: &[T],
    w: &[T],
    start: impl Fn(usize) -> S,
    finish: impl Fn(S) -> R,
) -> Result<Vec<R>>
where
    T: Copy,
    S: Copy + From<T> + Mul<Output = S> + AddAssign,
{
    let (xs, ws, out) = (args.tensor(0)?.shape(), args.tensor(1)?.shape(), args.shape());
    let (channels, size) = (xs[1], [xs[2], xs[3]]);
    let (per_group, taps) = (ws[1], ws[2] * ws[3]);
    let maps_per_group = out[1] / conv.groups;
    let mut result = Vec::with_capacity(args.len());
    for n in 0..out[0] {
        for m in 0..out[1] {
            let mut plane = vec![start(m); out[2] * out[3]];
            for c in 0..per_group {
                let channel = n * channels + m / maps_per_group * per_group + c;
                let image = &x[channel * size[0] * size[1]..][..size[0] * size[1]];
                let kernel = &w[(m * per_group + c) * taps..][..taps];
                add_taps(&mut plane, [out[2], out[3]], image, size, kernel, &conv.window);
            }
            result.extend(plane.into_iter().map(&finish));
        }
    }
    Ok(result)
}

/// Adds one input plane under one kernel plane.
fn add_taps<T, S>(
    plane: &mut [S],
    out: [usize; 2],
    image: &[T],
    size: [usize; 2],
    kernel: &[T],
    window: &Window,
) where
    T: Copy,
    S: Copy + From<T> + Mul<Output = S> + AddAssign,
{
    for (tap, &weight) in kernel.iter().enumerate() {
        let shift = shift(window, tap);
        let rows = inside(size[0], out[0], window.strides[0], shift[0]);
        let columns = inside(size[1], out[1], window.strides[1], shift[1]);
        if columns.is_empty() {
            continue;
        }
        let (step, weight) = (window.strides[1], S::from(weight));
        let first = (columns.start * step) as isize + shift[1];
        for oy in rows {
            let iy = (oy * window.strides[0]) as isize + shift[0];
            let source = &image[iy as usize * size[1] + first as usize..];
            let target = &mut plane[oy * out[1]..][columns.clone()];
            if step == 1 {
                target.iter_mut().zip(source).for_each(|(t, &s)| *t += weight * S::from(s));
            } else {
                let source = source.iter().step_by(step);
                target.iter_mut().zip(source).for_each(|(t, &s)| *t += weight * S::from(s));
            }
        }
    }
}

/// `y[n, g*mg + m, oy, ox] = bias + sum over c, ky, kx of w[g*cg + c, m, ky, kx] * x[n, g*cg + c, iy, ix]`
/// over all `iy * stride + ky * dilation - pad = oy`. Sums are in float64.
pub(super) fn conv_transpose(args: &Args, conv: &ConvTranspose) -> Result<Data> {
    let (x, w, bias) = (args.f32s(0)?, args.f32s(1)?, args.optional_f32s(2)?);
    let (xs, ws, out) = (args.tensor(0)?.shape(), args.tensor(1)?.shape(), args.shape());
    let (channels, size) = (xs[1], [xs[2], xs[3]]);
    let (maps_per_group, taps) = (ws[1], ws[2] * ws[3]);
    let per_group = channels / conv.groups;
    let mut result = Vec::with_capacity(args.len());
    for n in 0..out[0] {
        for m in 0..out[1] {
            let mut plane = vec![bias.map_or(0.0, |b| f64::from(b[m])); out[2] * out[3]];
            let (group, own) = (m / maps_per_group, m % maps_per_group);
            for c in group * per_group..(group + 1) * per_group {
                let image = &x[(n * channels + c) * size[0] * size[1]..][..size[0] * size[1]];
                let kernel = &w[(c * maps_per_group + own) * taps..][..taps];
                spread_taps(&mut plane, [out[2], out[3]], image, size, kernel, &conv.window);
            }
            result.extend(plane.into_iter().map(|sum| sum as f32));
        }
    }
    Ok(result.into())
}

/// Adds one input plane, scaled by each tap of one kernel plane, where the tap spreads it to. The
/// roles of input and output are those of [`add_taps`] exchanged.
fn spread_taps(
    plane: &mut [f64],
    out: [usize; 2],
    image: &[f32],
    size: [usize; 2],
    kernel: &[f32],
    window: &Window,
) {
    for (tap, &weight) in kernel.iter().enumerate() {
        let shift = shift(window, tap);
        let rows = inside(out[0], size[0], window.strides[0], shift[0]);
        let columns = inside(out[1], size[1], window.strides[1], shift[1]);
        for iy in rows {
            let oy = ((iy * window.strides[0]) as isize + shift[0]) as usize;
            for ix in columns.clone() {
                let ox = ((ix * window.strides[1]) as isize + shift[1]) as usize;
                plane[oy * out[1] + ox] += f64::from(weight) * f64::from(image[iy * size[1] + ix]);
            }
        }
    }
}

/// Distance of `tap` from the window's origin in the unpadded image, in rows and columns.
fn shift(window: &Window, tap: usize) -> [isize; 2] {
    let at = [tap / window.kernel[1], tap % window.kernel[1]];
    [0, 1].map(|i| (at[i] * window.dilations[i]) as isize - window.pads[i] as isize)
}

/// The output positions `o < out` whose input position `o * stride + shift` is in `0..size`.
fn inside(size: usize, out: usize, stride: usize, shift: isize) -> Range<usize> {
    let ceil = |distance: isize| (distance.max(0) as usize).div_ceil(stride);
    let end = ceil(size as isize - shift).min(out);
    ceil(-shift).min(end)..end
}
