//! Operators that change the shape and keep the elements in order.

use super::Rule;
use crate::{Dim, ReshapeDim, Result, Shape};

impl Rule<'_> {
    /// Symbols stay symbols: copied by position, or taken by the inferred dimension when all
    /// fixed extents cancel.
    pub(super) fn reshape(&self, rules: &[ReshapeDim]) -> Result<Shape> {
        let input = self.shape(0)?;
        let mut remaining: Vec<Dim> = input.dims().to_vec();
        let mut dims = Vec::with_capacity(rules.len());
        let mut product = 1usize;
        for (i, rule) in rules.iter().enumerate() {
            let dim = match rule {
                ReshapeDim::Infer => Dim::Fixed(0),
                ReshapeDim::Fixed(n) => Dim::Fixed(*n),
                ReshapeDim::Copy => match input.dims().get(i) {
                    Some(dim) => dim.clone(),
                    None => return self.fail(format!("copies dimension {i}, which {input} lacks")),
                },
            };
            match (&dim, rule) {
                (_, ReshapeDim::Infer) => {}
                (Dim::Fixed(n), _) => product = product.saturating_mul(*n),
                (symbol, _) => match remaining.iter().position(|d| d == symbol) {
                    Some(at) => drop(remaining.remove(at)),
                    None => return self.fail(format!("{symbol} appears twice in the new shape")),
                },
            }
            dims.push(dim);
        }
        self.close_reshape(rules, dims, &remaining, product)
    }

    fn close_reshape(
        &self,
        rules: &[ReshapeDim],
        mut dims: Vec<Dim>,
        remaining: &[Dim],
        product: usize,
    ) -> Result<Shape> {
        let symbols: Vec<&Dim> = remaining.iter().filter(|d| d.fixed().is_none()).collect();
        let total = remaining.iter().filter_map(Dim::fixed).fold(1, usize::saturating_mul);
        let inferred = rules.iter().position(|r| *r == ReshapeDim::Infer);
        let ok = match (inferred, symbols.as_slice()) {
            (None, []) => product == total,
            (Some(at), []) if product > 0 && total % product == 0 => {
                dims[at] = (total / product).into();
                true
            }
            (Some(at), [symbol]) if product == total => {
                dims[at] = (*symbol).clone();
                true
            }
            _ => false,
        };
        let twice = rules.iter().filter(|r| **r == ReshapeDim::Infer).count() > 1;
        if !ok || twice {
            return self.fail(format!("cannot reshape {} to {rules:?}", self.shape(0)?));
        }
        Ok(Shape::new(dims))
    }

    pub(super) fn flatten(&self, axis: usize) -> Result<Shape> {
        let shape = self.shape(0)?;
        if axis > shape.rank() {
            return self.fail(format!("axis {axis} is outside {shape}"));
        }
        let join = |dims: &[Dim]| -> Option<Dim> {
            let fixed = dims.iter().filter_map(Dim::fixed).fold(1, usize::saturating_mul);
            match dims.iter().filter(|d| d.fixed().is_none()).collect::<Vec<_>>().as_slice() {
                [] => Some(fixed.into()),
                [symbol] if fixed == 1 => Some((*symbol).clone()),
                _ => None,
            }
        };
        match (join(&shape.dims()[..axis]), join(&shape.dims()[axis..])) {
            (Some(rows), Some(columns)) => Ok(Shape::new(vec![rows, columns])),
            _ => {
                self.fail(format!("cannot flatten {shape} at axis {axis}: a symbol meets a number"))
            }
        }
    }

    pub(super) fn squeeze(&self, axes: &[usize]) -> Result<Shape> {
        let shape = self.shape(0)?;
        self.ascending(axes, shape.rank())?;
        if let Some(axis) = axes.iter().find(|&&a| shape.dims()[a] != Dim::Fixed(1)) {
            return self.fail(format!("dimension {axis} of {shape} is not 1"));
        }
        self.without(axes, false)
    }

    pub(super) fn unsqueeze(&self, axes: &[usize]) -> Result<Shape> {
        let shape = self.shape(0)?;
        let rank = shape.rank() + axes.len();
        self.ascending(axes, rank)?;
        let mut rest = shape.dims().iter();
        let dims = (0..rank).map(|i| {
            if axes.contains(&i) { Dim::Fixed(1) } else { rest.next().expect("rank").clone() }
        });
        Ok(Shape::new(dims.collect()))
    }
}
