//! Operators to layers, one file per family.
//!
//! A plan is the function that the graph computes of one image, applied to each image of a batch:
//! shapes are those of a batch of 1, and the batch is the outermost dimension of every activation,
//! wherever the graph has it. Only BatchNorm looks across images.

mod arrange;
mod conv;
mod dense;
mod functions;
mod index;
mod norm;
mod pool;
mod quant;
mod reduce;
mod resize;
mod trace;
mod values;

use edgecut_graph::{
    Binary, DType, Dim, Graph, Node, Op, Reduction, Shape, Tensor, ValueId, infer,
};

use super::{Activation, Extent, PlanOptions, Step, Tap};
use crate::error::{Result, TrainError};
use crate::params::{Kind, Layout, ParamId, Params};
use values::Seen;

pub(super) struct Compiled {
    pub steps: Vec<Step>,
    pub activations: Vec<Activation>,
    /// Which activations depend on a parameter that is trained.
    pub needs: Vec<bool>,
    pub params: Params,
    pub logits: usize,
    pub taps: Vec<Tap>,
    pub extras: Vec<ParamId>,
    pub input: Extent,
    pub classes: usize,
}

struct Compiler<'g> {
    /// The graph as it is.
    source: &'g Graph,
    /// The same with a batch of 1.
    graph: Graph,
    options: &'g PlanOptions,
    consumers: Vec<Vec<usize>>,
    producers: Vec<Option<usize>>,
    seen: Vec<Option<Seen>>,
    /// What is known before any image: constants, and what is computed from them alone.
    constants: Vec<Option<Tensor>>,
    absorbed: Vec<bool>,
    batch: usize,
    /// Whether a parameter that is trained was registered since the last layer.
    trains: bool,
    out: Compiled,
}

pub(super) fn compile(source: &Graph, batch: usize, options: &PlanOptions) -> Result<Compiled> {
    source.validate()?;
    let fail = |problem: String| TrainError::Model { model: source.name.clone(), problem };
    let ([image], Some(&output)) = (source.inputs.as_slice(), source.outputs.first()) else {
        let (i, o) = (source.inputs.len(), source.outputs.len());
        return Err(fail(format!("needs one input and an output, has {i} and {o}")));
    };
    if batch == 0 {
        return Err(TrainError::config("batch", "must be at least 1"));
    }
    let input = extent(source, *image)
        .filter(|_| source.value(*image).shape.rank() == 4)
        .ok_or_else(|| {
            let shape = &source.value(*image).shape;
            fail(format!("input is {shape}, needs [batch, channels, height, width]"))
        })?;
    let graph = of_one(source)?;
    let count = graph.values().len();
    let mut compiler = Compiler {
        source,
        options,
        consumers: graph.consumers(),
        producers: graph.producers(),
        seen: vec![None; count],
        constants: graph.values().iter().map(|v| v.constant.clone()).collect(),
        absorbed: vec![false; graph.nodes.len()],
        batch,
        trains: false,
        out: Compiled {
            steps: vec![],
            activations: vec![Activation { len: input.len(), place: 0 }],
            // Nobody needs the gradient of the image, unless it is asked for.
            needs: vec![options.taps.contains(image)],
            params: Params::default(),
            logits: 0,
            taps: vec![],
            extras: vec![],
            input,
            classes: 0,
        },
        graph,
    };
    compiler.seen[image.index()] =
        Some(Seen { activation: 0, pixels: Some(input), learned: false });
    let wanted = compiler.wanted(output);
    for index in (0..compiler.graph.nodes.len()).filter(|&i| wanted[i]) {
        if !compiler.absorbed[index] {
            compiler.node(index)?;
        }
    }
    compiler.finish(output)
}

/// `graph` with a batch of 1, whatever it was.
fn of_one(graph: &Graph) -> Result<Graph> {
    let mut one = graph.clone();
    let image = one.inputs[0];
    let mut dims = one.value(image).shape.dims().to_vec();
    dims[0] = Dim::Fixed(1);
    one.value_mut(image).shape = Shape::new(dims);
    for index in 0..one.nodes.len() {
        let node = one.nodes[index].clone();
        let inferred = infer::infer_node(&one, &node)?;
        for (&output, (_, shape)) in node.outputs.iter().zip(inferred) {
            one.value_mut(output).shape = Shape::fixed(&shape.with_symbols(1));
        }
    }
    Ok(one)
}

