//! Between float and 8-bit integers, and integer products.

use super::{Rule, Typed};
use crate::{Conv, DType, Dim, Result, Shape};

impl Rule<'_> {
    fn scale(&self, axis: usize) -> Result<()> {
        let scale = self.shape(1)?.clone();
        if self.dtype(1)? != DType::F32 {
            return self.fail(format!("scale is {}, needs float32", self.dtype(1)?));
        }
        let count = if scale.rank() == 1 { self.extent(1, 0)? } else { 1 };
        let per_axis = scale.rank() == 1 && (count != 1 || self.shape(0)?.rank() == 1);
        if scale.rank() > 1 || (per_axis && count != 1 && self.extent(0, axis)? != count) {
            return self
                .fail(format!("scale {scale} does not fit axis {axis} of {}", self.shape(0)?));
        }
        if self.present(2) {
            let zero = self.shape(2)?;
            if zero.rank() > 1 || zero.len_with(1, &self.node.name)? != count {
                return self.fail(format!("zero point {zero} does not fit scale {scale}"));
            }
        }
        Ok(())
    }

    pub(super) fn quantize(&self, axis: usize) -> Result<Typed> {
        self.scale(axis)?;
        if self.dtype(0)? != DType::F32 {
            return self.fail(format!("input is {}, needs float32", self.dtype(0)?));
        }
        match self.dtype(2)? {
            dtype @ (DType::U8 | DType::I8) => Ok((dtype, self.shape(0)?.clone())),
            other => self.fail(format!("zero point is {other}, needs uint8 or int8")),
        }
    }

    pub(super) fn dequantize(&self, axis: usize) -> Result<Typed> {
        self.scale(axis)?;
        let dtype = self.dtype(0)?;
        if !matches!(dtype, DType::U8 | DType::I8 | DType::I32) {
            return self.fail(format!("input is {dtype}, needs uint8, int8 or int32"));
        }
        if self.present(2) && self.dtype(2)? != dtype {
            return self.fail(format!("zero point is {}, input {dtype}", self.dtype(2)?));
        }
        Ok((DType::F32, self.shape(0)?.clone()))
    }

    pub(super) fn dynamic_quantize(&self) -> Result<Vec<Typed>> {
        let (_, shape) = self.float(self.shape(0)?.clone())?;
        let scalar = Shape::fixed(&[]);
        Ok(vec![(DType::U8, shape), (DType::F32, scalar.clone()), (DType::U8, scalar)])
    }

    pub(super) fn conv_integer(&self, conv: &Conv) -> Result<Typed> {
        self.bytes(0)?;
        self.bytes(1)?;
        // The third input of a convolution is a bias; here it is a zero point.
        let shape = self.conv(conv, false)?;
        self.zero_points(2, 0, 1)?;
        self.zero_points(3, 1, self.extent(1, 0)?)?;
        Ok((DType::I32, shape))
    }

    pub(super) fn mat_mul_integer(&self) -> Result<Typed> {
        self.bytes(0)?;
        self.bytes(1)?;
        let shape = self.mat_mul()?;
        let side = |input: usize, from_end: usize| -> Result<usize> {
            let shape = self.shape(input)?;
            // Per-row and per-column zero points need an extent that is known.
            Ok(shape.dims()[shape.rank() - from_end].fixed().unwrap_or(1))
        };
        self.zero_points(2, 0, side(0, 2)?)?;
        self.zero_points(3, 1, side(1, 1)?)?;
        Ok((DType::I32, shape))
    }

    fn bytes(&self, input: usize) -> Result<()> {
        match self.dtype(input)? {
            DType::U8 | DType::I8 => Ok(()),
            other => self.fail(format!("input {input} is {other}, needs uint8 or int8")),
        }
    }

    /// Checks that input `index`, if present, holds one zero point of input `of`, or `count`.
    fn zero_points(&self, index: usize, of: usize, count: usize) -> Result<()> {
        if !self.present(index) {
            return Ok(());
        }
        let shape = self.shape(index)?;
        let fits = match shape.dims() {
            [] => true,
            [Dim::Fixed(n)] => *n == 1 || *n == count,
            _ => false,
        };
        if !fits {
            return self.fail(format!("zero points {shape} do not fit 1 or {count}"));
        }
        let (own, needed) = (self.dtype(index)?, self.dtype(of)?);
        if own != needed {
            return self.fail(format!("zero point is {own}, input {of} {needed}"));
        }
        Ok(())
    }
}
