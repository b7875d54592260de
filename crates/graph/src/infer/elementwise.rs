//! Functions of single elements, which broadcast.

use super::{Rule, Typed};
use crate::{Binary, Compare, DType, Dim, Result, Shape, Unary};

/// The shape that two values broadcast to (NumPy rules), or `None`. A symbol meets only itself
/// or 1.
pub fn broadcast(a: &Shape, b: &Shape) -> Option<Shape> {
    let rank = a.rank().max(b.rank());
    let dim = |s: &Shape, i: usize| -> Dim {
        let missing = rank - s.rank();
        if i < missing { Dim::Fixed(1) } else { s.dims()[i - missing].clone() }
    };
    let dims = (0..rank).map(|i| match (dim(a, i), dim(b, i)) {
        (x, y) if x == y => Some(x),
        (Dim::Fixed(1), y) => Some(y),
        (x, Dim::Fixed(1)) => Some(x),
        _ => None,
    });
    dims.collect::<Option<Vec<Dim>>>().map(Shape::new)
}

impl Rule<'_> {
    pub(super) fn unary(&self, function: &Unary) -> Result<Typed> {
        use Unary::{Abs, Clip, Neg, Relu, Sign};
        let shape = self.shape(0)?.clone();
        match function {
            Relu | Clip { .. } | Abs | Neg | Sign => Ok((self.number(0)?, shape)),
            _ => self.float(shape),
        }
    }

    pub(super) fn binary(&self, function: Binary) -> Result<Typed> {
        let shape = self.pair()?;
        match function {
            Binary::Pow => self.float(shape),
            Binary::PRelu => {
                if &shape != self.shape(0)? {
                    let (a, b) = (self.shape(0)?, self.shape(1)?);
                    return self.fail(format!("slope {b} does not broadcast to {a}"));
                }
                self.float(shape)
            }
            Binary::Mod if self.dtype(0)? == DType::F32 => {
                self.fail("takes integers; Fmod takes float32")
            }
            _ => Ok((self.number(0)?, shape)),
        }
    }

    pub(super) fn compare(&self, function: Compare) -> Result<Typed> {
        let shape = self.pair()?;
        if function != Compare::Equal {
            self.number(0)?;
        }
        Ok((DType::Bool, shape))
    }

    pub(super) fn logic(&self) -> Result<Typed> {
        let shape = self.pair()?;
        self.boolean(0)?;
        Ok((DType::Bool, shape))
    }

    pub(super) fn not(&self) -> Result<Typed> {
        self.boolean(0)?;
        Ok((DType::Bool, self.shape(0)?.clone()))
    }

    /// IsNan and IsInf.
    pub(super) fn float_test(&self) -> Result<Typed> {
        let (_, shape) = self.float(self.shape(0)?.clone())?;
        Ok((DType::Bool, shape))
    }

    pub(super) fn choose(&self) -> Result<Typed> {
        self.boolean(0)?;
        self.same_types(1, 2)?;
        let [condition, a, b] = [self.shape(0)?, self.shape(1)?, self.shape(2)?];
        match broadcast(a, b).and_then(|both| broadcast(condition, &both)) {
            Some(shape) => Ok((self.dtype(1)?, shape)),
            None => self.fail(format!("shapes {condition}, {a} and {b} do not broadcast")),
        }
    }

    /// Shape of two broadcast inputs of one type.
    fn pair(&self) -> Result<Shape> {
        let (a, b) = (self.shape(0)?, self.shape(1)?);
        self.same_types(0, 1)?;
        match broadcast(a, b) {
            Some(shape) => Ok(shape),
            None => self.fail(format!("shapes {a} and {b} do not broadcast")),
        }
    }

    fn boolean(&self, input: usize) -> Result<()> {
        match self.dtype(input)? {
            DType::Bool => Ok(()),
            other => self.fail(format!("input {input} is {other}, needs bool")),
        }
    }
}
