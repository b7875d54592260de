//! Convolutions and pooling: what slides over height and width.

use super::{Rule, Typed};
use crate::limits::MAX_WINDOW;
use crate::op::{Conv, ConvTranspose, Pool, Window};
use crate::{DType, Result, Shape};

/// Output extent of a window along one dimension, or `None` where the window does not fit.
/// `floor((size + pads - dilation * (kernel - 1) - 1) / stride) + 1`, or ceil in ceil mode with
/// the last window starting inside the padded input (ONNX Pooling).
pub fn window_extent(
    size: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    pads: (usize, usize),
    ceil: bool,
) -> Option<usize> {
    let reach = dilation.checked_mul(kernel.checked_sub(1)?)?.checked_add(1)?;
    let room = size.checked_add(pads.0)?.checked_add(pads.1)?.checked_sub(reach)?;
    let mut extent = room / stride + 1;
    if ceil && room % stride != 0 && extent * stride < size + pads.0 {
        extent += 1;
    }
    Some(extent)
}

impl Rule<'_> {
    /// `bias` says whether the third input is one; convolutions of integers have none.
    pub(super) fn conv(&self, conv: &Conv, bias: bool) -> Result<Shape> {
        let batch = self.rank(0, 4)?[0].clone();
        self.rank(1, 4)?;
        let (c, m) = (self.extent(0, 1)?, self.extent(1, 0)?);
        let kernel = [self.extent(1, 2)?, self.extent(1, 3)?];
        let groups = conv.groups;
        if groups == 0 || c % groups != 0 || m % groups != 0 || self.extent(1, 1)? != c / groups {
            let weight = self.shape(1)?;
            return self
                .fail(format!("weight {weight} does not fit {c} channels in {groups} groups"));
        }
        if kernel != conv.window.kernel {
            return self
                .fail(format!("weight is {kernel:?}, kernel_shape {:?}", conv.window.kernel));
        }
        if bias {
            self.vector(2, m)?;
        }
        let [h, w] = self.slide(&conv.window, false)?;
        Ok(Shape::new(vec![batch, m.into(), h.into(), w.into()]))
    }

    pub(super) fn conv_transpose(&self, conv: &ConvTranspose) -> Result<Shape> {
        let batch = self.rank(0, 4)?[0].clone();
        self.rank(1, 4)?;
        let (c, own) = (self.extent(0, 1)?, self.extent(1, 1)?);
        let kernel = [self.extent(1, 2)?, self.extent(1, 3)?];
        let groups = conv.groups;
        if groups == 0 || c % groups != 0 || self.extent(1, 0)? != c {
            let weight = self.shape(1)?;
            return self
                .fail(format!("weight {weight} does not fit {c} channels in {groups} groups"));
        }
        if kernel != conv.window.kernel {
            return self
                .fail(format!("weight is {kernel:?}, kernel_shape {:?}", conv.window.kernel));
        }
        let maps = own.saturating_mul(groups);
        self.vector(2, maps)?;
        self.check_window(&conv.window)?;
        if conv.output_padding.iter().any(|&p| p > MAX_WINDOW) {
            return self.fail(format!("output_padding exceeds {MAX_WINDOW}"));
        }
        let mut out = [0; 2];
        for (i, extent) in out.iter_mut().enumerate() {
            let size = self.extent(0, 2 + i)?;
            *extent = transposed_extent(size, conv, i).map_or_else(
                || self.fail(format!("nothing is left of {size} after {:?}", conv.window)),
                Ok,
            )?;
        }
        Ok(Shape::new(vec![batch, maps.into(), out[0].into(), out[1].into()]))
    }

    pub(super) fn pool(&self, pool: &Pool) -> Result<Shape> {
        let dims = self.rank(0, 4)?;
        let (n, c) = (dims[0].clone(), dims[1].clone());
        // A pad as wide as the kernel would leave windows without any input.
        let Window { kernel, pads, .. } = &pool.window;
        if (0..4).any(|i| pads[i] >= kernel[i % 2].max(1)) && pads.iter().any(|&p| p > 0) {
            return self.fail(format!("pads {pads:?} must be smaller than the kernel {kernel:?}"));
        }
        let [h, w] = self.slide(&pool.window, pool.ceil_mode)?;
        Ok(Shape::new(vec![n, c, h.into(), w.into()]))
    }

    pub(super) fn global_pool(&self) -> Result<Shape> {
        let dims = self.rank(0, 4)?;
        Ok(Shape::new(vec![dims[0].clone(), dims[1].clone(), 1.into(), 1.into()]))
    }

    /// Float32 and 8-bit integers.
    pub(super) fn max_pool(&self, pool: &Pool) -> Result<Typed> {
        let shape = self.pool(pool)?;
        match self.dtype(0)? {
            dtype @ (DType::F32 | DType::U8 | DType::I8) => Ok((dtype, shape)),
            other => self.fail(format!("input is {other}, needs float32, uint8 or int8")),
        }
    }

    pub(super) fn lp_pool(&self, pool: &Pool, p: usize) -> Result<Typed> {
        if p == 0 {
            return self.fail("p is 0, must be at least 1");
        }
        self.float(self.pool(pool)?)
    }

    fn check_window(&self, window: &Window) -> Result<()> {
        let Window { kernel, strides, dilations, pads } = window;
        let parts = kernel.iter().chain(strides).chain(dilations);
        if parts.clone().any(|&v| v == 0) || parts.chain(pads).any(|&v| v > MAX_WINDOW) {
            return self.fail(format!(
                "kernel {kernel:?}, strides {strides:?} and dilations {dilations:?} must be 1 to \
                 {MAX_WINDOW}, pads {pads:?} at most {MAX_WINDOW}"
            ));
        }
        Ok(())
    }

    fn slide(&self, window: &Window, ceil: bool) -> Result<[usize; 2]> {
        self.check_window(window)?;
        let Window { kernel, strides, dilations, pads } = window;
        let mut out = [0; 2];
        for i in 0..2 {
            let size = self.extent(0, 2 + i)?;
            let pad = (pads[i], pads[i + 2]);
            out[i] = window_extent(size, kernel[i], strides[i], dilations[i], pad, ceil)
                .map_or_else(
                    || self.fail(format!("window {kernel:?} exceeds its input {size}")),
                    Ok,
                )?;
        }
        Ok(out)
    }
}

/// Output extent of a transposed convolution along dimension `i` (0 height, 1 width), or `None`
/// where the pads leave nothing.
fn transposed_extent(size: usize, conv: &ConvTranspose, i: usize) -> Option<usize> {
    let Window { kernel, strides, dilations, pads } = &conv.window;
    let steps = size.checked_sub(1)?.checked_mul(strides[i])?;
    let reach = dilations[i].checked_mul(kernel[i].checked_sub(1)?)?;
    let whole = steps.checked_add(reach)?.checked_add(conv.output_padding[i])?.checked_add(1)?;
    whole.checked_sub(pads[i])?.checked_sub(pads[i + 2]).filter(|&extent| extent > 0)
}
