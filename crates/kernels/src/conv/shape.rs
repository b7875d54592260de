//! The geometry of a two-dimensional convolution or pooling window.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Sizes of a convolution on NHWC data: input `[n, h, w, cin]`, output `[n, oh, ow, cout]`, weights
/// `[kh, kw, cin / groups, cout]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ConvShape {
    /// Images.
    pub n: usize,
    /// Input rows.
    pub h: usize,
    /// Input columns.
    pub w: usize,
    /// Input channels.
    pub cin: usize,
    /// Output rows.
    pub oh: usize,
    /// Output columns.
    pub ow: usize,
    /// Output channels.
    pub cout: usize,
    /// Kernel rows.
    pub kh: usize,
    /// Kernel columns.
    pub kw: usize,
    /// Vertical stride.
    pub sh: usize,
    /// Horizontal stride.
    pub sw: usize,
    /// Vertical dilation.
    pub dh: usize,
    /// Horizontal dilation.
    pub dw: usize,
    /// Rows of zeros above the input.
    pub pt: usize,
    /// Columns of zeros left of the input.
    pub pl: usize,
    /// Groups of channels that do not see each other.
    pub groups: usize,
}

/// The output size of one axis: `(size + before + after - dilation * (kernel - 1) - 1) / stride + 1`;
/// `None` if the kernel does not fit, a factor is 0 or the arithmetic overflows.
pub fn output_len(
    size: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    before: usize,
    after: usize,
) -> Option<usize> {
    let reach = kernel.checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
    let padded = size.checked_add(before)?.checked_add(after)?;
    (dilation > 0).then_some(())?;
    padded.checked_sub(reach)?.checked_div(stride)?.checked_add(1)
}

impl ConvShape {
    /// A convolution of `[n, h, w, cin]` to `cout` channels with the kernel `[kh, kw]`, strides
    /// `[sh, sw]`, and padding `[top, left, bottom, right]`; dilation 1, one group. `None` if the
    /// kernel does not fit.
    pub fn new(
        input: [usize; 4],
        cout: usize,
        kernel: [usize; 2],
        stride: [usize; 2],
        pads: [usize; 4],
    ) -> Option<ConvShape> {
        ConvShape::dilated(input, cout, kernel, stride, [1, 1], pads, 1)
    }

    /// As [`ConvShape::new`], with dilation and groups.
    pub fn dilated(
        [n, h, w, cin]: [usize; 4],
        cout: usize,
        [kh, kw]: [usize; 2],
        [sh, sw]: [usize; 2],
        [dh, dw]: [usize; 2],
        [pt, pl, pb, pr]: [usize; 4],
        groups: usize,
    ) -> Option<ConvShape> {
        let oh = output_len(h, kh, sh, dh, pt, pb)?;
        let ow = output_len(w, kw, sw, dw, pl, pr)?;
        Some(ConvShape { n, h, w, cin, oh, ow, cout, kh, kw, sh, sw, dh, dw, pt, pl, groups })
    }

    /// Pixels of the input, all images together.
    pub fn in_pixels(&self) -> usize {
        self.n * self.h * self.w
    }

    /// Pixels of the output, all images together.
    pub fn out_pixels(&self) -> usize {
        self.n * self.oh * self.ow
    }

    /// Floats of the input.
    pub fn in_len(&self) -> usize {
        self.in_pixels() * self.cin
    }

    /// Floats of the output.
    pub fn out_len(&self) -> usize {
        self.out_pixels() * self.cout
    }

    /// Input channels of one group.
    pub fn cin_per_group(&self) -> usize {
        self.cin / self.groups.max(1)
    }

    /// Output channels of one group.
    pub fn cout_per_group(&self) -> usize {
        self.cout / self.groups.max(1)
    }

    /// Products per output element: the rows of the weight matrix.
    pub fn k(&self) -> usize {
        self.kh * self.kw * self.cin_per_group()
    }

    /// Floats of the weights.
    pub fn weight_len(&self) -> usize {
        self.k() * self.cout
    }

    /// Multiply-accumulate operations, those that meet padding included.
    pub fn macs(&self) -> usize {
        self.out_pixels() * self.cout * self.k()
    }

    /// One input channel per output channel.
    pub fn is_depthwise(&self) -> bool {
        self.groups > 0 && self.groups == self.cin && self.cin == self.cout
    }

    /// A matrix product as it stands: every output pixel reads the input pixel of the same index.
    pub fn is_pointwise(&self) -> bool {
        let one_tap = self.kh == 1 && self.kw == 1 && self.pt == 0 && self.pl == 0;
        one_tap && self.sh == 1 && self.sw == 1 && self.oh == self.h && self.ow == self.w
    }

