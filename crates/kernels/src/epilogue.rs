//! What happens to a sum in registers before it is stored.
//!
//! A pass over memory costs more than the arithmetic of most layers, so bias, residual addition,
//! activation and the interleaving of two halves of a shuffle unit ride on the store of the kernel
//! that computes the sum.

use serde::{Deserialize, Serialize};

use crate::exp::exp_lanes;
use crate::simd::{LANES, Simd, simd_fn};

/// A function of one float that is applied to a sum; the bits are those of the same function in
/// [`elementwise`](crate::elementwise), and NaN stays NaN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Activation {
    /// The sum itself.
    #[default]
    None,
    /// `min(max(x, lo), hi)`: ReLU is `(0, infinity)`, ReLU6 `(0, 6)`.
    Clamp(f32, f32),
    /// `x * min(max(x / 6 + 1/2, 0), 1)`
    HardSwish,
    /// `min(max(alpha * x + beta, 0), 1)`
    HardSigmoid {
        /// Slope; 1/6 in MobileNetV3.
        alpha: f32,
        /// Offset.
        beta: f32,
    },
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `x / (1 + exp(-x))`, also called Swish.
    Silu,
}

impl Activation {
    /// Rectified linear unit.
    pub const RELU: Activation = Activation::Clamp(0.0, f32::INFINITY);
    /// ReLU6 of the MobileNet papers.
    pub const RELU6: Activation = Activation::Clamp(0.0, 6.0);

    /// A clamp to these limits, or nothing without any.
    pub fn clamp(limits: Option<(f32, f32)>) -> Activation {
        limits.map_or(Activation::None, |(lo, hi)| Activation::Clamp(lo, hi))
    }

    /// The function of every lane.
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(self, s: S, x: S::V) -> S::V {
        match self {
            Activation::None => x,
            Activation::Clamp(lo, hi) => s.clamp(x, s.splat(lo), s.splat(hi)),
            Activation::HardSwish => s.mul(x, hard_sigmoid(s, x, 1.0 / 6.0, 0.5)),
            Activation::HardSigmoid { alpha, beta } => hard_sigmoid(s, x, alpha, beta),
            Activation::Sigmoid | Activation::Silu => {
                let mut lanes = [0.0; LANES];
                // SAFETY: as many floats as a vector has lanes.
                unsafe { s.store(lanes.as_mut_ptr(), x) };
                exponential(s.isa(), self == Activation::Silu, &mut lanes);
                // SAFETY: as above.
                unsafe { s.load(lanes.as_ptr()) }
            }
        }
    }
}

/// As in `elementwise`, operation by operation.
#[inline(always)]
fn hard_sigmoid<S: Simd>(s: S, x: S::V, alpha: f32, beta: f32) -> S::V {
    let y = s.add(s.mul(x, s.splat(alpha)), s.splat(beta));
    s.clamp(y, s.splat(0.0), s.splat(1.0))
}

simd_fn! {
    /// `1 / (1 + exp(-x))`, times x if `times_x`. A call costs little beside the exponential, and
    /// without it every store of every kernel would contain a copy.
    #[inline(never)]
    fn exponential(s: Simd, times_x: bool, lanes: &mut [f32; LANES]) {
        // SAFETY: as many floats as a vector has lanes.
        let x = unsafe { s.load(lanes.as_ptr()) };
        let one = s.splat(1.0);
        let sigmoid = s.div(one, s.add(one, exp_lanes(s, s.negate(x))));
        let y = if times_x { s.mul(x, sigmoid) } else { sigmoid };
        // SAFETY: as above.
        unsafe { s.store(lanes.as_mut_ptr(), y) };
    }
}

