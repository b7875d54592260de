//! Resampling.

use super::{Rule, Typed};
use crate::{Coordinates, DType, Resize, ResizeAxis, ResizeMode, Result, Shape};

impl Rule<'_> {
    pub(super) fn resize(&self, resize: &Resize) -> Result<Typed> {
        let mut dims = self.shape(0)?.dims().to_vec();
        let axes: Vec<usize> = resize.axes.iter().map(|a| a.axis).collect();
        self.ascending(&axes, dims.len())?;
        for axis in &resize.axes {
            let size = self.extent(0, axis.axis)?;
            self.resize_axis(resize, axis, size)?;
            dims[axis.axis] = axis.len.into();
        }
        let interpolates = !matches!(resize.mode, ResizeMode::Nearest(_));
        if interpolates && self.dtype(0)? != DType::F32 {
            return self.fail(format!("interpolates float32 only, input is {}", self.dtype(0)?));
        }
        if matches!(resize.mode, ResizeMode::Cubic(coefficient) if !coefficient.is_finite()) {
            return self.fail("cubic coefficient is not finite");
        }
        self.same_type(Shape::new(dims))
    }

    /// The scale must lead from the input's extent to the output's, so that positions stay near
    /// the input and an antialiasing filter is at most some inputs wide.
    fn resize_axis(&self, resize: &Resize, axis: &ResizeAxis, size: usize) -> Result<()> {
        let ResizeAxis { len, scale, region, .. } = *axis;
        let exact = f64::from(scale) * size as f64;
        let cropped = resize.coordinates == Coordinates::CropAndResize;
        let near = (exact - len as f64).abs() <= 1.0 + 1e-3 * len as f64;
        if len == 0 || size == 0 || !scale.is_finite() || scale <= 0.0 || !(near || cropped) {
            return self.fail(format!("scale {scale} does not lead from extent {size} to {len}"));
        }
        if cropped && !(region.0.is_finite() && region.1.is_finite()) {
            return self.fail(format!("region {region:?} is not finite"));
        }
        if resize.antialias && exact < 0.5 {
            return self.fail(format!("scale {scale} is too small for antialiasing {size}"));
        }
        Ok(())
    }
}