/// Extent of an image `[n, c, h, w]`, a sequence `[n, c, l]` or a row `[n, c]`; `None` for any other
/// shape. The first dimension may be more than the batch: then an image has become several.
fn extent(graph: &Graph, value: ValueId) -> Option<Extent> {
    match graph.value(value).shape.dims() {
        [_, c, h, w] => Some(Extent { h: h.fixed()?, w: w.fixed()?, c: c.fixed()? }),
        [_, c, l] => Some(Extent { h: 1, w: l.fixed()?, c: c.fixed()? }),
        [_, c] => Some(Extent { h: 1, w: 1, c: c.fixed()? }),
        _ => None,
    }
    .filter(|e| !e.is_empty())
}

impl Compiler<'_> {
    /// The nodes that logits or taps depend on.
    fn wanted(&self, output: ValueId) -> Vec<bool> {
        let mut live = vec![false; self.graph.values().len()];
        live[output.index()] = true;
        self.options.taps.iter().for_each(|tap| live[tap.index()] = true);
        let mut wanted = vec![false; self.graph.nodes.len()];
        for (index, node) in self.graph.nodes.iter().enumerate().rev() {
            wanted[index] = node.outputs.iter().any(|o| live[o.index()]);
            if wanted[index] {
                node.inputs.iter().flatten().for_each(|i| live[i.index()] = true);
            }
        }
        wanted
    }

    fn finish(mut self, output: ValueId) -> Result<Compiled> {
        let shape = self.shape(output);
        let classes = shape.iter().product::<usize>();
        let logits = self.seen[output.index()]
            .filter(|s| s.activation != 0 && shape.first() == Some(&1) && shape.contains(&classes));
        let Some(logits) = logits else {
            let (model, shape) = (self.source.name.clone(), &self.source.value(output).shape);
            let problem = format!("output is {shape}, needs [batch, classes]");
            return Err(TrainError::Model { model, problem });
        };
        (self.out.logits, self.out.classes) = (logits.activation, classes);
        for &value in &self.options.taps {
            let name = || self.source.value(value).name.clone();
            let is_image = self.source.inputs.contains(&value);
            let tappable = |s: &Seen| s.activation != 0 || is_image;
            let Some(seen) = self.seen[value.index()].filter(tappable) else {
                let problem = format!("'{}' is not computed from the image", name());
                return Err(TrainError::config("taps", problem));
            };
            let shape = self.shape(value);
            let (activation, pixels) = (seen.activation, seen.pixels);
            self.out.taps.push(Tap { value, shape, activation, pixels, slot: 0 });
        }
        for extra in &self.options.extras {
            let kind = if extra.decayed { Kind::Weight } else { Kind::Bias };
            let id = self.out.params.add_extra(extra.name.clone(), kind, extra.values.clone());
            self.out.extras.push(id);
        }
        self.out.params.load(self.source)?;
        Ok(self.out)
    }

    fn node(&mut self, index: usize) -> Result<()> {
        if self.fold(index)? {
            return Ok(());
        }
        let node = &self.graph.nodes[index].clone();
        match &node.op {
            Op::Conv(conv) => self.conv(index, conv),
            Op::ConvTranspose(conv) => self.conv_transpose(index, conv),
            Op::Gemm(gemm) => self.gemm(index, gemm),
            Op::MatMul => self.mat_mul(index),
            Op::BatchNorm { epsilon, momentum } => self.norm(index, *epsilon, *momentum),
            Op::LayerNorm { .. } | Op::InstanceNorm { .. } | Op::GroupNorm { .. } => {
                self.row_norm(index)
            }
            Op::LocalResponseNorm { .. } | Op::LpNorm { .. } | Op::CumSum { .. } => {
                self.lines(node)
            }
            Op::Unary(function) => self.unary(node, function),
            Op::Binary(Binary::Add) if self.is_residual(node) => self.add(node),
            Op::Binary(function) => self.binary(index, *function),
            Op::Where => self.select(node),
            Op::Softmax { .. } | Op::LogSoftmax { .. } if self.is_last(node) => self.alias(node),
            Op::Softmax { axis } => self.softmax(node, *axis, false),
            Op::LogSoftmax { axis } => self.softmax(node, *axis, true),
            Op::MaxPool(pool) => self.max_pool(node, pool),
            Op::AveragePool(pool) => self.average_pool(node, pool),
            Op::LpPool { pool, p } => self.power_pool(node, pool, *p),
            Op::GlobalAveragePool => self.global_pool(node),
            Op::Reduce { kind: Reduction::Mean, axes, .. } if self.is_global(node, axes) => {
                self.global_pool(node)
            }
            Op::Reduce { kind, axes, .. } => self.reduce(node, *kind, axes),
            Op::Resize(resize) => self.resize(node, resize),
            Op::Quantize { .. } => self.quantize(node),
            Op::Dequantize { .. } if self.seen[node.input(0)?.index()].is_some() => {
                self.alias(node)
            }
            _ => self.moving(node),
        }
    }

    /// Operators that move elements, and those without a gradient.
    fn moving(&mut self, node: &Node) -> Result<()> {
        match &node.op {
            Op::Flatten { .. } | Op::Reshape { .. } | Op::Squeeze { .. } | Op::Unsqueeze { .. } => {
                self.reshape(node)
            }
            Op::Concat { axis } => self.concat(node, *axis),
            Op::ChannelShuffle { groups } => self.shuffle(node, *groups),
            Op::Pad { .. }
            | Op::Transpose { .. }
            | Op::Slice { .. }
            | Op::Expand { .. }
            | Op::Tile { .. }
            | Op::Trilu { .. }
            | Op::DepthToSpace { .. }
            | Op::SpaceToDepth { .. } => self.moves(node),
            Op::Gather { .. } | Op::GatherElements { .. } | Op::GatherNd { .. } => {
                self.gather(node)
            }
            Op::ScatterElements { mode, .. } | Op::ScatterNd { mode } => self.scatter(node, *mode),
            Op::OneHot { .. } => self.one_hot(node),
            Op::Cast { .. }
                if self.graph.value(node.input(0)?).dtype == DType::F32
                    && self.graph.value(node.output()).dtype == DType::F32 =>
            {
                self.alias(node)
            }
            _ => self.detached(node),
        }
    }

    /// A parameter of the node at `node`, which trains at its rate.
    fn param(&mut self, node: usize, input: usize, kind: Kind, layout: Layout) -> Result<ParamId> {
        let rate = self.options.rate(node);
        self.trains |= rate > 0.0 && kind != Kind::Statistic;
        self.out.params.add(self.source, node, input, kind, layout, rate)
    }

    fn optional_bias(&mut self, node: usize, len: usize) -> Result<Option<ParamId>> {
        match self.graph.nodes[node].inputs.get(2).copied().flatten() {
            Some(_) => self.param(node, 2, Kind::Bias, Layout::plain(len)).map(Some),
            None => Ok(None),
        }
    }

    /// Whether somebody outside looks at a value, so that it must be there as it is.
    fn is_kept(&self, value: ValueId) -> bool {
        self.graph.is_output(value) || self.options.taps.contains(&value)
    }

    /// Whether the loss takes `node`'s place: a Softmax behind which only the shape changes.
    fn is_last(&self, node: &Node) -> bool {
        let mut value = node.output();
        let shape = self.shape(value);
        let (Op::Softmax { axis } | Op::LogSoftmax { axis }) = node.op else { return false };
        if shape[axis] != shape.iter().product::<usize>() {
            return false;
        }
        loop {
            if Some(&value) == self.graph.outputs.first() {
                return !self.options.taps.contains(&value);
            }
            let [reader] = self.consumers[value.index()].as_slice() else { return false };
            let next = &self.graph.nodes[*reader];
            match next.op {
                Op::Flatten { .. }
                | Op::Reshape { .. }
                | Op::Squeeze { .. }
                | Op::Unsqueeze { .. } => value = next.output(),
                _ => return false,
            }
        }
    }
}
