//! Reductions along dimensions.

use edgecut_graph::{DType, Node, Reduction};

use super::Compiler;
use crate::error::Result;
use crate::grad::{Join, Reduce};

impl Compiler<'_> {
    pub fn reduce(&mut self, node: &Node, kind: Reduction, axes: &[usize]) -> Result<()> {
        if self.graph.value(node.output()).dtype != DType::F32 {
            return self.detached(node);
        }
        let shape = self.shape(node.input(0)?);
        let x = self.input(node, 0)?;
        let mut kept = shape.clone();
        axes.iter().for_each(|&axis| kept[axis] = 1);
        // Which output each element belongs to, as if that were broadcast back.
        let owner = self.broadcast(&kept, &shape);
        let positions = self.positions(x.pixels, owner.len());
        let mut lists = vec![vec![]; kept.iter().product()];
        for (element, &output) in owner.iter().enumerate() {
            lists[output].push(positions[element]);
        }
        let join = match kind {
            Reduction::Mean => Join::Mean,
            Reduction::Sum => Join::Sum,
            Reduction::Prod => Join::Prod,
            Reduction::Max => Join::Max,
            Reduction::Min => Join::Min,
            Reduction::L1 => Join::Power(1.0),
            Reduction::L2 => Join::Power(2.0),
            Reduction::LogSum => Join::LogSum,
            Reduction::LogSumExp => Join::LogSumExp,
            Reduction::SumSquare => Join::SumSquare,
        };
        let input = owner.len();
        self.operator(node, Reduce::new(join, input, &lists), &[x], None);
        Ok(())
    }
}
