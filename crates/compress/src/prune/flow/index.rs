//! Operators that take positions as data.

use edgecut_graph::{Result, Tensor};

use super::Tracer;

impl Tracer<'_> {
    /// Positions that are stored select indices, and are counted anew when others go. Those that
    /// are computed, such as words of a vocabulary, may be any.
    pub(super) fn gather(&mut self, axis: usize) -> Result<()> {
        self.otherwise("looks up positions in it");
        let (rank, indices) = (self.rank(0), self.rank(1));
        for dim in (0..rank).filter(|&dim| dim != axis) {
            let to = if dim < axis { dim } else { dim + indices - 1 };
            let (x, y) = (self.input(0, dim)?, self.output(to));
            self.same(x, y);
        }
        for dim in 0..indices {
            let (x, y) = (self.input(1, dim)?, self.output(axis + dim));
            self.same(x, y);
        }
        let Some(positions) = self.graph.constant(self.node.input(1)?).map(Tensor::to_i64) else {
            return Ok(());
        };
        let x = self.input(0, axis)?;
        let positions = positions?.into_iter();
        let positions: Vec<usize> =
            positions.map(|p| p.rem_euclid(x.len() as i64) as usize).collect();
        match indices {
            1 => {
                let y = self.output(axis);
                self.moved(x, y, positions.into_iter().map(Some));
            }
            _ => {
                for position in positions {
                    self.pin_index(x.at(position), "looks up positions in it");
                }
            }
        }
        Ok(())
    }

    pub(super) fn one_hot(&mut self, axis: usize) -> Result<()> {
        for dim in 0..self.rank(0) {
            let (x, y) = (self.input(0, dim)?, self.output(dim + usize::from(dim >= axis)));
            self.same(x, y);
        }
        Ok(())
    }
}
