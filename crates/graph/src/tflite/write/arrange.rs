//! Operators that pick, join and repeat elements.

use super::file::type_code;
use super::flat::Table;
use super::tasks::Integer;
use super::values::{Writer, target};
use crate::tflite::schema::options;
use crate::tflite::tensors::integers;
use crate::{Cut, DType, Node, PadMode, Result, Tensor};

impl Writer<'_> {
    /// Codes of equal parameters are joined as they are; others are quantised to those of the
    /// result first, as one tensor has one scale.
    pub(super) fn concat(&mut self, index: usize, axis: usize) -> Result<()> {
        let node = &self.graph.nodes[index];
        let ids: Vec<_> = node.inputs.iter().flatten().copied().collect();
        let order = self.order(ids[0]);
        let place = order.iter().position(|&d| d == axis).unwrap_or(0) as i32;
        let options = Some((options::CONCATENATION, Table::default().with(0, place)));
        let first = self.quant(ids[0]).cloned();
        let equal = |w: &Self, id| match (w.quant(id), &first) {
            (Some(a), Some(b)) => a.scales == b.scales && a.zeros == b.zeros,
            _ => false,
        };
        if ids.iter().all(|&id| equal(self, id)) {
            let tensors = ids.iter().map(|&id| self.codes_of(id, &order));
            let tensors = tensors.collect::<Result<Vec<usize>>>()?;
            let y = self.move_to(node, tensors[0], &order);
            self.emit("CONCATENATION", &tensors, y, options);
            return Ok(());
        }
        let task = self.task(index, &ids, Integer::Any, false)?;
        let mut tensors = vec![];
        for id in ids {
            let x = self.input(&task, id, &order)?;
            tensors.push(self.like_own(&task, x)?);
        }
        let y = self.output(&task, &order);
        self.emit("CONCATENATION", &tensors, y, options);
        self.complete(task, y, &order)
    }

    pub(super) fn slice(&mut self, node: &Node, cuts: &[Cut]) -> Result<()> {
        let id = node.input(0)?;
        let order = self.order(id);
        let x = self.moved(id, &order)?;
        let y = self.move_to(node, x, &order);
        let of = |d: &usize| cuts.iter().find(|cut| cut.axis == *d);
        let starts: Vec<i32> = order.iter().map(|d| of(d).map_or(0, |c| c.start as i32)).collect();
        let rank = order.len();
        let begin = self.file.ints(&format!("{}.begin", node.name), &[rank], &starts)?;
        if cuts.iter().all(|cut| cut.step == 1) {
            let size = target(node, &self.file.tensors[y].dims)?;
            let size = self.file.ints(&format!("{}.size", node.name), &[rank], &size)?;
            self.emit("SLICE", &[x, begin, size], y, None);
            return Ok(());
        }
        let end =
            |d: &usize| of(d).map_or(0, |c| (c.start + (c.len.max(1) - 1) * c.step + 1) as i32);
        let ends: Vec<i32> = order.iter().map(end).collect();
        let steps: Vec<i32> = order.iter().map(|d| of(d).map_or(1, |c| c.step as i32)).collect();
        // Dimensions that are not cut have no end.
        let mask = order.iter().enumerate().filter(|(_, d)| of(d).is_none());
        let mask = mask.fold(0, |mask, (i, _)| mask | 1 << i);
        if cuts.iter().any(|cut| cut.len == 0) {
            return Err(node.error("keeps no element, which TFLite cannot write"));
        }
        let end = self.file.ints(&format!("{}.end", node.name), &[rank], &ends)?;
        let step = self.file.ints(&format!("{}.step", node.name), &[rank], &steps)?;
        let options = Table::default().with(0, 0).with(1, mask);
        let options = Some((options::STRIDED_SLICE, options));
        self.emit("STRIDED_SLICE", &[x, begin, end, step], y, options);
        Ok(())
    }

    pub(super) fn pad(
        &mut self,
        node: &Node,
        before: &[usize],
        after: &[usize],
        mode: PadMode,
    ) -> Result<()> {
        let id = node.input(0)?;
        let order = self.order(id);
        let codes = self.quant(id).is_some_and(|quant| match mode {
            // Another fill may not be one of the integers.
            PadMode::Constant(fill) => {
                fill == 0.0 || quant.scales[0] * (fill / quant.scales[0]).round() == fill
            }
            _ => true,
        });
        let x = if codes { self.codes_of(id, &order)? } else { self.plain(id, &order)? };
        let y = self.move_to(node, x, &order);
        let sides: Vec<[usize; 2]> = order.iter().map(|&d| [before[d], after[d]]).collect();
        match mode {
            PadMode::Constant(fill) => self.pad_with(node, x, y, &sides, fill),
            PadMode::Reflect => {
                let flat: Vec<i32> = sides.iter().flatten().map(|&n| n as i32).collect();
                let name = format!("{}.pads", node.name);
                let pads = self.file.ints(&name, &[sides.len(), 2], &flat)?;
                let options = Some((options::MIRROR_PAD, Table::default().with(0, 0u8)));
                self.emit("MIRROR_PAD", &[x, pads], y, options);
                Ok(())
            }
            PadMode::Edge | PadMode::Wrap => {
                Err(node.error("TFLite pads with a number or by reflection only"))
            }
        }
    }

    pub(super) fn tile(&mut self, node: &Node, repeats: &[usize]) -> Result<()> {
        let id = node.input(0)?;
        let order = self.order(id);
        let x = self.moved(id, &order)?;
        let y = self.move_to(node, x, &order);
        let counts: Vec<i32> = order.iter().map(|&d| repeats[d] as i32).collect();
        let counts = self.file.ints(&format!("{}.repeats", node.name), &[counts.len()], &counts)?;
        self.emit("TILE", &[x, counts], y, None);
        Ok(())
    }

    /// The tensor of positions that count dimensions of these extents. TensorFlow Lite does not
    /// count from the end: what may do so goes through FLOOR_MOD, which leaves others alone.
    fn positions(&mut self, node: &Node, input: usize, extents: &[usize]) -> Result<usize> {
        let id = node.input(input)?;
        let x = self.plain(id, &(0..self.rank(id)).collect::<Vec<_>>())?;
        let stored = self.graph.constant(id).map(Tensor::to_i64).transpose()?;
        if stored.is_some_and(|stored| stored.iter().all(|&p| p >= 0)) {
            return Ok(x);
        }
        let (dtype, dims) = (self.file.tensors[x].dtype, self.file.tensors[x].dims.clone());
        let extents: Vec<i64> = extents.iter().map(|&n| n as i64).collect();
        let shape = if extents.len() == 1 { vec![] } else { vec![extents.len()] };
        let extents = integers(dtype, shape, &extents)?;
        let extents = self.file.constant(&format!("{}.extents", node.name), &extents, None);
        let y = self.file.tensor(&format!("{}.positions", node.name), dtype, dims, None);
        self.emit("FLOOR_MOD", &[x, extents], y, None);
        Ok(y)
    }

    pub(super) fn gather(&mut self, node: &Node, axis: usize) -> Result<()> {
        let id = node.input(0)?;
        let natural = |rank: usize| (0..rank).collect::<Vec<usize>>();
        let extent = self.graph.value(id).shape.extent(axis, &node.name)?;
        let x = self.moved(id, &natural(self.rank(id)))?;
        let positions = self.positions(node, 1, &[extent])?;
        let y = self.move_to(node, x, &natural(self.rank(node.output())));
        let options = Table::default().with(0, axis as i32);
        self.emit("GATHER", &[x, positions], y, Some((options::GATHER, options)));
        Ok(())
    }

    /// Extents of the dimensions that tuples of positions at input 1 refer to.
    fn tuple_extents(&self, node: &Node) -> Result<Vec<usize>> {
        let (data, positions) = (node.input(0)?, node.input(1)?);
        let shape = &self.graph.value(positions).shape;
        let depth = shape.extent(shape.rank() - 1, &node.name)?;
        (0..depth).map(|d| self.graph.value(data).shape.extent(d, &node.name)).collect()
    }

    pub(super) fn gather_nd(&mut self, node: &Node) -> Result<()> {
        let natural = |rank: usize| (0..rank).collect::<Vec<usize>>();
        let id = node.input(0)?;
        let x = self.plain(id, &natural(self.rank(id)))?;
        let positions = self.positions(node, 1, &self.tuple_extents(node)?)?;
        let y = self.move_to(node, x, &natural(self.rank(node.output())));
        self.emit("GATHER_ND", &[x, positions], y, None);
        Ok(())
    }

    /// The updates over zeros, added to the input. Others than sums of updates have no operator.
    pub(super) fn scatter_nd(&mut self, node: &Node) -> Result<()> {
        let natural = |rank: usize| (0..rank).collect::<Vec<usize>>();
        let (data, updates) = (node.input(0)?, node.input(2)?);
        let order = natural(self.rank(data));
        let positions = self.positions(node, 1, &self.tuple_extents(node)?)?;
        let positions = self.as_int32(node, positions);
        let updates = self.plain(updates, &natural(self.rank(updates)))?;
        let shape = target(node, &self.dims(data))?;
        if shape.contains(&-1) {
            return Err(node.error("TFLite scatters into fixed extents only"));
        }
        let shape = self.file.ints(&format!("{}.shape", node.name), &[shape.len()], &shape)?;
        let zeros = self.graph.constant(data).is_some_and(|t| t.to_f32().iter().all(|&v| v == 0.0));
        let y = self.plain_result(node, &order);
        if zeros {
            self.emit("SCATTER_ND", &[positions, updates, shape], y, None);
            return Ok(());
        }
        let (dtype, dims) = (self.file.tensors[y].dtype, self.file.tensors[y].dims.clone());
        let sums = self.file.tensor(&format!("{}.sums", node.name), dtype, dims, None);
        self.emit("SCATTER_ND", &[positions, updates, shape], sums, None);
        let data = self.plain(data, &order)?;
        self.emit("ADD", &[data, sums], y, Some((options::ADD, Table::default())));
        Ok(())
    }

    fn as_int32(&mut self, node: &Node, x: usize) -> usize {
        let from = &self.file.tensors[x];
        if from.dtype == DType::I32 {
            return x;
        }
        let dims = from.dims.clone();
        let types = Table::default().with(0, type_code(from.dtype)).with(1, type_code(DType::I32));
        let y = self.file.tensor(&format!("{}.int32", node.name), DType::I32, dims, None);
        self.emit("CAST", &[x], y, Some((options::CAST, types)));
        y
    }

    pub(super) fn one_hot(&mut self, node: &Node, axis: usize, depth: usize) -> Result<()> {
        let (positions, values) = (node.input(0)?, node.input(1)?);
        let natural = |rank: usize| (0..rank).collect::<Vec<usize>>();
        let rank = self.rank(positions);
        let Some(values) = self.constant(values)? else {
            return Err(node.error("its two values must be constants for TFLite"));
        };
        let x = self.plain(positions, &natural(rank))?;
        let depth = self.file.ints(&format!("{}.depth", node.name), &[], &[depth as i32])?;
        let pick = |i: usize| -> Result<Tensor> {
            let cut = Cut { axis: 0, start: i, len: 1, step: 1 };
            crate::tflite::tensors::cut(&values, cut)?.reshaped(vec![])
        };
        let (off, on) = (pick(0)?, pick(1)?);
        let on = self.file.constant(&format!("{}.on", node.name), &on, None);
        let off = self.file.constant(&format!("{}.off", node.name), &off, None);
        let y = self.plain_result(node, &natural(rank + 1));
        let options = Table::default().with(0, axis as i32);
        self.emit("ONE_HOT", &[x, depth, on, off], y, Some((options::ONE_HOT, options)));
        Ok(())
    }
}
