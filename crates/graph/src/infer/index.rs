//! Operators that take positions as data.

use super::{Rule, Typed};
use crate::{DType, Dim, Result, ScatterMode, Shape};

impl Rule<'_> {
    pub(super) fn gather(&self, axis: usize) -> Result<Typed> {
        let shape = self.with_axis(axis)?;
        self.positions(1)?;
        let (outer, inner) = (&shape.dims()[..axis], &shape.dims()[axis + 1..]);
        self.same_type(Shape::new([outer, self.shape(1)?.dims(), inner].concat()))
    }

    pub(super) fn gather_elements(&self, axis: usize) -> Result<Typed> {
        self.elements(axis)?;
        self.same_type(self.shape(1)?.clone())
    }

    pub(super) fn scatter_elements(&self, axis: usize, mode: ScatterMode) -> Result<Typed> {
        self.elements(axis)?;
        let (indices, updates) = (self.shape(1)?, self.shape(2)?);
        if indices != updates {
            return self.fail(format!("updates are {updates}, indices {indices}"));
        }
        self.scatter_type(mode)
    }

    /// Checks the indices of GatherElements and ScatterElements: as many dimensions as the data,
    /// and beside `axis` no extent beyond it.
    fn elements(&self, axis: usize) -> Result<()> {
        let data = self.with_axis(axis)?;
        self.positions(1)?;
        let indices = self.shape(1)?;
        let within = |(i, (a, b)): (usize, (&Dim, &Dim))| match (a.fixed(), b.fixed()) {
            _ if i == axis || a == b => true,
            (Some(index), Some(extent)) => index <= extent,
            _ => false,
        };
        let mut pairs = indices.dims().iter().zip(data.dims()).enumerate();
        if indices.rank() != data.rank() || !pairs.all(within) {
            return self.fail(format!("indices {indices} exceed {data} beside axis {axis}"));
        }
        Ok(())
    }

    pub(super) fn gather_nd(&self, batch_dims: usize) -> Result<Typed> {
        let (data, indices) = (self.shape(0)?, self.shape(1)?);
        self.positions(1)?;
        let depth = self.tuple_length(indices)?;
        let shared = batch_dims < indices.rank()
            && batch_dims <= data.rank()
            && data.dims()[..batch_dims] == indices.dims()[..batch_dims];
        if !shared || depth > data.rank() - batch_dims {
            return self.fail(format!(
                "indices {indices} do not fit {data} with {batch_dims} shared dimensions"
            ));
        }
        let tuples = &indices.dims()[..indices.rank() - 1];
        self.same_type(Shape::new([tuples, &data.dims()[batch_dims + depth..]].concat()))
    }

    pub(super) fn scatter_nd(&self, mode: ScatterMode) -> Result<Typed> {
        let (data, indices) = (self.shape(0)?, self.shape(1)?);
        self.positions(1)?;
        let depth = self.tuple_length(indices)?;
        if depth > data.rank() {
            return self
                .fail(format!("indices {indices} have more numbers than {data} dimensions"));
        }
        let tuples = &indices.dims()[..indices.rank() - 1];
        let needed = Shape::new([tuples, &data.dims()[depth..]].concat());
        if self.shape(2)? != &needed {
            return self.fail(format!("updates are {}, need {needed}", self.shape(2)?));
        }
        self.scatter_type(mode)
    }

    fn tuple_length(&self, indices: &Shape) -> Result<usize> {
        match indices.rank() {
            0 => self.fail("indices need at least 1 dimension"),
            rank => self.extent(1, rank - 1),
        }
    }

    fn scatter_type(&self, mode: ScatterMode) -> Result<Typed> {
        self.same_types(0, 2)?;
        if mode != ScatterMode::Replace {
            self.number(0)?;
        }
        self.same_type(self.shape(0)?.clone())
    }

    pub(super) fn one_hot(&self, axis: usize, depth: usize) -> Result<Typed> {
        if matches!(self.dtype(0)?, DType::F32 | DType::Bool) {
            return self.fail(format!("indices are {}, need an integer type", self.dtype(0)?));
        }
        self.node.input(1)?;
        self.vector(1, 2)?;
        let mut dims = self.shape(0)?.dims().to_vec();
        if axis > dims.len() {
            return self.fail(format!("axis {axis} is outside the result"));
        }
        dims.insert(axis, depth.into());
        Ok((self.dtype(1)?, Shape::new(dims)))
    }

    fn positions(&self, input: usize) -> Result<()> {
        match self.dtype(input)? {
            DType::I32 | DType::I64 => Ok(()),
            other => self.fail(format!("indices are {other}, need int32 or int64")),
        }
    }
}
