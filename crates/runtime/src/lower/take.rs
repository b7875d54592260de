//! Operators that pick elements by position: padding, nearest resampling, gathering, tiling,
//! channel shuffles, and the moves between depth and space.

use edgecut_graph::interpret::nearest;
use edgecut_graph::{Coordinates, DType, DepthOrder, Node, PadMode, Resize, ResizeMode};

use super::channels::Shuffled;
use super::order::{Found, order, strides};
use super::state::View;
use super::{Effects, Lowering, count};
use crate::plan::{Constant, Slot};
use crate::step::{Move, NOWHERE, Step, Take};
use crate::{Result, layout};

/// Positions that the tables of one step may hold together: 32 MiB, or 64 MiB as runs of one element.
/// What needs more, such as padding a vector to a billion elements, runs through the interpreter.
const MAX_POSITIONS: usize = 1 << 22;

/// The position in the input for each position of the output along one dimension.
type Table = Vec<usize>;

impl Lowering<'_> {
    /// A result whose element at (i, j, ...) is the input's at (tables\[0\]\[i\], ...), and `fill`
    /// where a table says [`NOWHERE`]. A dimension without a table keeps its positions.
    fn take_by(
        &mut self,
        node: &Node,
        kind: &'static str,
        tables: Vec<Option<Table>>,
        fill: f32,
    ) -> Result<bool> {
        let (from, to) = (self.shape(node.input(0)?), self.shape(node.output()));
        let nowhere = tables.iter().flatten().flatten().any(|&at| at == NOWHERE);
        let input = node.input(0)?.index();
        let view = self.view(node.input(0)?)?;
        let code = view.as_ref().and_then(|v| v.table.iter().position(|&t| t == fill));
        let as_floats = nowhere && view.is_some() && code.is_none();
        let codes = self.held[input].codes;
        if as_floats {
            // No code stands for the fill.
            self.stored(node.input(0)?)?;
            (self.held[input].view, self.held[input].codes) = (None, None);
        }
        let value = |dtype| match code {
            Some(code) => Constant::U8([code as u8].into_iter().collect()),
            None => Constant::number(dtype, fill),
        };
        self.rearrange(node, false, |lowering, x, dtype, steps| {
            let offsets = layout::order(to.len()).into_iter().map(|a| {
                let place = |at: usize| if at == NOWHERE { NOWHERE } else { at * steps[a] };
                match &tables[a] {
                    Some(table) => table.iter().map(|&at| place(at)).collect(),
                    None => (0..from[a]).map(place).collect(),
                }
            });
            let y = lowering.buffer(dtype, count(&to));
            let take = Take::new(x, y, dtype, offsets.collect(), value(dtype));
            lowering.emit(node, Step::Take(Box::new(take)), Effects::new(kind, &[x], &[y]));
            Ok(y)
        })?;
        if as_floats {
            (self.held[input].view, self.held[input].codes) = (view, codes);
        }
        Ok(true)
    }

    /// Whether one number for each position along each dimension of input and output is affordable.
    pub(super) fn may_tabulate(&self, node: &Node) -> Result<bool> {
        let extents = [self.shape(node.input(0)?), self.shape(node.output())].concat();
        Ok(extents.iter().fold(0usize, |sum, &d| sum.saturating_add(d)) <= MAX_POSITIONS)
    }

    /// Padding of every mode; over 8-bit data where some code stands for a constant fill.
    pub(super) fn pad(&mut self, node: &Node, before: &[usize], mode: PadMode) -> Result<bool> {
        if !self.may_tabulate(node)? {
            return Ok(false);
        }
        let (from, to) = (self.shape(node.input(0)?), self.shape(node.output()));
        let table = |a: usize| {
            let position = |i: usize| padded(i as isize - before[a] as isize, from[a], mode);
            (from[a] != to[a]).then(|| (0..to[a]).map(position).collect())
        };
        let fill = if let PadMode::Constant(value) = mode { value } else { 0.0 };
        self.take_by(node, "pad", (0..to.len()).map(table).collect(), fill)
    }

    /// Nearest resampling of any dimensions.
    pub(super) fn nearest(&mut self, node: &Node, resize: &Resize) -> Result<bool> {
        let ResizeMode::Nearest(rule) = resize.mode else { return Ok(false) };
        if resize.coordinates == Coordinates::CropAndResize || !self.may_tabulate(node)? {
            return Ok(false);
        }
        let from = self.shape(node.input(0)?);
        let mut tables = vec![None; from.len()];
        for axis in &resize.axes {
            tables[axis.axis] = Some(nearest(axis, from[axis.axis], resize.coordinates, rule));
        }
        self.take_by(node, "resize", tables, 0.0)
    }

    /// The whole input, repeated along each dimension.
    pub(super) fn tile(&mut self, node: &Node, repeats: &[usize]) -> Result<bool> {
        if !self.may_tabulate(node)? {
            return Ok(false);
        }
        let from = self.shape(node.input(0)?);
        let tables = from.iter().zip(repeats).map(|(&len, &repeats)| {
            (repeats != 1).then(|| (0..len * repeats).map(|i| i % len).collect())
        });
        self.take_by(node, "tile", tables.collect(), 0.0)
    }

    /// Channel `g * (c / groups) + i` moves to `i * groups + g`.
    pub(super) fn channel_shuffle(&mut self, node: &Node, groups: usize) -> Result<bool> {
        if !self.is_row_major_only(node.input(0)?) {
            return self.shuffle_pixels(node, groups);
        }
        if !self.may_tabulate(node)? {
            return Ok(false);
        }
        let members = self.shape(node.output())[1] / groups;
        let table = (0..members * groups).map(|j| j % groups * members + j / groups).collect();
        self.take_by(node, "shuffle", vec![None, Some(table), None, None], 0.0)
    }

    /// A shuffle of channels that are neighbours in memory.
    fn shuffle_pixels(&mut self, node: &Node, groups: usize) -> Result<bool> {
        if self.shuffle_of_channels(node, groups)? {
            return Ok(true);
        }
        let shape = self.shape(node.output());
        self.rearrange(node, false, |lowering, slot, dtype, _| {
            Ok(lowering.shuffled(&node.name, Shuffled { slot, groups }, dtype, &shape))
        })
    }

    /// Slices at constant positions: one position, whose dimension goes, or a list of them.
    pub(super) fn gather_constant(&mut self, node: &Node, axis: usize) -> Result<bool> {
        if !self.may_tabulate(node)? {
            return Ok(false);
        }
        let Some(indices) = self.constant(node.input(1)?)? else { return Ok(false) };
        let extent = self.shape(node.input(0)?)[axis];
        let positions: Option<Table> = indices
            .to_i64()?
            .into_iter()
            .map(|i| {
                let i = if i < 0 { i + extent as i64 } else { i };
                usize::try_from(i).ok().filter(|&i| i < extent)
            })
            .collect();
        // The interpreter has the error for a position outside.
        let Some(positions) = positions else { return Ok(false) };
        match (indices.rank(), &positions[..]) {
            (0, &[position]) => self.gather(node, |steps| {
                let mut steps = steps.to_vec();
                let start = position * steps.remove(axis);
                (start, steps)
            }),
            (1, _) => {
                let mut tables = vec![None; self.shape(node.output()).len()];
                tables[axis] = Some(positions);
                self.take_by(node, "gather", tables, 0.0)
            }
            _ => Ok(false),
        }
    }

    /// `[n, c, h, w]` to `[n, c/b^2, h*b, w*b]`.
    pub(super) fn depth_to_space(&mut self, node: &Node, b: usize, by: DepthOrder) -> Result<bool> {
        let [n, c, h, w] = [0, 1, 2, 3].map(|i| self.shape(node.output())[i]);
        // Steps in depth of a row, a column and a channel of the result.
        let [row, column, channel] = match by {
            DepthOrder::Dcr => [b * c, c, 1],
            DepthOrder::Crd => [b, 1, b * b],
        };
        self.between_depth_and_space(node, |[sn, sc, sh, sw]| {
            let dims = [n, h / b, b, w / b, b, c];
            (dims, [sn, sh, row * sc, sw, column * sc, channel * sc])
        })
    }

    /// `[n, c, h, w]` to `[n, c*b^2, h/b, w/b]`.
    pub(super) fn space_to_depth(&mut self, node: &Node, b: usize) -> Result<bool> {
        let [n, c, h, w] = [0, 1, 2, 3].map(|i| self.shape(node.output())[i]);
        self.between_depth_and_space(node, |[sn, sc, sh, sw]| {
            ([n, h, w, b, b, c / (b * b)], [sn, b * sh, b * sw, sh, sw, sc])
        })
    }

    /// A channels-last result over six dimensions, each with a stride in the input; `of` gives both
    /// from the input's strides.
    fn between_depth_and_space(
        &mut self,
        node: &Node,
        of: impl Fn([usize; 4]) -> ([usize; 6], [usize; 6]),
    ) -> Result<bool> {
        self.rearrange(node, false, |lowering, x, dtype, steps| {
            let (dims, steps) = of([0, 1, 2, 3].map(|i| steps[i]));
            let y = lowering.buffer(dtype, dims.iter().product());
            let step = Step::Move(Move::gather(x, y, dtype, 0, &dims, &steps));
            lowering.emit(node, step, Effects::new("move", &[x], &[y]));
            Ok(y)
        })
    }

    /// A result whose element steps through the input by strides (for each logical dimension of the
    /// result) from a start; `of` gives both from the input's strides.
    pub(super) fn gather(
        &mut self,
        node: &Node,
        of: impl Fn(&[usize]) -> (usize, Vec<usize>),
    ) -> Result<bool> {
        let shape = self.shape(node.output());
        let row_major = self.prefers_row_major(node.output());
        let order = order(shape.len(), row_major);
        let dims: Vec<usize> = order.iter().map(|&a| shape[a]).collect();
        let len = count(&shape);
        self.rearrange(node, row_major, |lowering, x, dtype, steps| {
            let (start, steps) = of(steps);
            let steps: Vec<usize> = order.iter().map(|&a| steps[a]).collect();
            if start == 0
                && lowering.out.buffers[x.index()].bytes == len * dtype.bytes()
                && is_dense(&dims, &steps)
            {
                return Ok(x);
            }
            let y = lowering.buffer(dtype, len);
            let step = Step::Move(Move::gather(x, y, dtype, start, &dims, &steps));
            lowering.emit(node, step, Effects::new("move", &[x], &[y]));
            Ok(y)
        })
    }

    /// Applies a move of elements to what holds the node's input: the bytes of a view, or the
    /// elements themselves. `apply` gets the buffer, its type and its strides; what it returns holds
    /// the result, in row-major order where `row_major` is set.
    pub(super) fn rearrange(
        &mut self,
        node: &Node,
        row_major: bool,
        apply: impl Fn(&mut Self, Slot, DType, &[usize]) -> Result<Slot>,
    ) -> Result<bool> {
        let (x, y) = (node.input(0)?, node.output());
        let shape = self.shape(x);
        let view = self.view(x)?;
        if let Some(view) = view.filter(|_| !row_major || layout::is_row_major(&self.shape(y))) {
            let slot = apply(self, view.slot, DType::U8, &layout::strides(&shape))?;
            self.held[y.index()].view = Some(View { slot, ..view });
            return Ok(true);
        }
        let found = self.found(x)?;
        let slot = apply(self, found.slot, self.dtype(x), &strides(&shape, found.row_major))?;
        self.hold(y, Found { slot, row_major });
        Ok(true)
    }
}

/// The input position at a distance from its first one, for a dimension of `size` elements.
fn padded(distance: isize, size: usize, mode: PadMode) -> usize {
    let last = size as isize - 1;
    let at = match mode {
        _ if (0..=last).contains(&distance) => distance,
        PadMode::Constant(_) => return NOWHERE,
        PadMode::Edge => distance.clamp(0, last),
        PadMode::Wrap => distance.rem_euclid(size as isize),
        PadMode::Reflect if last == 0 => 0,
        PadMode::Reflect => {
            let phase = distance.rem_euclid(2 * last);
            phase.min(2 * last - phase)
        }
    };
    at as usize
}

/// Whether `strides` are those of a dense tensor of extents `dims`.
fn is_dense(dims: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    dims.iter().zip(strides).rev().all(|(&dim, &stride)| {
        let fits = dim == 1 || stride == expected;
        expected *= dim;
        fits
    })
}
