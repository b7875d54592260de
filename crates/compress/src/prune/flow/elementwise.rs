//! Operators that compute each element from those at the same place.

use edgecut_graph::{Binary, Result};

use super::{Role, Tracer};

impl Tracer<'_> {
    /// Dimensions of the first input and output keep the same indices, but for `mixed` ones.
    pub(super) fn all_but(&mut self, mixed: &[usize]) -> Result<()> {
        let dims: Vec<usize> = (0..self.rank(0)).filter(|dim| !mixed.contains(dim)).collect();
        self.same_dims(0, dims)
    }

    /// Inputs align with the last dimensions of the output, as in NumPy.
    pub(super) fn broadcast(&mut self) -> Result<()> {
        for i in 0..self.node.inputs.len() {
            if self.has(i) {
                self.broadcast_input(i, 0)?;
            }
        }
        // What all operands repeat is nobody's index but the result's.
        for dim in 0..self.output_rank() {
            self.output(dim);
        }
        Ok(())
    }

    /// Dimensions of input `i` align with those of the output, but for the last `apart` of both.
    pub(super) fn broadcast_input(&mut self, i: usize, apart: usize) -> Result<()> {
        let (rank, out) = (self.rank(i), self.output_rank());
        for dim in 0..rank - apart {
            let axis = self.input(i, dim)?;
            let to = self.output(out + dim - rank);
            if axis.len() != 1 || to.len() == 1 {
                self.same(axis, to);
            }
        }
        Ok(())
    }

    pub(super) fn binary(&mut self, function: Binary) -> Result<()> {
        self.broadcast()?;
        let role = match function {
            Binary::Add | Binary::Sub => Role::Shift,
            Binary::Mul | Binary::Div | Binary::PRelu => Role::Scale,
            _ => Role::Statistic,
        };
        for i in 0..2 {
            (0..self.rank(i)).for_each(|dim| self.role(i, dim, role));
        }
        Ok(())
    }

    /// Scales and zero points are single numbers, or one for each index of `axis`.
    pub(super) fn quantize(&mut self, axis: usize) -> Result<()> {
        self.all_but(&[])?;
        for i in 1..3 {
            if self.rank(i) != 1 {
                continue;
            }
            let per_index = self.input(i, 0)?;
            if axis < self.rank(0) && per_index.len() != 1 {
                let along = self.input(0, axis)?;
                self.same(per_index, along);
                self.role(i, 0, Role::Statistic);
            }
        }
        Ok(())
    }
}
