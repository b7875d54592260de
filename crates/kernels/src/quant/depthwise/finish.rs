//! What happens to a vector of outputs besides requantisation.

use super::columns::Kernel;
use super::weights::QUARTERS;
use crate::Activation;
use crate::quant::quads::{Part, Quads};
use crate::simd::{LANES, Simd};

/// Residual and activation of a vector of outputs, the first of which must exist.
pub(super) struct Rest<'a, const PIXELS: usize> {
    pub kernel: &'a Kernel<'a>,
    /// Output row, and column of the first.
    pub row: usize,
    pub ox: usize,
    pub floats: &'a [[f32; LANES]; QUARTERS],
}

impl<const PIXELS: usize> Part for Rest<'_, PIXELS> {
    #[inline(always)]
    fn run<Q: Quads>(self, q: Q) {
        let s = q.simd();
        let Kernel { lines, block, .. } = *self.kernel;
        let channels = self.kernel.channels();
        let (ox, pixels) = (self.ox, PIXELS.min(lines.shape.ow - self.ox));
        let finish = &lines.finishes[self.row];
        let mut values = [s.splat(0.0); QUARTERS];
        for j in 0..QUARTERS {
            // SAFETY: there are 16 floats.
            values[j] = unsafe { s.load(self.floats[j].as_ptr()) };
        }
        if let Some(residual) = finish.residual {
            // Pixels that do not exist are as good as the last that does.
            let at: [*const u8; PIXELS] = std::array::from_fn(|i| {
                let pixel = ox + i.min(pixels - 1);
                residual.data[pixel * residual.stride + block.first..][..channels].as_ptr()
            });
            // SAFETY: the pixels have these channels.
            let numbers = q.widen(unsafe { q.load::<PIXELS>(at, channels) });
            let zero_point = s.splat(f32::from(residual.affine.zero_point));
            let ratio = s.splat(residual.affine.scale / finish.requant.scale);
            for j in 0..QUARTERS {
                let number = s.sub(numbers[j], zero_point);
                values[j] = s.add(values[j], s.mul(number, ratio));
            }
        }
        let activation = finish.requant.activation;
        if activation != Activation::None {
            let (scale, inverse) = (s.splat(finish.requant.scale), s.splat(finish.requant.inverse));
            for j in 0..QUARTERS {
                let y = activation.apply(s, s.mul(values[j], scale));
                values[j] = s.mul(y, inverse);
            }
        }
        let bytes = q.round(values, finish.requant.range);
        let out = lines.outs[self.row].wrapping_add(ox * lines.out_stride + block.first);
        // SAFETY: these pixels exist, and so do these channels of theirs.
        unsafe { q.store::<PIXELS>(out, lines.out_stride, bytes, channels, pixels) };
    }
}
