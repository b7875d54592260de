//! Operators that copy elements to other places.

use edgecut_graph::{Cut, Data, Op, PadMode, Result, Tensor, interpret};

use super::{Axis, Tracer};

impl Tracer<'_> {
    pub(super) fn transpose(&mut self, perm: &[usize]) -> Result<()> {
        for (to, &from) in perm.iter().enumerate() {
            let (x, y) = (self.input(0, from)?, self.output(to));
            self.same(x, y);
        }
        Ok(())
    }

    pub(super) fn concat(&mut self, axis: usize) -> Result<()> {
        let y = self.output(axis);
        let mut first = 0;
        for i in 0..self.node.inputs.len() {
            let dims: Vec<usize> = (0..self.rank(i)).filter(|&dim| dim != axis).collect();
            self.same_dims(i, dims)?;
            let x = self.input(i, axis)?;
            let before = std::iter::repeat_n(None, first);
            self.moved(x, y, before.chain((0..x.len()).map(Some)));
            first += x.len();
        }
        Ok(())
    }

    pub(super) fn slice(&mut self, cuts: &[Cut]) -> Result<()> {
        let cut_axes: Vec<usize> = cuts.iter().map(|cut| cut.axis).collect();
        self.all_but(&cut_axes)?;
        for cut in cuts {
            let (x, y) = (self.input(0, cut.axis)?, self.output(cut.axis));
            self.moved(x, y, (0..cut.len).map(|j| Some(cut.start + j * cut.step)));
        }
        Ok(())
    }

    /// What a constant adds has no source. The other modes copy what lies beside an edge, which
    /// changes where the edge does.
    pub(super) fn pad(&mut self, before: &[usize], after: &[usize], mode: PadMode) -> Result<()> {
        self.otherwise("repeats what lies at its edges");
        for dim in 0..self.rank(0) {
            if before[dim] + after[dim] == 0 {
                self.same_dims(0, [dim])?;
            } else if matches!(mode, PadMode::Constant(_)) {
                let (x, y) = (self.input(0, dim)?, self.output(dim));
                let edge = std::iter::repeat_n(None, before[dim]);
                self.moved(x, y, edge.chain((0..x.len()).map(Some)));
            }
        }
        Ok(())
    }

    pub(super) fn tile(&mut self) -> Result<()> {
        for dim in 0..self.rank(0) {
            let (x, y) = (self.input(0, dim)?, self.output(dim));
            self.moved(x, y, (0..y.len()).map(|j| Some(j % x.len())));
        }
        Ok(())
    }

    /// Channels are a grid of groups, which is read column by column.
    pub(super) fn channel_shuffle(&mut self, groups: usize) -> Result<Option<Axis>> {
        self.same_dims(0, [0, 2, 3])?;
        let (x, y) = (self.input(0, 1)?, self.output(1));
        let (group, inside) = (self.inner(groups), self.inner(x.len() / groups));
        self.grid(&[group, inside], x);
        self.grid(&[inside, group], y);
        Ok(Some(group))
    }

    /// Operators that move blocks of pixels into channels or back. The reference interpreter
    /// moves the numbers of the channels, so that their order is defined once.
    pub(super) fn blocks_of_pixels(&mut self) -> Result<()> {
        self.otherwise("moves blocks of it into channels or back");
        self.same_dims(0, [0])?;
        let (x, y) = (self.input(0, 1)?, self.output(1));
        let side = if let Op::SpaceToDepth { block } = self.node.op { block } else { 1 };
        let numbers: Vec<i64> =
            (0..x.len() as i64).flat_map(|c| std::iter::repeat_n(c, side * side)).collect();
        let numbers = Tensor::new([1, x.len(), side, side], numbers)?;
        let moved = interpret::run_node(self.graph, self.node, &[Some(&numbers)])?;
        let Data::I64(from) = moved[0].data() else {
            return Err(self.node.error("does not move integers"));
        };
        let pixels = from.len() / y.len().max(1);
        for (at, &c) in from.iter().enumerate() {
            self.space.join(x.at(c as usize), y.at(at / pixels));
        }
        Ok(())
    }
}
