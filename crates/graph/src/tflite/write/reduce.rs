//! Operators that join or search along dimensions.

use super::file::type_code;
use super::flat::Table;
use super::nodes::unwritten;
use super::tasks::Integer;
use super::values::Writer;
use crate::tflite::schema::options;
use crate::{DType, Node, Reduction, Result, ValueId};

/// The order of a value after `axes` of one in `order` were dropped.
pub(super) fn without(order: &[usize], axes: &[usize]) -> Vec<usize> {
    let left = order.iter().filter(|d| !axes.contains(d));
    left.map(|&d| d - axes.iter().filter(|&&a| a < d).count()).collect()
}

impl Writer<'_> {
    pub(super) fn reduce(
        &mut self,
        index: usize,
        kind: Reduction,
        axes: &[usize],
        keep_dims: bool,
    ) -> Result<()> {
        let node = &self.graph.nodes[index];
        if axes.is_empty() {
            return self.reduce_nothing(node, kind);
        }
        let (op, integer) = match kind {
            Reduction::Mean => ("MEAN", Integer::Any),
            Reduction::Sum => ("SUM", Integer::Any),
            Reduction::Max => ("REDUCE_MAX", Integer::Input),
            Reduction::Min => ("REDUCE_MIN", Integer::Input),
            Reduction::Prod => ("REDUCE_PROD", Integer::Never),
            _ => return self.spelled_reduction(node, kind, axes, keep_dims),
        };
        let x = node.input(0)?;
        let task = self.task(index, &[x], integer, false)?;
        let order = self.order(x);
        let from = self.input(&task, x, &order)?;
        let result = if keep_dims { order.clone() } else { without(&order, axes) };
        let y = self.output(&task, &result);
        self.reducer(node, op, from, y, (&order, axes), keep_dims)?;
        self.complete(task, y, &result)
    }

    /// Over no dimension: each element by itself.
    fn reduce_nothing(&mut self, node: &Node, kind: Reduction) -> Result<()> {
        let x = node.input(0)?;
        let order = self.order(x);
        let y = match kind {
            Reduction::Mean
            | Reduction::Sum
            | Reduction::Max
            | Reduction::Min
            | Reduction::Prod => {
                return self.relabel(node.output(), x, &(0..order.len()).collect::<Vec<_>>());
            }
            Reduction::L1 | Reduction::L2 => {
                let from = self.plain(x, &order)?;
                self.step(node, "ABS", &[from])?
            }
            _ => return Err(unwritten(node)),
        };
        self.hold(node.output(), &order, y);
        Ok(())
    }

    fn reducer(
        &mut self,
        node: &Node,
        op: &'static str,
        x: usize,
        y: usize,
        (order, axes): (&[usize], &[usize]),
        keep_dims: bool,
    ) -> Result<()> {
        let place = |a: &usize| order.iter().position(|d| d == a).unwrap_or(0) as i32;
        let mut axes: Vec<i32> = axes.iter().map(place).collect();
        axes.sort_unstable();
        let axes = self.file.ints(&format!("{}.axes", node.name), &[axes.len()], &axes)?;
        let options = Some((options::REDUCER, Table::default().with(0, keep_dims)));
        self.emit(op, &[x, axes], y, options);
        Ok(())
    }

    fn spelled_reduction(
        &mut self,
        node: &Node,
        kind: Reduction,
        axes: &[usize],
        keep_dims: bool,
    ) -> Result<()> {
        let x = node.input(0)?;
        if self.graph.value(x).dtype != DType::F32 {
            return Err(unwritten(node));
        }
        let order = self.order(x);
        let mut from = self.plain(x, &order)?;
        from = match kind {
            Reduction::L1 => self.step(node, "ABS", &[from])?,
            Reduction::L2 | Reduction::SumSquare => self.step(node, "MUL", &[from, from])?,
            Reduction::LogSum => from,
            _ => return Err(unwritten(node)),
        };
        let result = if keep_dims { order.clone() } else { without(&order, axes) };
        let dims = super::values::ordered(&self.dims(node.output()), &result);
        let mut y = self.file.tensor(&self.name(node.output()), DType::F32, dims, None);
        self.reducer(node, "SUM", from, y, (&order, axes), keep_dims)?;
        y = match kind {
            Reduction::L2 => self.step(node, "SQRT", &[y])?,
            Reduction::LogSum => self.step(node, "LOG", &[y])?,
            _ => y,
        };
        self.hold(node.output(), &result, y);
        Ok(())
    }

    /// The file's operator drops the dimension; a RESHAPE keeps it.
    pub(super) fn arg_extreme(
        &mut self,
        node: &Node,
        largest: bool,
        axis: usize,
        keep_dims: bool,
    ) -> Result<()> {
        let x = node.input(0)?;
        let order = self.order(x);
        let from = self.moved(x, &order)?;
        let place = order.iter().position(|&d| d == axis).unwrap_or(0) as i32;
        let place = self.file.ints(&format!("{}.axis", node.name), &[1], &[place])?;
        let (op, member) = match largest {
            true => ("ARG_MAX", options::ARG_MAX),
            false => ("ARG_MIN", options::ARG_MIN),
        };
        let options = Some((member, Table::default().with(0, type_code(DType::I64))));
        let dims = self.file.tensors[from].dims.clone();
        let kept = order.iter().zip(dims).filter(|(d, _)| **d != axis).map(|(_, dim)| dim);
        let kept = kept.collect();
        let y = self.file.tensor(&self.name(node.output()), DType::I64, kept, None);
        self.emit(op, &[from, place], y, options);
        if !keep_dims {
            self.hold(node.output(), &without(&order, &[axis]), y);
            return Ok(());
        }
        let kept = self.plain_result(node, &order);
        self.reshape_into(node, y, kept)
    }

    /// Values and positions along the last dimension.
    pub(super) fn top_k(&mut self, node: &Node, axis: usize, k: usize) -> Result<()> {
        let x = node.input(0)?;
        let mut order = self.order(x);
        order.retain(|&d| d != axis);
        order.push(axis);
        let from = self.plain(x, &order)?;
        let count = self.file.ints(&format!("{}.k", node.name), &[], &[k as i32])?;
        let values = self.plain_result(node, &order);
        let dims = self.file.tensors[values].dims.clone();
        let name = format!("{}.positions", node.name);
        let small = self.file.tensor(&name, DType::I32, dims.clone(), None);
        self.file.call("TOPK_V2", &[Some(from), Some(count)], &[values, small], None, 1);
        let &[_, positions] = &node.outputs[..] else { return Ok(()) };
        let wide = self.file.tensor(&self.name(positions), DType::I64, dims, None);
        let types = Table::default().with(0, type_code(DType::I32)).with(1, type_code(DType::I64));
        self.emit("CAST", &[small], wide, Some((options::CAST, types)));
        self.hold(positions, &order, wide);
        Ok(())
    }

    pub(super) fn cum_sum(
        &mut self,
        node: &Node,
        axis: usize,
        exclusive: bool,
        reverse: bool,
    ) -> Result<()> {
        let x: ValueId = node.input(0)?;
        let order = self.order(x);
        let from = self.plain(x, &order)?;
        let place = order.iter().position(|&d| d == axis).unwrap_or(0) as i32;
        let place = self.file.ints(&format!("{}.axis", node.name), &[], &[place])?;
        let y = self.plain_result(node, &order);
        let options = Table::default().with(0, exclusive).with(1, reverse);
        self.emit("CUMSUM", &[from, place], y, Some((options::CUMSUM, options)));
        Ok(())
    }
}
