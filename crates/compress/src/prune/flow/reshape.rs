//! The same elements under another shape.

use edgecut_graph::Result;

use super::{Axis, Tracer};

impl Tracer<'_> {
    /// Dimensions of input and output that cover the same elements are matched; where several
    /// become one, one several, or several others, both are grids over their common factors.
    pub(super) fn reshape(&mut self) -> Result<()> {
        self.otherwise("divides it unevenly");
        let from = self.extents(true)?;
        let to = self.extents(false)?;
        for (from, to) in blocks(&from, &to) {
            self.block(&from, &to)?;
        }
        Ok(())
    }

    /// Dimensions of more than one index, and their extents.
    fn extents(&mut self, input: bool) -> Result<Vec<(usize, usize)>> {
        let rank = if input { self.rank(0) } else { self.output_rank() };
        let mut extents = vec![];
        for dim in 0..rank {
            let id = if input { self.node.input(0)? } else { self.node.output() };
            match self.space.of(id)[dim].len() {
                1 => drop(if input { self.input(0, dim)? } else { self.output(dim) }),
                len => extents.push((dim, len)),
            }
        }
        Ok(extents)
    }

    fn block(&mut self, from: &[(usize, usize)], to: &[(usize, usize)]) -> Result<()> {
        if let (&[(x, _)], &[(y, _)]) = (from, to) {
            let (x, y) = (self.input(0, x)?, self.output(y));
            self.same(x, y);
            return Ok(());
        }
        let lens = |dims: &[(usize, usize)]| dims.iter().map(|d| d.1).collect::<Vec<_>>();
        let Some(factors) = common_factors(&lens(from), &lens(to)) else { return Ok(()) };
        let inner: Vec<Axis> = factors.iter().map(|&len| self.inner(len)).collect();
        let mut at = 0;
        for &(dim, _) in from {
            let axis = self.input(0, dim)?;
            at += self.factors_of(axis, &inner[at..]);
        }
        at = 0;
        for &(dim, _) in to {
            let axis = self.output(dim);
            at += self.factors_of(axis, &inner[at..]);
        }
        Ok(())
    }

    /// Makes `axis` a grid over the first of `factors` that multiply to its length; returns how
    /// many they are.
    fn factors_of(&mut self, axis: Axis, factors: &[Axis]) -> usize {
        let mut product = 1;
        let count = factors.iter().take_while(|factor| {
            let before = product;
            product *= factor.len();
            before < axis.len()
        });
        let count = count.count();
        self.grid(&factors[..count], axis);
        count
    }
}

type Dims = Vec<(usize, usize)>;

/// Splits both lists of dimensions where they have covered the same number of elements.
fn blocks(from: &[(usize, usize)], to: &[(usize, usize)]) -> Vec<(Dims, Dims)> {
    let product = |dims: &Dims| dims.iter().map(|d| d.1).product::<usize>();
    let (mut from, mut to) = (from.iter().copied(), to.iter().copied());
    let mut blocks = vec![];
    while let (Some(a), Some(b)) = (from.next(), to.next()) {
        let (mut left, mut right) = (vec![a], vec![b]);
        while product(&left) != product(&right) {
            let shorter = product(&left) < product(&right);
            let next = if shorter { from.next() } else { to.next() };
            let Some(dim) = next else { return blocks };
            if shorter { &mut left } else { &mut right }.push(dim);
        }
        blocks.push((left, right));
    }
    blocks
}

/// The coarsest lengths of which both lists of lengths are products of neighbours, or `None` where
/// there are none: 6 x 4 and 8 x 3 have no common factors in place.
fn common_factors(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    // Where a dimension ends, counted in elements from the front.
    let ends = |lens: &[usize]| -> Vec<usize> {
        let end = |product: &mut usize, len: &usize| {
            *product *= len;
            Some(*product)
        };
        lens.iter().scan(1, end).collect()
    };
    let mut all = [ends(a), ends(b)].concat();
    all.sort_unstable();
    all.dedup();
    let mut before = 1;
    let mut factors = vec![];
    for end in all {
        if end % before != 0 {
            return None;
        }
        factors.push(end / before);
        before = end;
    }
    (a.iter().product::<usize>() == before).then_some(factors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dims(lens: &[usize]) -> Dims {
        lens.iter().copied().enumerate().collect()
    }

    #[test]
    fn dimensions_that_cover_the_same_elements_are_matched() {
        let found = blocks(&dims(&[196, 768]), &dims(&[196, 12, 64]));
        let lens: Vec<(Vec<usize>, Vec<usize>)> = found
            .iter()
            .map(|(a, b)| (a.iter().map(|d| d.1).collect(), b.iter().map(|d| d.1).collect()))
            .collect();
        assert_eq!(lens, [(vec![196], vec![196]), (vec![768], vec![12, 64])]);
        assert_eq!(blocks(&dims(&[2, 58]), &dims(&[116])).len(), 1);
        assert_eq!(blocks(&dims(&[56, 56, 96]), &dims(&[8, 7, 8, 7, 96])).len(), 3);
        assert_eq!(blocks(&dims(&[6, 4]), &dims(&[8, 3])).len(), 1);
    }

    #[test]
    fn factors_are_common_or_there_are_none() {
        assert_eq!(common_factors(&[12, 64], &[768]), Some(vec![12, 64]));
        assert_eq!(common_factors(&[6, 4], &[2, 12]), Some(vec![2, 3, 4]));
        assert_eq!(common_factors(&[6, 4], &[8, 3]), None);
    }
}
