//! Operators that ONNX lacks, and what its readers disagree about, spelled in what all of them have.
//!
//! Every rewrite here is exact: the graph that comes out computes the same bits. So what is
//! imported again is the same function without anything to recognise; that the spelled-out form
//! *means* one operator is for [`crate::passes`] to find, as in the files of other exporters.

use std::borrow::Cow;

use crate::passes::rewrite::Names;
use crate::{
    Binary, Coordinates, Cut, DType, Dim, Graph, Node, Op, Pool, Reduction, ReshapeDim, Resize,
    ResizeMode, Result, Shape, Tensor, Unary, ValueId, Window,
};

/// `graph` itself, or its like without operators that ONNX lacks.
pub(super) fn lower(graph: &Graph) -> Result<Cow<'_, Graph>> {
    if graph.nodes.iter().all(|node| Lowering::of(graph, node).is_none()) {
        return Ok(Cow::Borrowed(graph));
    }
    let mut lowered = graph.clone();
    let nodes = std::mem::take(&mut lowered.nodes);
    let names = Names::new(graph);
    let mut out = Lowered { graph: lowered, names };
    for node in nodes {
        match Lowering::of(&out.graph, &node) {
            None => out.graph.nodes.push(node),
            Some(lowering) => out.apply(lowering, node)?,
        }
    }
    Ok(Cow::Owned(out.graph))
}

/// What a node becomes.
enum Lowering {
    /// The same node with another operator.
    Op(Op),
    /// A copy.
    Copy,
    /// x * sigmoid(x)
    Silu,
    /// 0 - x
    Negate,
    /// x * x
    Square,
    Shuffle(usize),
    /// Nearest elements at positions that ONNX cannot state any more.
    Gathers(Resize),
    /// Input 1 as int64.
    WidePositions,
}

impl Lowering {
    fn of(graph: &Graph, node: &Node) -> Option<Lowering> {
        let value = |i: usize| node.inputs.get(i).copied().flatten().map(|id| graph.value(id));
        let is = |i: usize, dtype: DType| value(i).is_some_and(|v| v.dtype == dtype);
        match &node.op {
            Op::Unary(Unary::Silu) => Some(Lowering::Silu),
            // ONNX has both for signed types only.
            Op::Unary(Unary::Relu) if is(0, DType::U8) => Some(Lowering::Copy),
            Op::Unary(Unary::Neg) if is(0, DType::U8) => Some(Lowering::Negate),
            Op::MaxPool(pool) => {
                Some(Lowering::Op(Op::MaxPool(plain_ceil(&value(0)?.shape, pool)?)))
            }
            Op::AveragePool(pool) => {
                Some(Lowering::Op(Op::AveragePool(plain_ceil(&value(0)?.shape, pool)?)))
            }
            Op::LpPool { pool, p } => {
                let pool = plain_ceil(&value(0)?.shape, pool)?;
                Some(Lowering::Op(Op::LpPool { pool, p: *p }))
            }
            Op::ChannelShuffle { groups } => Some(Lowering::Shuffle(*groups)),
            // Readers drop both, and the names with them.
            Op::Cast { to } if is(0, *to) => Some(Lowering::Copy),
            Op::Slice { cuts } => slice(&value(0)?.shape, cuts),
            Op::Squeeze { axes } | Op::Unsqueeze { axes } if axes.is_empty() => {
                Some(Lowering::Copy)
            }
            Op::Resize(resize) if keeps(&value(0)?.shape, resize) => Some(Lowering::Copy),
            Op::Resize(resize)
                if resize.coordinates == Coordinates::TfHalfPixelForNearest
                    && matches!(resize.mode, ResizeMode::Nearest(_)) =>
            {
                Some(Lowering::Gathers(resize.clone()))
            }
            // No axes mean all of them in ONNX.
            Op::Reduce { kind, axes, .. } if axes.is_empty() => Some(match kind {
                Reduction::L1 | Reduction::L2 => Lowering::Op(Op::Unary(Unary::Abs)),
                Reduction::LogSum => Lowering::Op(Op::Unary(Unary::Log)),
                Reduction::SumSquare => Lowering::Square,
                _ => Lowering::Copy,
            }),
            Op::GatherNd { .. } | Op::ScatterNd { .. } if is(1, DType::I32) => {
                Some(Lowering::WidePositions)
            }
            _ => None,
        }
    }
}

