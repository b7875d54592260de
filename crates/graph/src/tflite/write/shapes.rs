//! Operators that keep the sequence of elements: other shapes of the same data.

use super::flat::Table;
use super::reduce::without;
use super::values::{Writer, target, usual};
use crate::tflite::schema::options;
use crate::{DType, DepthOrder, Dim, Node, Result, ValueId};

/// The dimensions with more than one element, in this order.
fn sequence(dims: &[Dim], order: &[usize]) -> Vec<usize> {
    order.iter().copied().filter(|&d| dims[d] != Dim::Fixed(1)).collect()
}

/// The order in which a value is best held whose elements come in its own order: the usual one
/// where that is the same sequence.
fn natural_order(dims: &[Dim]) -> Vec<usize> {
    let usual = usual(dims.len());
    if sequence(dims, &usual).is_sorted() { usual } else { (0..dims.len()).collect() }
}

impl Writer<'_> {
    /// RESHAPE of tensor `x` to the extents of tensor `y`.
    pub(super) fn reshape_into(&mut self, node: &Node, x: usize, y: usize) -> Result<()> {
        let shape = target(node, &self.file.tensors[y].dims)?;
        let shape = self.file.ints(&format!("{}.shape", node.name), &[shape.len()], &shape)?;
        self.emit("RESHAPE", &[x, shape], y, None);
        Ok(())
    }

    /// The tensor of `id` whose elements come in the value's own order.
    fn in_sequence(&mut self, id: ValueId) -> Result<usize> {
        let dims = self.dims(id);
        let order = self.order(id);
        match sequence(&dims, &order).is_sorted() {
            true => self.moved(id, &order),
            false => self.moved(id, &(0..dims.len()).collect::<Vec<_>>()),
        }
    }

    pub(super) fn reshape(&mut self, node: &Node) -> Result<()> {
        let x = self.in_sequence(node.input(0)?)?;
        let order = natural_order(&self.dims(node.output()));
        let y = self.move_to(node, x, &order);
        self.reshape_into(node, x, y)
    }

    pub(super) fn squeeze(&mut self, node: &Node, axes: &[usize]) -> Result<()> {
        let id = node.input(0)?;
        let order = self.order(id);
        if axes.is_empty() {
            // To the file that would mean all dimensions of extent 1.
            return self.relabel(node.output(), id, &(0..order.len()).collect::<Vec<_>>());
        }
        let x = self.moved(id, &order)?;
        let y = self.move_to(node, x, &without(&order, axes));
        let place = |a: &usize| order.iter().position(|d| d == a).unwrap_or(0) as i32;
        let mut places: Vec<i32> = axes.iter().map(place).collect();
        places.sort_unstable();
        let options = Table::default().with(0, &places[..]);
        self.emit("SQUEEZE", &[x], y, Some((options::SQUEEZE, options)));
        Ok(())
    }

    /// New dimensions have extent 1 and may lie anywhere: in the usual order where the others
    /// allow it.
    pub(super) fn unsqueeze(&mut self, node: &Node, axes: &[usize]) -> Result<()> {
        let (id, rank) = (node.input(0)?, self.rank(node.output()));
        let own = self.order(id);
        let kept: Vec<usize> = (0..rank).filter(|d| !axes.contains(d)).collect();
        let moved: Vec<usize> = own.iter().map(|&d| kept[d]).collect();
        let old = |order: &[usize]| -> Vec<usize> {
            order.iter().copied().filter(|d| !axes.contains(d)).collect()
        };
        let mut order = usual(rank);
        if old(&order) != moved {
            let mut rest = moved.iter();
            order = (0..rank)
                .map(|d| if axes.contains(&d) { d } else { *rest.next().unwrap_or(&d) })
                .collect();
        }
        let x = self.moved(id, &own)?;
        let y = self.move_to(node, x, &order);
        self.reshape_into(node, x, y)
    }

    /// RESHAPE to `split`, TRANSPOSE by `perm`, RESHAPE to the result: all on NHWC.
    fn shuffled(&mut self, node: &Node, split: Vec<Dim>, perm: &[i32]) -> Result<()> {
        let order = usual(4);
        let x = self.moved(node.input(0)?, &order)?;
        let (dtype, quant) = (self.file.tensors[x].dtype, self.file.tensors[x].quant.clone());
        let turned = perm.iter().map(|&p| split[p as usize].clone()).collect();
        let parts = self.file.tensor(&format!("{}.split", node.name), dtype, split, quant.clone());
        self.reshape_into(node, x, parts)?;
        let moved = self.file.tensor(&format!("{}.moved", node.name), dtype, turned, quant);
        let perm = self.file.ints(&format!("{}.perm", node.name), &[perm.len()], perm)?;
        self.emit("TRANSPOSE", &[parts, perm], moved, None);
        let y = self.move_to(node, x, &order);
        self.reshape_into(node, moved, y)
    }

    pub(super) fn channel_shuffle(&mut self, node: &Node, groups: usize) -> Result<()> {
        let dims = self.dims(node.input(0)?);
        let channels = self.graph.value(node.input(0)?).shape.extent(1, &node.name)?;
        let split = vec![
            dims[0].clone(),
            dims[2].clone(),
            dims[3].clone(),
            groups.into(),
            (channels / groups).into(),
        ];
        self.shuffled(node, split, &[0, 1, 2, 4, 3])
    }

    pub(super) fn depth_to_space(
        &mut self,
        node: &Node,
        block: usize,
        order: DepthOrder,
    ) -> Result<()> {
        if order == DepthOrder::Dcr {
            return self.blocks(node, "DEPTH_TO_SPACE", options::DEPTH_TO_SPACE, block);
        }
        let id = node.input(0)?;
        let extent = |i| self.graph.value(id).shape.extent(i, &node.name);
        let (channels, height, width) = (extent(1)?, extent(2)?, extent(3)?);
        let depth = channels / (block * block);
        let batch = self.dims(id)[0].clone();
        let sizes = [height, width, depth, block, block];
        let split = std::iter::once(batch).chain(sizes.map(Dim::Fixed)).collect();
        self.shuffled(node, split, &[0, 1, 4, 2, 5, 3])
    }

    pub(super) fn space_to_depth(&mut self, node: &Node, block: usize) -> Result<()> {
        self.blocks(node, "SPACE_TO_DEPTH", options::SPACE_TO_DEPTH, block)
    }

    fn blocks(&mut self, node: &Node, op: &'static str, member: u8, block: usize) -> Result<()> {
        let order = usual(4);
        let x = self.moved(node.input(0)?, &order)?;
        let y = self.move_to(node, x, &order);
        let options = Table::default().with(0, block as i32);
        self.emit(op, &[x], y, Some((member, options)));
        Ok(())
    }

    /// BROADCAST_TO of an input aligned to the result's dimensions.
    pub(super) fn expand(&mut self, node: &Node) -> Result<()> {
        let id = node.input(0)?;
        let rank = self.rank(node.output());
        let order = if self.rank(id) == rank { self.order(id) } else { (0..rank).collect() };
        let x = match self.rank(id) == rank {
            true => self.moved(id, &order)?,
            false => self.moved(id, &(0..self.rank(id)).collect::<Vec<_>>())?,
        };
        let y = self.move_to(node, x, &order);
        let dims = self.file.tensors[y].dims.clone();
        if self.file.tensors[x].dims == dims {
            return self.reshape_into(node, x, y);
        }
        if dims.iter().any(|d| d.fixed().is_none()) {
            return Err(node.error("TFLite cannot broadcast to an open batch: give it a size"));
        }
        if self.file.tensors[x].dtype == DType::Bool {
            return Err(node.error("TFLite cannot broadcast booleans"));
        }
        let shape = target(node, &dims)?;
        let shape = self.file.ints(&format!("{}.shape", node.name), &[rank], &shape)?;
        self.emit("BROADCAST_TO", &[x, shape], y, None);
        Ok(())
    }
}