    /// Whether kernels can walk it: no factor is 0, channels are whole groups, and no size or place
    /// overflows.
    pub fn is_valid(&self) -> bool {
        const MAX: usize = u32::MAX as usize;
        let fields =
            [self.n, self.h, self.w, self.cin, self.oh, self.ow, self.cout, self.pt, self.pl];
        let factors = [self.kh, self.kw, self.sh, self.sw, self.dh, self.dw, self.groups];
        let small = |&x: &usize| x <= MAX;
        let product = |of: &[usize]| {
            of.iter().try_fold(1usize, |a, &b| a.checked_mul(b)).is_some_and(|p| p <= MAX)
        };
        fields.iter().all(small)
            && factors.iter().all(|x| small(x) && *x > 0)
            && self.cin.is_multiple_of(self.groups)
            && self.cout.is_multiple_of(self.groups)
            && product(&[self.n, self.h, self.w, self.cin])
            && product(&[self.n, self.oh, self.ow, self.cout])
            && product(&[self.kh, self.kw, self.cin_per_group(), self.cout])
            && product(&[self.kh, self.kw, self.cin])
            && product(&[self.n, self.oh, self.ow])
            && product(&[self.n, self.h, self.w])
    }

    /// Asserts what every kernel relies on.
    pub(crate) fn check(&self) {
        let factors = [self.kh, self.kw, self.sh, self.sw, self.dh, self.dw, self.groups];
        assert!(factors.iter().all(|&x| x > 0), "zero in {self:?}");
        assert!(
            self.cin.is_multiple_of(self.groups) && self.cout.is_multiple_of(self.groups),
            "channels are not a multiple of the groups: {self:?}"
        );
    }

    /// The vertical taps that output row `oy` reads.
    pub(crate) fn rows_of(&self, oy: usize) -> Taps {
        Taps::forward(oy, self.h, self.kh, self.sh, self.dh, self.pt)
    }

    /// The horizontal taps that output column `ox` reads.
    pub(crate) fn columns_of(&self, ox: usize) -> Taps {
        Taps::forward(ox, self.w, self.kw, self.sw, self.dw, self.pl)
    }

    /// The output columns whose horizontal taps all lie inside the input.
    pub(crate) fn interior(&self) -> Range<usize> {
        let reach = (self.kw - 1) * self.dw;
        let first = self.pl.div_ceil(self.sw).min(self.ow);
        let end = (self.w + self.pl).checked_sub(reach + 1).map_or(0, |last| last / self.sw + 1);
        first..end.clamp(first, self.ow)
    }
}

/// The taps of a kernel along one axis that meet data: tap `tap + i * tap_step` meets position
/// `at + i * at_step`, for `i < count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taps {
    pub count: usize,
    pub tap: usize,
    pub tap_step: usize,
    pub at: usize,
    pub at_step: isize,
}

impl Taps {
    /// The inputs (below `size`) that output `o` reads.
    fn forward(
        o: usize,
        size: usize,
        kernel: usize,
        stride: usize,
        dilation: usize,
        before: usize,
    ) -> Taps {
        let start = o * stride;
        let tap = before.saturating_sub(start).div_ceil(dilation).min(kernel);
        // Position of tap t: start + t * dilation - before, below size.
        let end = (size + before).saturating_sub(start).div_ceil(dilation).min(kernel);
        let count = end.saturating_sub(tap);
        let at = if count > 0 { start + tap * dilation - before } else { 0 };
        Taps { count, tap, tap_step: 1, at, at_step: dilation as isize }
    }

    /// The outputs (below `size`) that read input `i`.
    pub(crate) fn backward(
        i: usize,
        size: usize,
        kernel: usize,
        stride: usize,
        dilation: usize,
        before: usize,
    ) -> Taps {
        let output = |tap: usize| {
            let start = (i + before).checked_sub(tap * dilation)?;
            (start % stride == 0 && start / stride < size).then_some(start / stride)
        };
        let mut hits = (0..kernel).filter_map(|tap| Some((tap, output(tap)?)));
        let Some((tap, at)) = hits.next() else {
            return Taps { count: 0, tap: 0, tap_step: 1, at: 0, at_step: 1 };
        };
        // Hits are evenly spaced: congruences modulo the stride, within one interval.
        let (tap_step, at_step) =
            hits.next().map_or((1, 1), |(t, a)| (t - tap, a as isize - at as isize));
        let rest = (tap + tap_step..kernel).step_by(tap_step).take_while(|&t| output(t).is_some());
        Taps { count: 1 + rest.count(), tap, tap_step, at, at_step }
    }
}
