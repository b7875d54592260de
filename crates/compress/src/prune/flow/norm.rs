//! Normalisations and reductions.

use edgecut_graph::Result;

use super::{Axis, Role, Tracer};

/// Roles of the parameters of a normalisation, inputs 1 to 4.
const PARAMETERS: [Role; 4] = [Role::Scale, Role::Shift, Role::Statistic, Role::Statistic];

impl Tracer<'_> {
    pub(super) fn batch_norm(&mut self) -> Result<()> {
        self.all_but(&[])?;
        self.parameters(1)
    }

    pub(super) fn instance_norm(&mut self) -> Result<()> {
        self.otherwise("normalises over it");
        self.same_dims(0, 0..2)?;
        self.parameters(1)
    }

    pub(super) fn group_norm(&mut self, groups: usize) -> Result<Option<Axis>> {
        self.otherwise("normalises over it");
        self.same_dims(0, 0..2)?;
        self.parameters(1)?;
        let y = self.output(1);
        let (group, inside) = (self.inner(groups), self.inner(y.len() / groups));
        self.grid(&[group, inside], y);
        self.mean_over(inside);
        Ok(Some(group))
    }

    /// Dimensions from `axis` on are normalised over: fewer indices are another mean, of which the
    /// scale makes up most.
    pub(super) fn layer_norm(&mut self, axis: usize) -> Result<()> {
        self.all_but(&[])?;
        for dim in axis..self.rank(0) {
            let y = self.output(dim);
            self.mean_over(y);
            for i in 1..3 {
                if self.has(i) {
                    let own = self.input(i, dim - axis)?;
                    self.same(own, y);
                    self.role(i, dim - axis, PARAMETERS[i - 1]);
                }
            }
        }
        Ok(())
    }

    /// One number for each index of dimension `dim` of the output.
    fn parameters(&mut self, dim: usize) -> Result<()> {
        let y = self.output(dim);
        for i in 1..self.node.inputs.len() {
            self.per_channel(i, y, PARAMETERS[(i - 1).min(3)])?;
        }
        Ok(())
    }

    /// Dimensions `axes` become one element each; `zeros_vanish` where zeros among them do not
    /// count.
    pub(super) fn reduce(
        &mut self,
        axes: &[usize],
        keep_dims: bool,
        zeros_vanish: bool,
    ) -> Result<()> {
        self.otherwise("reduces it to one");
        let mut to = 0;
        for dim in 0..self.rank(0) {
            let reduced = axes.contains(&dim);
            if !reduced {
                let (x, y) = (self.input(0, dim)?, self.output(to));
                self.same(x, y);
            } else if zeros_vanish {
                self.input(0, dim)?;
            }
            to += usize::from(keep_dims || !reduced);
        }
        Ok(())
    }

    /// The largest along `axis`, and where they were.
    pub(super) fn top_k(&mut self, axis: usize) -> Result<()> {
        self.all_but(&[axis])?;
        for dim in (0..self.rank(0)).filter(|&dim| dim != axis) {
            let (x, places) = (self.input(0, dim)?, self.output_of(1, dim));
            self.same(x, places);
        }
        Ok(())
    }
}