/// The same pool without the case that some readers round up and others do not: a last window that
/// would begin behind the input, which does not count. `None` where `pool` has no such case.
fn plain_ceil(shape: &Shape, pool: &Pool) -> Option<Pool> {
    if !pool.ceil_mode {
        return None;
    }
    let Window { kernel, strides, dilations, pads } = pool.window;
    let mut window = pool.window;
    let mut grows = false;
    for i in 0..2 {
        let size = shape.dims()[2 + i].fixed()?;
        let extent = |ceil| {
            let pads = (pads[i], pads[i + 2]);
            crate::infer::window_extent(size, kernel[i], strides[i], dilations[i], pads, ceil)
        };
        let left = (size + pads[i] + pads[i + 2] - dilations[i] * (kernel[i] - 1) - 1) % strides[i];
        if extent(true) != extent(false) {
            grows = true;
        } else {
            // No window reads the last `left` rows, so padding among them may go.
            window.pads[i + 2] -= left.min(pads[i + 2]);
        }
    }
    let plain = match grows {
        true => Pool { window, ..*pool },
        false => Pool { ceil_mode: false, ..*pool },
    };
    (plain != *pool).then_some(plain)
}

/// Whether every position is that of an element, the own one.
fn keeps(shape: &Shape, resize: &Resize) -> bool {
    let moves = matches!(
        resize.coordinates,
        Coordinates::CropAndResize | Coordinates::TfHalfPixelForNearest
    );
    resize
        .axes
        .iter()
        .all(|axis| !moves && axis.scale == 1.0 && shape.dims()[axis.axis] == Dim::Fixed(axis.len))
}

/// Cuts that change something, in the one form that import gives them.
fn slice(shape: &Shape, cuts: &[Cut]) -> Option<Lowering> {
    let whole = |cut: &&Cut| shape.dims()[cut.axis] != Dim::Fixed(cut.len);
    let plain = |cut: &Cut| Cut {
        start: if cut.len == 0 { 0 } else { cut.start },
        step: if cut.len <= 1 { 1 } else { cut.step },
        ..*cut
    };
    let needed: Vec<Cut> = cuts.iter().filter(whole).map(plain).collect();
    match needed.is_empty() {
        true => Some(Lowering::Copy),
        false if needed == cuts => None,
        false => Some(Lowering::Op(Op::Slice { cuts: needed })),
    }
}

/// The graph under construction: all values, and the nodes so far.
struct Lowered {
    graph: Graph,
    names: Names,
}

impl Lowered {
    /// Adds what `node` becomes; the last one has its name and outputs.
    fn apply(&mut self, lowering: Lowering, node: Node) -> Result<()> {
        let x = node.input(0)?;
        let shape = self.graph.value(x).shape.clone();
        match lowering {
            Lowering::Op(op) => self.last(node, op, &[x]),
            Lowering::Copy => {
                // Also where dimensions of extent 1 come or go.
                let dims = vec![ReshapeDim::Copy; shape.rank()];
                self.last(node, Op::Reshape { dims }, &[x])
            }
            Lowering::Silu => {
                let gate = self.part(&node, "sigmoid", Op::Unary(Unary::Sigmoid), &[x])?;
                self.last(node, Op::Binary(Binary::Mul), &[x, gate])
            }
            Lowering::Negate => {
                let zero = self.constant(&node, "zero", Tensor::new([], vec![0u8])?);
                self.last(node, Op::Binary(Binary::Sub), &[zero, x])
            }
            Lowering::Square => self.last(node, Op::Binary(Binary::Mul), &[x, x]),
            Lowering::Shuffle(groups) => self.shuffle(node, x, groups),
            Lowering::Gathers(resize) => self.gathers(node, x, &resize),
            Lowering::WidePositions => {
                let to = Op::Cast { to: DType::I64 };
                let wide = self.part(&node, "positions", to, &[node.input(1)?])?;
                let mut node = node;
                node.inputs[1] = Some(wide);
                self.graph.nodes.push(node);
                Ok(())
            }
        }
    }

