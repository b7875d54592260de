//! Convolutions and matrix products: weights make channels and read them.

use edgecut_graph::{Gemm, Op, Result};

use super::{Axis, Role, Tracer};

impl Tracer<'_> {
    /// Weight `[m, c / groups, ...]`: row `i` makes channel `i`. In groups, the columns stand for
    /// the same place of each group.
    pub(super) fn conv(&mut self, groups: usize) -> Result<Option<Axis>> {
        self.otherwise("slides a window over it");
        self.same_dims(0, [0])?;
        let (x, y) = (self.input(0, 1)?, self.output(1));
        let (rows, columns) = (self.input(1, 0)?, self.input(1, 1)?);
        self.same(rows, y);
        self.role(1, 0, Role::Makes);
        self.role(1, 1, Role::Reads);
        match self.node.op {
            Op::ConvInteger(_) => self.per_channel(3, y, Role::Statistic)?,
            _ => self.per_channel(2, y, Role::Shift)?,
        }
        if groups == 1 {
            self.same(columns, x);
            return Ok(None);
        }
        let (group, made) = (self.inner(groups), self.inner(y.len() / groups));
        self.grid(&[group, columns], x);
        self.grid(&[group, made], y);
        Ok(Some(group))
    }

    /// Weight `[c, m / groups, ...]`: column `i` makes channel `i` of each group.
    pub(super) fn conv_transpose(&mut self, groups: usize) -> Result<Option<Axis>> {
        self.otherwise("slides a window over it");
        self.same_dims(0, [0])?;
        let (x, y) = (self.input(0, 1)?, self.output(1));
        let (rows, columns) = (self.input(1, 0)?, self.input(1, 1)?);
        self.same(rows, x);
        self.role(1, 0, Role::Reads);
        self.role(1, 1, Role::Makes);
        self.per_channel(2, y, Role::Shift)?;
        if groups == 1 {
            self.same(columns, y);
            return Ok(None);
        }
        let (group, read) = (self.inner(groups), self.inner(x.len() / groups));
        self.grid(&[group, read], x);
        self.grid(&[group, columns], y);
        Ok(Some(group))
    }

    /// Input `i`, where it is present, holds a number for each index of `axis`, or one for all.
    pub(super) fn per_channel(&mut self, i: usize, axis: Axis, role: Role) -> Result<()> {
        if self.rank(i) == 1 {
            let own = self.input(i, 0)?;
            if own.len() != 1 || axis.len() == 1 {
                self.same(own, axis);
                self.role(i, 0, role);
            }
        }
        Ok(())
    }

    pub(super) fn gemm(&mut self, gemm: &Gemm) -> Result<()> {
        let (a, b) = (usize::from(gemm.trans_a), usize::from(gemm.trans_b));
        self.matrices((a, 1 - a), (b, 1 - b))?;
        if self.has(2) {
            self.broadcast_input(2, 0)?;
            (0..self.rank(2)).for_each(|dim| self.role(2, dim, Role::Shift));
        }
        Ok(())
    }

    /// The last two dimensions multiply, those before broadcast. The zero points of integers are
    /// one for all, or one for each row of the first matrix and each column of the second.
    pub(super) fn mat_mul(&mut self) -> Result<()> {
        self.broadcast_input(0, 2)?;
        self.broadcast_input(1, 2)?;
        let (a, b, y) = (self.rank(0), self.rank(1), self.output_rank());
        self.matrices((a - 2, a - 1), (b - 2, b - 1))?;
        if matches!(self.node.op, Op::MatMulInteger) {
            let (rows, columns) = (self.output(y - 2), self.output(y - 1));
            self.per_channel(2, rows, Role::Statistic)?;
            self.per_channel(3, columns, Role::Statistic)?;
        }
        Ok(())
    }

    /// Products of the matrices in dimensions (rows, columns) of both inputs.
    fn matrices(&mut self, a: (usize, usize), b: (usize, usize)) -> Result<()> {
        let y = self.output_rank();
        let (rows, columns) = (self.output(y - 2), self.output(y - 1));
        let (m, k) = (self.input(0, a.0)?, self.input(0, a.1)?);
        let (l, n) = (self.input(1, b.0)?, self.input(1, b.1)?);
        self.same(m, rows);
        self.same(k, l);
        self.same(n, columns);
        for (i, makes, reads) in [(0, a.0, a.1), (1, b.1, b.0)] {
            self.role(i, makes, Role::Makes);
            self.role(i, reads, Role::Reads);
        }
        Ok(())
    }
}
