//! Normalisations.

use super::{Rule, Typed};
use crate::{Result, Shape};

impl Rule<'_> {
    pub(super) fn batch_norm(&self) -> Result<Shape> {
        if self.shape(0)?.rank() < 2 {
            return self.fail("input needs at least 2 dimensions");
        }
        let channels = self.extent(0, 1)?;
        for index in 1..5 {
            self.node.input(index)?;
            self.vector(index, channels)?;
        }
        Ok(self.shape(0)?.clone())
    }

    pub(super) fn layer_norm(&self, axis: usize) -> Result<Shape> {
        let shape = self.with_axis(axis)?;
        for i in axis..shape.rank() {
            self.extent(0, i)?;
        }
        let normalised = Shape::new(shape.dims()[axis..].to_vec());
        for index in 1..3 {
            if (index == 1 || self.present(index)) && self.shape(index)? != &normalised {
                let own = self.shape(index)?;
                return self.fail(format!("input {index} is {own}, needs {normalised}"));
            }
        }
        Ok(shape)
    }

    /// InstanceNorm and GroupNorm: scale and bias for each channel.
    pub(super) fn channel_norm(&self, groups: Option<usize>) -> Result<Shape> {
        let shape = self.shape(0)?;
        if shape.rank() < 2 {
            return self.fail(format!("input is {shape}, needs at least 2 dimensions"));
        }
        let channels = self.extent(0, 1)?;
        if groups.is_some_and(|groups| groups == 0 || channels % groups != 0) {
            return self.fail(format!("{channels} channels do not divide into {groups:?} groups"));
        }
        for index in 1..3 {
            self.node.input(index)?;
            self.vector(index, channels)?;
        }
        Ok(shape.clone())
    }

    pub(super) fn local_response(&self, size: usize) -> Result<Typed> {
        let shape = self.shape(0)?;
        if shape.rank() < 2 || size == 0 {
            return self
                .fail(format!("needs channels and a size of at least 1, got {shape}, {size}"));
        }
        self.extent(0, 1)?;
        self.float(shape.clone())
    }

    pub(super) fn lp_norm(&self, axis: usize, p: usize) -> Result<Typed> {
        if !matches!(p, 1 | 2) {
            return self.fail(format!("p is {p}, must be 1 or 2"));
        }
        self.float(self.with_axis(axis)?)
    }
}