    /// Reshape, Transpose, Reshape where the map's extents are known, and a Gather of channels
    /// where they are symbols, which no Reshape can copy from other positions.
    fn shuffle(&mut self, node: Node, x: ValueId, groups: usize) -> Result<()> {
        let dims = self.graph.value(x).shape.dims().to_vec();
        let [_, c, h, w] = [0, 1, 2, 3].map(|i| dims[i].fixed());
        let channels = c.ok_or_else(|| node.error("needs a fixed number of channels"))?;
        let inside = channels / groups;
        let (Some(h), Some(w)) = (h, w) else {
            let from: Vec<i64> =
                (0..channels).map(|k| ((k % groups) * inside + k / groups) as i64).collect();
            let from = self.constant(&node, "channels", Tensor::vector(from));
            return self.last(node, Op::Gather { axis: 1 }, &[x, from]);
        };
        let reshape = |extents: &[usize]| {
            let fixed = extents.iter().map(|&n| ReshapeDim::Fixed(n));
            Op::Reshape { dims: std::iter::once(ReshapeDim::Copy).chain(fixed).collect() }
        };
        let split = self.part(&node, "split", reshape(&[groups, inside, h, w]), &[x])?;
        let swap = Op::Transpose { perm: vec![0, 2, 1, 3, 4] };
        let swapped = self.part(&node, "swapped", swap, &[split])?;
        self.last(node, reshape(&[channels, h, w]), &[swapped])
    }

    /// One Gather for each dimension. The positions are what the resize itself does to the numbers
    /// 0, 1, 2, ...
    fn gathers(&mut self, node: Node, x: ValueId, resize: &Resize) -> Result<()> {
        let mut from = x;
        let (last, before) = resize.axes.split_last().expect("not empty: see Lowering::of");
        let mut positions = |axis: &crate::ResizeAxis| -> Result<ValueId> {
            let size = self.graph.value(x).shape.extent(axis.axis, &node.name)?;
            let ramp = Tensor::vector((0..size as i64).collect::<Vec<i64>>());
            let alone =
                Resize { axes: vec![crate::ResizeAxis { axis: 0, ..*axis }], ..resize.clone() };
            let op = Op::Resize(alone);
            let one = Node { name: node.name.clone(), op, inputs: vec![None], outputs: vec![] };
            let mut found = crate::interpret::run_node(&Graph::default(), &one, &[Some(&ramp)])?;
            Ok(self.constant(&node, "positions", found.swap_remove(0)))
        };
        let constants = before.iter().map(&mut positions).collect::<Result<Vec<_>>>()?;
        let end = positions(last)?;
        for (axis, id) in before.iter().zip(constants) {
            from = self.part(&node, "rows", Op::Gather { axis: axis.axis }, &[from, id])?;
        }
        self.last(node, Op::Gather { axis: last.axis }, &[from, end])
    }

    fn constant(&mut self, node: &Node, part: &str, tensor: Tensor) -> ValueId {
        let name = self.names.value(&format!("{}_{part}", node.name));
        self.graph.add_constant(name, tensor)
    }

    /// A node before the last one.
    fn part(&mut self, node: &Node, part: &str, op: Op, inputs: &[ValueId]) -> Result<ValueId> {
        let name = format!("{}_{part}", node.name);
        let inputs = inputs.iter().map(|&id| Some(id)).collect();
        let mut made = Node { name: self.names.node(&name), op, inputs, outputs: vec![] };
        for (dtype, shape) in crate::infer::infer_node(&self.graph, &made)? {
            made.outputs.push(self.graph.add_value(self.names.value(&name), dtype, shape));
        }
        let output = made.output();
        self.graph.nodes.push(made);
        Ok(output)
    }

    fn last(&mut self, node: Node, op: Op, inputs: &[ValueId]) -> Result<()> {
        let inputs = inputs.iter().map(|&id| Some(id)).collect();
        self.graph.nodes.push(Node { op, inputs, ..node });
        Ok(())
    }
}
