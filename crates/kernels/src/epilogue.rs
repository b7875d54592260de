//! What happens to a sum in registers before it is stored.
//!
//! A pass over memory costs more than the arithmetic of most layers, so bias, residual addition and
//! activation limits ride on the store of the kernel that computes the sum.

use crate::simd::Simd;

/// What happens to a product or convolution before it is stored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// One value per output channel, added first.
    pub bias: Option<&'a [f32]>,
    /// A matrix of the size of the output and its row stride in floats, added to the sum.
    pub residual: Option<(&'a [f32], usize)>,
    /// Lower and upper limit of the result, applied last; NaN stays NaN.
    pub clamp: Option<(f32, f32)>,
    /// Adds the old content of the output, before `residual`.
    pub accumulate: bool,
}

impl<'a> Epilogue<'a> {
    /// Only limits: `(0, infinity)` is ReLU, `(0, 6)` is ReLU6.
    pub fn clamped(clamp: Option<(f32, f32)>) -> Epilogue<'a> {
        Epilogue { clamp, ..Epilogue::default() }
    }

    /// Bias and limits.
    pub fn biased(bias: Option<&'a [f32]>, clamp: Option<(f32, f32)>) -> Epilogue<'a> {
        Epilogue { bias, clamp, ..Epilogue::default() }
    }

    /// Asserts that bias and residual cover `rows` rows of `columns` values.
    pub(crate) fn check(&self, rows: usize, columns: usize) {
        if let Some(bias) = self.bias {
            assert!(bias.len() >= columns, "{} bias values, {columns} channels", bias.len());
        }
        if let (Some((x, stride)), Some(last)) = (self.residual, rows.checked_sub(1)) {
            assert!(
                stride >= columns && x.len() >= last * stride + columns,
                "the residual is smaller than the output"
            );
        }
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

    /// Finishes `sum`, the values of `row` from `column` on, and stores those that `mask` selects at
    /// `out`.
    ///
    /// # Safety
    /// `out` must be valid for reads and writes of the selected lanes, and [`Epilogue::check`] must
    /// have passed for an output that holds this row and the selected columns.
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
            if self.accumulate {
                y = s.add(y, s.load_first(out, mask));
            }
            if let Some((x, stride)) = self.residual {
                let x = x.as_ptr().wrapping_add(row * stride + column);
                y = s.add(y, s.load_first(x, mask));
            }
            if let Some((lo, hi)) = self.clamp {
                y = s.clamp(y, s.splat(lo), s.splat(hi));
            }
            s.store_first(out, y, mask);
        }
    }
}
