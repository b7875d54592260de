//! Operators that join, order or accumulate the elements along dimensions.

use super::{Rule, Typed};
use crate::{DType, Dim, Result, Shape};

impl Rule<'_> {
    pub(super) fn reduce(&self, axes: &[usize], keep_dims: bool) -> Result<Typed> {
        let dtype = self.number(0)?;
        Ok((dtype, self.without(axes, keep_dims)?))
    }

    /// The input's shape without `axes`, or with extent 1 there.
    pub(super) fn without(&self, axes: &[usize], keep_dims: bool) -> Result<Shape> {
        let shape = self.shape(0)?;
        self.ascending(axes, shape.rank())?;
        let dims = shape.dims().iter().enumerate().filter_map(|(i, dim)| {
            match (axes.contains(&i), keep_dims) {
                (false, _) => Some(dim.clone()),
                (true, true) => Some(Dim::Fixed(1)),
                (true, false) => None,
            }
        });
        Ok(Shape::new(dims.collect()))
    }

    pub(super) fn arg_extreme(&self, axis: usize, keep_dims: bool) -> Result<Typed> {
        self.number(0)?;
        let shape = self.without(&[axis], keep_dims)?;
        if self.shape(0)?.dims()[axis] == Dim::Fixed(0) {
            return self.fail(format!("dimension {axis} is empty: no element is the largest"));
        }
        Ok((DType::I64, shape))
    }

    pub(super) fn top_k(&self, axis: usize, k: usize) -> Result<Vec<Typed>> {
        let dtype = self.number(0)?;
        let mut dims = self.with_axis(axis)?.dims().to_vec();
        let extent = self.extent(0, axis)?;
        if k > extent {
            return self.fail(format!("k = {k} exceeds the extent {extent} of dimension {axis}"));
        }
        dims[axis] = k.into();
        let shape = Shape::new(dims);
        Ok(vec![(dtype, shape.clone()), (DType::I64, shape)])
    }

    pub(super) fn cum_sum(&self, axis: usize) -> Result<Typed> {
        let dtype = self.number(0)?;
        Ok((dtype, self.with_axis(axis)?))
    }
}