/// What happens to a product or convolution before it is stored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// One value per output channel, added first.
    pub bias: Option<&'a [f32]>,
    /// A matrix of the size of the output and its row stride in floats, added to the sum.
    pub residual: Option<(&'a [f32], usize)>,
    /// Applied last.
    pub activation: Activation,
    /// Adds the old content of the output, before `residual`. Not together with `interleave`.
    pub accumulate: bool,
    /// A matrix of the size of the result and its row stride in floats: channel c of it goes to
    /// channel 2c of the output and result channel c to channel 2c + 1, which is the
    /// concatenation and channel shuffle of ShuffleNetV2. The output has twice the channels then.
    pub interleave: Option<(&'a [f32], usize)>,
}

/// The epilogues of most layers, which a kernel may have a loop for. A matrix comes with its stride.
#[derive(Clone, Copy)]
pub(crate) enum Usual<'a> {
    Clamp((f32, f32)),
    HardSwish,
    Residual((&'a [f32], usize), (f32, f32)),
    Interleave((&'a [f32], usize), (f32, f32)),
}

impl<'a> Epilogue<'a> {
    /// Only an activation.
    pub fn activated(activation: Activation) -> Epilogue<'a> {
        Epilogue { activation, ..Epilogue::default() }
    }

    /// Bias and activation.
    pub fn biased(bias: Option<&'a [f32]>, activation: Activation) -> Epilogue<'a> {
        Epilogue { bias, activation, ..Epilogue::default() }
    }

    /// Floats between neighbouring results in a row of the output.
    pub(crate) fn step(&self) -> usize {
        if self.interleave.is_some() { 2 } else { 1 }
    }

    /// Floats of a row of the output that holds `columns` results.
    pub(crate) fn width(&self, columns: usize) -> usize {
        columns * self.step()
    }

    /// What the epilogue does besides the bias, if that is one of the common cases.
    pub(crate) fn usual(&self) -> Option<Usual<'a>> {
        let limits = match self.activation {
            Activation::None => Some((f32::NEG_INFINITY, f32::INFINITY)),
            Activation::Clamp(lo, hi) => Some((lo, hi)),
            _ => None,
        };
        Some(match (limits, self.residual, self.interleave) {
            _ if self.accumulate => return None,
            (Some(limits), None, None) => Usual::Clamp(limits),
            (Some(limits), Some(residual), None) => Usual::Residual(residual, limits),
            (Some(limits), None, Some(even)) => Usual::Interleave(even, limits),
            (None, None, None) if self.activation == Activation::HardSwish => Usual::HardSwish,
            _ => return None,
        })
    }

    /// The part that concerns the results from `column` on.
    pub(crate) fn columns_from(&self, column: usize) -> Epilogue<'a> {
        let from = |(x, stride): (&'a [f32], usize)| (&x[column.min(x.len())..], stride);
        Epilogue {
            bias: self.bias.map(|bias| &bias[column..]),
            residual: self.residual.map(from),
            interleave: self.interleave.map(from),
            ..*self
        }
    }

    /// The part that concerns the rows from `row` on.
    pub(crate) fn rows_from(&self, row: usize) -> Epilogue<'a> {
        let from = |(x, stride): (&'a [f32], usize)| (&x[(row * stride).min(x.len())..], stride);
        Epilogue {
            residual: self.residual.map(from),
            interleave: self.interleave.map(from),
            ..*self
        }
    }

    /// Asserts that bias and the two matrices cover `rows` rows of `columns` values.
    pub(crate) fn check(&self, rows: usize, columns: usize) {
        if let Some(bias) = self.bias {
            assert!(bias.len() >= columns, "{} bias values, {columns} channels", bias.len());
        }
        for (name, matrix) in [("residual", self.residual), ("interleaved", self.interleave)] {
            if let (Some((x, stride)), Some(last)) = (matrix, rows.checked_sub(1)) {
                assert!(
                    stride >= columns && x.len() >= last * stride + columns,
                    "the {name} matrix is smaller than the output"
                );
            }
        }
        assert!(!(self.accumulate && self.interleave.is_some()), "accumulating while interleaving");
    }

    /// The bias of the channels from `column` on that `mask` selects, or zero.
    ///
    /// # Safety
    /// The selected channels must exist.
    #[inline(always)]
    pub(crate) unsafe fn start<S: Simd>(&self, s: S, column: usize, mask: S::Mask) -> S::V {
        match self.bias {
            // SAFETY: by contract.
            Some(bias) => unsafe { s.load_first(bias.as_ptr().wrapping_add(column), mask) },
            None => s.splat(0.0),
        }
    }

    /// Finishes `sum`, the values of `row` from `column` on, and stores those that `mask` selects in
    /// the row of the output that starts at `out`.
    ///
    /// # Safety
    /// `out` must be valid for reads and writes of `self.width` of the last selected column, and
    /// [`Epilogue::check`] must have passed for an output that holds this row and these columns.
    #[inline(always)]
    pub(crate) unsafe fn finish<S: Simd>(
        &self,
        s: S,
        sum: S::V,
        row: usize,
        column: usize,
        out: *mut f32,
        mask: S::Mask,
    ) {
        let mut y = sum;
        // SAFETY: the mask selects only lanes that are valid by contract.
        unsafe {
            let matrix = |(x, stride): (&[f32], usize)| {
                s.load_first(x.as_ptr().wrapping_add(row * stride + column), mask)
            };
            if self.accumulate {
                y = s.add(y, s.load_first(out.wrapping_add(column), mask));
            }
            if let Some(residual) = self.residual {
                y = s.add(y, matrix(residual));
            }
            y = self.activation.apply(s, y);
            match self.interleave {
                None => s.store_first(out.wrapping_add(column), y, mask),
                Some(even) => {
                    let out = out.wrapping_add(2 * column);
                    let ([low, high], [first, second]) =
                        (s.interleave(matrix(even), y), s.doubled(mask));
                    s.store_first(out, low, first);
                    s.store_first(out.wrapping_add(LANES), high, second);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
