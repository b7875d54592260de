//! Operators that copy elements to other positions.

use super::{Rule, Typed};
use crate::limits::MAX_ELEMENTS;
use crate::{Cut, DType, Dim, PadMode, Result, Shape};

impl Rule<'_> {
    pub(super) fn concat(&self, axis: usize) -> Result<Typed> {
        let mut dims = self.with_axis(axis)?.dims().to_vec();
        let mut total = 0usize;
        for index in 0..self.node.inputs.len() {
            let other = self.shape(index)?.dims();
            let fits = other.len() == dims.len()
                && (0..dims.len()).all(|i| i == axis || dims[i] == other[i])
                && self.dtype(index)? == self.dtype(0)?;
            if !fits {
                return self
                    .fail(format!("input {index} does not fit the others beside axis {axis}"));
            }
            total = total.saturating_add(self.extent(index, axis)?);
        }
        dims[axis] = total.min(MAX_ELEMENTS + 1).into();
        self.same_type(Shape::new(dims))
    }

    pub(super) fn transpose(&self, perm: &[usize]) -> Result<Shape> {
        let shape = self.shape(0)?;
        let mut sorted = perm.to_vec();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..shape.rank()) {
            return self.fail(format!("{perm:?} does not permute {shape}"));
        }
        Ok(Shape::new(perm.iter().map(|&p| shape.dims()[p].clone()).collect()))
    }

    pub(super) fn slice(&self, cuts: &[Cut]) -> Result<Shape> {
        let shape = self.shape(0)?;
        self.ascending(&cuts.iter().map(|c| c.axis).collect::<Vec<_>>(), shape.rank())?;
        let mut dims = shape.dims().to_vec();
        for cut in cuts {
            let size = self.extent(0, cut.axis)?;
            let last = cut.len.saturating_sub(1).saturating_mul(cut.step).saturating_add(cut.start);
            if cut.step == 0 || (cut.len > 0 && last >= size) {
                return self.fail(format!("{cut:?} is outside {shape}"));
            }
            dims[cut.axis] = cut.len.into();
        }
        Ok(Shape::new(dims))
    }

    pub(super) fn pad(&self, before: &[usize], after: &[usize], mode: PadMode) -> Result<Typed> {
        let shape = self.shape(0)?;
        if before.len() != shape.rank() || after.len() != shape.rank() {
            return self.fail(format!("pads for {} dimensions, input is {shape}", before.len()));
        }
        let mut dims = shape.dims().to_vec();
        for (axis, dim) in dims.iter_mut().enumerate() {
            let extra = before[axis].saturating_add(after[axis]);
            if extra == 0 {
                continue;
            }
            let size = self.extent(0, axis)?;
            if size == 0 && !matches!(mode, PadMode::Constant(_)) {
                return self.fail(format!("{mode:?} has no element to repeat in {shape}"));
            }
            *dim = size.saturating_add(extra).min(MAX_ELEMENTS + 1).into();
        }
        if let PadMode::Constant(value) = mode {
            self.exact_constant(value)?;
        }
        self.same_type(Shape::new(dims))
    }

    /// Fails where the input's type cannot hold `value`.
    fn exact_constant(&self, value: f32) -> Result<()> {
        let (low, high) = match self.dtype(0)? {
            DType::F32 => return Ok(()),
            DType::U8 => (0.0, 255.0),
            DType::I8 => (-128.0, 127.0),
            DType::I32 => (i32::MIN as f32, i32::MAX as f32),
            DType::I64 => (i64::MIN as f32, i64::MAX as f32),
            DType::Bool => (0.0, 1.0),
        };
        if value.fract() == 0.0 && value >= low && value <= high {
            return Ok(());
        }
        self.fail(format!("cannot pad {} with {value}", self.dtype(0)?))
    }

    /// Where an extent of `extents` is 1, the input's stays; a symbol meets only 1.
    pub(super) fn expand(&self, extents: &[usize]) -> Result<Typed> {
        let shape = self.shape(0)?;
        let wanted = Shape::fixed(extents);
        match super::broadcast(shape, &wanted) {
            Some(dims) => self.same_type(dims),
            None => self.fail(format!("{shape} does not broadcast to {wanted}")),
        }
    }

    pub(super) fn tile(&self, repeats: &[usize]) -> Result<Typed> {
        let shape = self.shape(0)?;
        if repeats.len() != shape.rank() {
            return self.fail(format!("{} repeats for input {shape}", repeats.len()));
        }
        let mut dims = shape.dims().to_vec();
        for (axis, dim) in dims.iter_mut().enumerate().filter(|(axis, _)| repeats[*axis] != 1) {
            let extent = self.extent(0, axis)?.saturating_mul(repeats[axis]);
            *dim = extent.min(MAX_ELEMENTS + 1).into();
        }
        self.same_type(Shape::new(dims))
    }

    pub(super) fn trilu(&self) -> Result<Typed> {
        let shape = self.shape(0)?;
        if shape.rank() < 2 {
            return self.fail(format!("input is {shape}, needs at least 2 dimensions"));
        }
        self.same_type(shape.clone())
    }

    pub(super) fn depth_to_space(&self, block: usize) -> Result<Typed> {
        let dims = self.rank(0, 4)?.to_vec();
        let (c, h, w) = (self.extent(0, 1)?, self.extent(0, 2)?, self.extent(0, 3)?);
        let area = block.checked_mul(block).filter(|&area| area > 0 && c % area == 0);
        let Some(area) = area else {
            return self.fail(format!("{c} channels do not divide into blocks of {block}x{block}"));
        };
        self.same_type(map(&dims[0], c / area, h.saturating_mul(block), w.saturating_mul(block)))
    }

    pub(super) fn space_to_depth(&self, block: usize) -> Result<Typed> {
        let dims = self.rank(0, 4)?.to_vec();
        let (c, h, w) = (self.extent(0, 1)?, self.extent(0, 2)?, self.extent(0, 3)?);
        if block == 0 || h % block != 0 || w % block != 0 {
            return self.fail(format!("{h}x{w} does not divide into blocks of {block}x{block}"));
        }
        let area = block.saturating_mul(block);
        self.same_type(map(&dims[0], c.saturating_mul(area), h / block, w / block))
    }

    pub(super) fn channel_shuffle(&self, groups: usize) -> Result<Typed> {
        let shape = Shape::new(self.rank(0, 4)?.to_vec());
        let c = self.extent(0, 1)?;
        if groups == 0 || c % groups != 0 {
            return self.fail(format!("{c} channels do not divide into {groups} groups"));
        }
        self.same_type(shape)
    }
}

/// `[n, c, h, w]`; extents beyond the limits are cut to just beyond, so that they are reported.
fn map(batch: &Dim, c: usize, h: usize, w: usize) -> Shape {
    let bounded = |extent: usize| Dim::Fixed(extent.min(MAX_ELEMENTS + 1));
    Shape::new(vec![batch.clone(), bounded(c), bounded(h), bounded(w)])
}
