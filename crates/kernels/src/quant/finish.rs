//! What happens to the sums of a layer on their way back to bytes, all of it in registers.
//!
//! In float32 and in this order, each operation rounded on its own:
//!
//! ```text
//! u = (sum + bias[c]) * multiplier[c]        in units of the result's scale
//! u = u + (q - zr) * (sr / sy)               with a residual
//! u = activation(u * sy) * (1 / sy)          with an activation other than a clamp
//! y = clamp(round_half_even(u) + zy)         limits are bytes
//! ```
//!
//! One rounding stands for those of the layer, of the addition and of the activation.

use super::requant::Requant;
use super::{Affine, pack::COLUMNS};
use crate::Activation;
use crate::simd::Simd;

/// Bytes that are added to the results.
#[derive(Clone, Copy, Debug)]
pub struct Residual<'a> {
    /// A matrix of the size of the result.
    pub data: &'a [u8],
    /// Bytes between its rows.
    pub stride: usize,
    /// What the bytes stand for.
    pub affine: Affine,
}

/// How sums become the bytes of a result.
#[derive(Clone, Copy, Debug)]
pub struct Finish<'a> {
    /// Bias, scale, activation and limits of each channel.
    pub requant: &'a Requant,
    /// Added before the activation.
    pub residual: Option<Residual<'a>>,
    /// A matrix of the size and scale of the result and its row stride in bytes: channel c of it
    /// goes to channel 2c of the output and result channel c to channel 2c + 1, which is the
    /// concatenation and channel shuffle of ShuffleNetV2. The output has twice the channels then.
    pub interleave: Option<(&'a [u8], usize)>,
}

impl<'a> Finish<'a> {
    /// Only requantisation.
    pub fn new(requant: &'a Requant) -> Finish<'a> {
        Finish { requant, residual: None, interleave: None }
    }

    /// Whether results fit into an i32 before they are rounded, an activation aside.
    pub(super) fn is_bounded(&self) -> bool {
        let bounded = |r: Residual| r.affine.scale <= 65536.0 * self.requant.scale;
        self.requant.bounded && self.residual.is_none_or(bounded)
    }

    /// Whether it is requantisation alone, with such results.
    pub(super) fn is_plain(&self) -> bool {
        self.is_bounded()
            && self.residual.is_none()
            && self.interleave.is_none()
            && self.requant.activation == Activation::None
    }

    /// Bytes between neighbouring results in a row of the output.
    pub(super) fn step(&self) -> usize {
        if self.interleave.is_some() { 2 } else { 1 }
    }

    /// Bytes of a row of the output that holds `columns` results.
    pub(super) fn width(&self, columns: usize) -> usize {
        columns * self.step()
    }

    /// The part that concerns the rows from `row` on.
    pub(super) fn rows_from(&self, row: usize) -> Finish<'a> {
        let from = |x: &'a [u8], stride: usize| &x[(row * stride).min(x.len())..];
        Finish {
            requant: self.requant,
            residual: self.residual.map(|r| Residual { data: from(r.data, r.stride), ..r }),
            interleave: self.interleave.map(|(x, stride)| (from(x, stride), stride)),
        }
    }

    /// Asserts that parameters and matrices cover `rows` rows of `columns` results.
    pub(super) fn check(&self, rows: usize, columns: usize) {
        assert!(self.requant.fit(columns), "one multiplier an output channel");
        let residual = self.residual.map(|r| (r.data, r.stride));
        for (name, matrix) in [("residual", residual), ("interleaved", self.interleave)] {
            if let (Some((x, stride)), Some(last)) = (matrix, rows.checked_sub(1)) {
                assert!(
                    stride >= columns && x.len() >= last * stride + columns,
                    "the {name} matrix is smaller than the output"
                );
            }
        }
    }

    /// Finishes `sums`, bias included, of `row` from `channel` on, and stores the first `width`
    /// results at `out`. Inlined into a function for the instruction set of `s`.
    ///
    /// # Safety
    /// `out` must be valid for writes of `self.width(width)` bytes, and [`Finish::check`] must have
    /// passed for this row and these channels.
    #[inline(always)]
    pub(super) unsafe fn store<S: Simd>(
        &self,
        s: S,
        sums: [i32; COLUMNS],
        row: usize,
        channel: usize,
        width: usize,
        out: *mut u8,
    ) {
        let requant = self.requant;
        let multiplier: &[f32; COLUMNS] =
            requant.multiplier[channel..].first_chunk().expect("parameters are padded by 16");
        let mut u = [0f32; COLUMNS];
        for i in 0..COLUMNS {
            u[i] = sums[i] as f32 * multiplier[i];
        }
        if let Some(residual) = self.residual {
            let ratio = residual.affine.scale / requant.scale;
            let zero_point = i32::from(residual.affine.zero_point);
            let data = &residual.data[row * residual.stride + channel..];
            for (u, &q) in u.iter_mut().zip(&data[..width]) {
                *u += (i32::from(q) - zero_point) as f32 * ratio;
            }
        }
        if requant.activation != Activation::None {
            // SAFETY: as many floats as a vector has lanes.
            unsafe {
                let real = s.mul(s.load(u.as_ptr()), s.splat(requant.scale));
                let y = requant.activation.apply(s, real);
                s.store(u.as_mut_ptr(), s.mul(y, s.splat(requant.inverse)));
            }
        }
        let mut bytes = [0; COLUMNS];
        for i in 0..COLUMNS {
            bytes[i] = requant.range.round(u[i]);
        }
        let even = self.interleave.map(|(x, stride)| &x[row * stride + channel..][..width]);
        for (i, &byte) in bytes.iter().enumerate().take(width) {
            // SAFETY: within `width` results.
            unsafe {
                match even {
                    None => *out.add(i) = byte,
                    Some(even) => {
                        *out.add(2 * i) = even[i];
                        *out.add(2 * i + 1) = byte;
                    }
                }
            }
        }
    }
}
