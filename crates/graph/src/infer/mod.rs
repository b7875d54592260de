//! Type and shape of every operator's outputs, from its inputs and attributes.
//!
//! Symbols (a batch of unknown size) pass through dimensions that an operator does not look at.
//! What an operator computes with, such as channels and spatial extents, must be fixed.

mod arrange;
mod elementwise;
mod index;
mod norm;
mod product;
mod quantize;
mod reduce;
mod reshape;
mod resize;
mod window;

pub use elementwise::broadcast;
pub use window::window_extent;

use crate::{DType, Dim, Graph, Node, Op, Result, Shape};

/// Type and shape of each output of `node`, whose inputs must exist in `graph`.
/// Fails, naming the node, where inputs do not fit the operator.
pub fn infer_node(graph: &Graph, node: &Node) -> Result<Vec<(DType, Shape)>> {
    let rule = Rule { graph, node };
    let typed = match &node.op {
        Op::TopK { axis, k, .. } => rule.top_k(*axis, *k)?,
        Op::DynamicQuantize => rule.dynamic_quantize()?,
        _ => vec![rule.only_output()?],
    };
    for (_, shape) in &typed {
        shape.len_with(1, &node.name)?;
    }
    Ok(typed)
}

struct Rule<'a> {
    graph: &'a Graph,
    node: &'a Node,
}

type Typed = (DType, Shape);

impl Rule<'_> {
    /// The output of an operator that has one.
    fn only_output(&self) -> Result<Typed> {
        match &self.node.op {
            Op::Conv(conv) => self.float(self.conv(conv, true)?),
            Op::ConvTranspose(conv) => self.float(self.conv_transpose(conv)?),
            Op::ConvInteger(conv) => self.conv_integer(conv),
            Op::Gemm(gemm) => self.float(self.gemm(gemm)?),
            Op::MatMul => self.float(self.mat_mul()?),
            Op::MatMulInteger => self.mat_mul_integer(),
            Op::MaxPool(pool) => self.max_pool(pool),
            Op::AveragePool(pool) => self.float(self.pool(pool)?),
            Op::LpPool { pool, p } => self.lp_pool(pool, *p),
            Op::GlobalAveragePool => self.float(self.global_pool()?),
            Op::Resize(resize) => self.resize(resize),
            Op::BatchNorm { .. } => self.float(self.batch_norm()?),
            Op::LayerNorm { axis, .. } => self.float(self.layer_norm(*axis)?),
            Op::InstanceNorm { .. } => self.float(self.channel_norm(None)?),
            Op::GroupNorm { groups, .. } => self.float(self.channel_norm(Some(*groups))?),
            Op::LocalResponseNorm { size, .. } => self.local_response(*size),
            Op::LpNorm { axis, p } => self.lp_norm(*axis, *p),
            Op::Softmax { axis } | Op::LogSoftmax { axis } | Op::Hardmax { axis } => {
                self.float(self.with_axis(*axis)?)
            }
            Op::Quantize { axis } => self.quantize(*axis),
            Op::Dequantize { axis } => self.dequantize(*axis),
            _ => self.plain_output(),
        }
    }

    /// The output of an operator without parameters of its own: functions of elements, copies and
    /// reductions.
    fn plain_output(&self) -> Result<Typed> {
        match &self.node.op {
            Op::Unary(function) => self.unary(function),
            Op::Binary(function) => self.binary(*function),
            Op::Compare(function) => self.compare(*function),
            Op::Logic(_) => self.logic(),
            Op::Not => self.not(),
            Op::IsNan | Op::IsInf { .. } => self.float_test(),
            Op::Where => self.choose(),
            Op::Cast { to } => Ok((*to, self.shape(0)?.clone())),
            Op::Concat { axis } => self.concat(*axis),
            Op::Reshape { dims } => self.same_type(self.reshape(dims)?),
            Op::Flatten { axis } => self.same_type(self.flatten(*axis)?),
            Op::Squeeze { axes } => self.same_type(self.squeeze(axes)?),
            Op::Unsqueeze { axes } => self.same_type(self.unsqueeze(axes)?),
            Op::Transpose { perm } => self.same_type(self.transpose(perm)?),
            Op::Pad { before, after, mode } => self.pad(before, after, *mode),
            Op::Slice { cuts } => self.same_type(self.slice(cuts)?),
            Op::Expand { shape } => self.expand(shape),
            Op::Tile { repeats } => self.tile(repeats),
            Op::Trilu { .. } => self.trilu(),
            Op::DepthToSpace { block, .. } => self.depth_to_space(*block),
            Op::SpaceToDepth { block } => self.space_to_depth(*block),
            Op::ChannelShuffle { groups } => self.channel_shuffle(*groups),
            Op::Reduce { axes, keep_dims, .. } => self.reduce(axes, *keep_dims),
            Op::ArgExtreme { axis, keep_dims, .. } => self.arg_extreme(*axis, *keep_dims),
            Op::CumSum { axis, .. } => self.cum_sum(*axis),
            Op::Gather { axis } => self.gather(*axis),
            Op::GatherElements { axis } => self.gather_elements(*axis),
            Op::GatherNd { batch_dims } => self.gather_nd(*batch_dims),
            Op::ScatterElements { axis, mode } => self.scatter_elements(*axis, *mode),
            Op::ScatterNd { mode } => self.scatter_nd(*mode),
            Op::OneHot { axis, depth } => self.one_hot(*axis, *depth),
            _ => self.fail("has no shape rule"),
        }
    }

    fn shape(&self, input: usize) -> Result<&Shape> {
        Ok(&self.graph.value(self.node.input(input)?).shape)
    }

    fn dtype(&self, input: usize) -> Result<DType> {
        Ok(self.graph.value(self.node.input(input)?).dtype)
    }

    fn fail<T>(&self, problem: impl Into<String>) -> Result<T> {
        Err(self.node.error(problem))
    }

    fn float(&self, shape: Shape) -> Result<Typed> {
        for index in 0..self.node.inputs.len() {
            if self.node.inputs[index].is_some() && self.dtype(index)? != DType::F32 {
                return self
                    .fail(format!("input {index} is {}, needs float32", self.dtype(index)?));
            }
        }
        Ok((DType::F32, shape))
    }

    fn same_type(&self, shape: Shape) -> Result<Typed> {
        Ok((self.dtype(0)?, shape))
    }

    /// The type of `input`, which must be float32 or an integer.
    fn number(&self, input: usize) -> Result<DType> {
        match self.dtype(input)? {
            DType::Bool => self.fail(format!("input {input} is bool, needs numbers")),
            dtype => Ok(dtype),
        }
    }

    fn same_types(&self, a: usize, b: usize) -> Result<()> {
        let (first, second) = (self.dtype(a)?, self.dtype(b)?);
        if first != second {
            return self.fail(format!("input {a} is {first}, input {b} {second}"));
        }
        Ok(())
    }

    fn present(&self, input: usize) -> bool {
        self.node.inputs.get(input).copied().flatten().is_some()
    }

    fn rank(&self, input: usize, rank: usize) -> Result<&[Dim]> {
        let shape = self.shape(input)?;
        if shape.rank() != rank {
            return self.fail(format!("input {input} is {shape}, needs {rank} dimensions"));
        }
        Ok(shape.dims())
    }

    fn extent(&self, input: usize, axis: usize) -> Result<usize> {
        self.shape(input)?.extent(axis, &self.node.name)
    }

    fn vector(&self, input: usize, len: usize) -> Result<()> {
        if self.node.inputs.get(input).copied().flatten().is_none() {
            return Ok(());
        }
        if self.shape(input)? != &Shape::fixed(&[len]) {
            let shape = self.shape(input)?;
            return self.fail(format!("input {input} is {shape}, needs [{len}]"));
        }
        Ok(())
    }

    fn with_axis(&self, axis: usize) -> Result<Shape> {
        let shape = self.shape(0)?;
        if axis >= shape.rank() {
            return self.fail(format!("axis {axis} is outside {shape}"));
        }
        Ok(shape.clone())
    }

    fn ascending(&self, axes: &[usize], rank: usize) -> Result<()> {
        if axes.windows(2).any(|p| p[0] >= p[1]) || axes.last().is_some_and(|&a| a >= rank) {
            return self.fail(format!("axes {axes:?} must be ascending and below {rank}"));
        }
        Ok(())
    }
}
