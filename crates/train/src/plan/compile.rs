//! Operators to layers.

use edgecut_graph::{Binary, Conv, Gemm, Graph, Node, Op, Pool, Reduction, ValueId, Window};
use edgecut_kernels::ConvShape;

use super::{Activation, Extent, Step};
use crate::error::{Result, TrainError};
use crate::grad::{
    AveragePool, Clamp, Concat, Convolution, Depthwise, GlobalAveragePool, Layer, Linear, MaxPool,
    Norm,
};
use crate::params::{Kind, Layout, ParamId, Params};

pub(super) struct Compiled {
    pub steps: Vec<Step>,
    pub activations: Vec<Activation>,
    pub params: Params,
    pub logits: usize,
    pub input: Extent,
    pub classes: usize,
}

/// A value of the graph, seen from the plan.
#[derive(Clone, Copy)]
struct Seen {
    activation: usize,
    extent: Extent,
    /// Whether the graph sees rows of `c * h * w` numbers instead of an image. Inside, they are
    /// still ordered by pixel, then channel.
    flat: bool,
}

struct Compiler<'g> {
    graph: &'g Graph,
    consumers: Vec<Vec<usize>>,
    producers: Vec<Option<usize>>,
    seen: Vec<Option<Seen>>,
    absorbed: Vec<bool>,
    batch: usize,
    out: Compiled,
}

pub(super) fn compile(graph: &Graph, batch: usize) -> Result<Compiled> {
    graph.validate()?;
    let fail = |problem: String| TrainError::Model { model: graph.name.clone(), problem };
    let ([image], [output]) = (graph.inputs.as_slice(), graph.outputs.as_slice()) else {
        let (i, o) = (graph.inputs.len(), graph.outputs.len());
        return Err(fail(format!("needs one input and one output, has {i} and {o}")));
    };
    if batch == 0 {
        return Err(TrainError::config("batch", "must be at least 1"));
    }
    let input = extent(graph, *image)
        .filter(|_| graph.value(*image).shape.rank() == 4)
        .ok_or_else(|| {
            let shape = &graph.value(*image).shape;
            fail(format!("input is {shape}, needs [batch, channels, height, width]"))
        })?;
    let mut compiler = Compiler {
        graph,
        consumers: graph.consumers(),
        producers: graph.producers(),
        seen: vec![None; graph.values().len()],
        absorbed: vec![false; graph.nodes.len()],
        batch,
        out: Compiled {
            steps: vec![],
            activations: vec![Activation { len: input.len(), buffer: 0 }],
            params: Params::default(),
            logits: 0,
            input,
            classes: 0,
        },
    };
    compiler.seen[image.index()] = Some(Seen { activation: 0, extent: input, flat: false });
    for index in 0..graph.nodes.len() {
        if !compiler.absorbed[index] {
            compiler.node(index)?;
        }
    }
    let logits = compiler.seen[output.index()].filter(|s| s.extent.pixels() == 1);
    let Some(logits) = logits.filter(|s| s.activation != 0 && s.extent.c > 0) else {
        let shape = &graph.value(*output).shape;
        return Err(fail(format!("output is {shape}, needs [batch, classes]")));
    };
    (compiler.out.logits, compiler.out.classes) = (logits.activation, logits.extent.c);
    compiler.out.params.load(graph)?;
    Ok(compiler.out)
}

/// Extent of an image `[n, c, h, w]` or a row `[n, c]`; `None` for any other shape.
fn extent(graph: &Graph, value: ValueId) -> Option<Extent> {
    match graph.value(value).shape.dims() {
        [_, c, h, w] => Some(Extent { h: h.fixed()?, w: w.fixed()?, c: c.fixed()? }),
        [_, c] => Some(Extent { h: 1, w: 1, c: c.fixed()? }),
        _ => None,
    }
    .filter(|e| !e.is_empty())
}

impl Compiler<'_> {
    fn node(&mut self, index: usize) -> Result<()> {
        let graph = self.graph;
        let node = &graph.nodes[index];
        match &node.op {
            Op::Conv(conv) => self.conv(index, conv),
            Op::Gemm(gemm) => self.gemm(index, gemm),
            Op::MatMul => self.linear(index, false, None),
            Op::BatchNorm { epsilon, momentum } => self.norm(index, *epsilon, *momentum),
            Op::Binary(Binary::Add) => self.add(node),
            Op::MaxPool(pool) => {
                let shape = self.pool_shape(node, pool)?;
                self.unary(node, Layer::MaxPool(MaxPool::new(shape)))
            }
            Op::AveragePool(pool) => {
                let shape = self.pool_shape(node, pool)?;
                let [_, _, bottom, right] = pool.window.pads;
                let padding = pool.count_include_pad.then_some([bottom, right]);
                self.unary(node, Layer::AveragePool(AveragePool::new(shape, padding)))
            }
            Op::GlobalAveragePool => self.global_pool(node),
            Op::Reduce { kind: Reduction::Mean, axes, .. } if *axes == [2, 3] => {
                self.global_pool(node)
            }
            Op::Concat { axis: 1 } => self.concat(node),
            Op::Flatten { .. } | Op::Reshape { .. } | Op::Squeeze { .. } => self.flatten(node),
            Op::Softmax { axis: 1 } if graph.is_output(node.output()) => {
                let x = self.input(node, 0)?;
                self.define(node.output(), x);
                Ok(())
            }
            op => match op.clamp_bounds() {
                Some((low, high)) => self.unary(node, Layer::Clamp(Clamp { low, high })),
                None => Err(TrainError::unsupported(
                    node,
                    "supported are Conv, Gemm, MatMul with a constant, BatchNormalization, Relu, \
                     Clip, Add, Concat of channels, MaxPool, AveragePool, GlobalAveragePool, \
                     ReduceMean over height and width, Flatten or Reshape to rows, and a final \
                     Softmax",
                )),
            },
        }
    }

    fn input(&self, node: &Node, index: usize) -> Result<Seen> {
        let id = node.input(index)?;
        self.seen[id.index()].ok_or_else(|| {
            let name = &self.graph.value(id).name;
            TrainError::unsupported(node, format!("input '{name}' must depend on the image"))
        })
    }

    /// An input that the kernels can treat as `[n*h*w, c]`.
    fn image(&self, node: &Node, index: usize) -> Result<Seen> {
        let x = self.input(node, index)?;
        if x.flat && x.extent.pixels() > 1 {
            return Err(TrainError::unsupported(
                node,
                "after flattening an image of more than one pixel, only Gemm, MatMul, Relu, Clip \
                 and Add are supported",
            ));
        }
        Ok(x)
    }

    fn output_extent(&self, node: &Node) -> Result<Extent> {
        extent(self.graph, node.output()).ok_or_else(|| {
            let shape = &self.graph.value(node.output()).shape;
            TrainError::unsupported(node, format!("output {shape} is neither images nor rows"))
        })
    }

    fn define(&mut self, value: ValueId, seen: Seen) {
        self.seen[value.index()] = Some(seen);
    }

    fn push(&mut self, node: &Node, layer: Layer, inputs: Vec<usize>, out: Extent, flat: bool) {
        let activation = self.out.activations.len();
        self.out.activations.push(Activation { len: out.len(), buffer: 0 });
        self.out.steps.push(Step { name: node.name.clone(), layer, inputs, output: activation });
        self.define(node.output(), Seen { activation, extent: out, flat });
    }

    /// A layer from images to images.
    fn image_layer(&mut self, node: &Node, layer: Layer) -> Result<()> {
        let x = self.image(node, 0)?;
        let out = self.output_extent(node)?;
        self.push(node, layer, vec![x.activation], out, false);
        Ok(())
    }

    fn unary(&mut self, node: &Node, layer: Layer) -> Result<()> {
        if let Layer::Clamp(clamp) = &layer {
            if clamp.low >= clamp.high || clamp.low.is_nan() || clamp.high.is_nan() {
                let (low, high) = (clamp.low, clamp.high);
                return Err(TrainError::unsupported(node, format!("bounds {low} to {high}")));
            }
            let x = self.input(node, 0)?;
            self.push(node, layer, vec![x.activation], x.extent, x.flat);
            return Ok(());
        }
        self.image_layer(node, layer)
    }

    fn param(&mut self, node: usize, input: usize, kind: Kind, layout: Layout) -> Result<ParamId> {
        self.out.params.add(self.graph, node, input, kind, layout)
    }

    fn optional_bias(&mut self, node: usize, len: usize) -> Result<Option<ParamId>> {
        match self.graph.nodes[node].inputs.get(2).copied().flatten() {
            Some(_) => self.param(node, 2, Kind::Bias, Layout::plain(len)).map(Some),
            None => Ok(None),
        }
    }

    fn conv(&mut self, index: usize, conv: &Conv) -> Result<()> {
        let node = &self.graph.nodes[index];
        let (x, out) = (self.image(node, 0)?, self.output_extent(node)?);
        let shape = self.shape(x.extent, out, &conv.window, conv.groups);
        let layout = Layout::conv(out.c, x.extent.c / conv.groups, shape.kh * shape.kw);
        let weight = self.param(index, 1, Kind::Weight, layout)?;
        let bias = self.optional_bias(index, out.c)?;
        let layer = if conv.groups == x.extent.c && out.c == x.extent.c && conv.groups > 1 {
            Layer::Depthwise(Depthwise::new(shape, weight, bias))
        } else {
            Layer::Convolution(Convolution::new(shape, weight, bias))
        };
        self.push(node, layer, vec![x.activation], out, false);
        Ok(())
    }

    fn gemm(&mut self, index: usize, gemm: &Gemm) -> Result<()> {
        let node = &self.graph.nodes[index];
        if gemm.alpha != 1.0 || gemm.beta != 1.0 || gemm.trans_a {
            return Err(TrainError::unsupported(node, "alpha and beta must be 1, transA 0"));
        }
        let out = self.output_extent(node)?;
        let bias = match node.inputs.get(2).copied().flatten() {
            Some(_) if self.graph.constant_f32s(node, 2)?.len() != out.c => {
                return Err(TrainError::unsupported(node, format!("C must be [{}]", out.c)));
            }
            Some(_) => Some(self.param(index, 2, Kind::Bias, Layout::plain(out.c))?),
            None => None,
        };
        self.linear(index, gemm.trans_b, bias)
    }

    fn linear(&mut self, index: usize, transposed: bool, bias: Option<ParamId>) -> Result<()> {
        let node = &self.graph.nodes[index];
        let (x, out) = (self.input(node, 0)?, self.output_extent(node)?);
        let rank = self.graph.value(node.output()).shape.rank();
        if rank != 2 || self.graph.value(node.input(1)?).shape.rank() != 2 {
            return Err(TrainError::unsupported(node, "needs a matrix times a constant matrix"));
        }
        let layout = Layout::linear(x.extent.c, x.extent.pixels(), out.c, transposed);
        let weight = self.param(index, 1, Kind::Weight, layout)?;
        let layer = Layer::Linear(Linear::new(self.batch, x.extent.len(), out.c, weight, bias));
        self.push(node, layer, vec![x.activation], out, true);
        Ok(())
    }

    fn norm(&mut self, index: usize, epsilon: f32, momentum: f32) -> Result<()> {
        let node = &self.graph.nodes[index];
        let x = self.image(node, 0)?;
        let plain = Layout::plain(x.extent.c);
        let scale = self.param(index, 1, Kind::Scale, plain)?;
        let shift = self.param(index, 2, Kind::Bias, plain)?;
        let mean = self.param(index, 3, Kind::Statistic, plain)?;
        let var = self.param(index, 4, Kind::Statistic, plain)?;
        let mut norm =
            Norm::new(self.batch, x.extent, [scale, shift], [mean, var], epsilon, momentum);
        let activation = self.sole_clamp(node);
        if let Some((at, bounds)) = activation {
            norm.clamp = Some(bounds);
            self.absorbed[at] = true;
        }
        self.push(node, Layer::Norm(Box::new(norm)), vec![x.activation], x.extent, x.flat);
        if let (Some((at, _)), Some(seen)) = (activation, self.seen[node.output().index()]) {
            self.define(self.graph.nodes[at].output(), seen);
        }
        Ok(())
    }

    /// The clamping activation that alone reads `node`'s output, and its bounds.
    fn sole_clamp(&self, node: &Node) -> Option<(usize, (f32, f32))> {
        let [reader] = self.consumers[node.output().index()].as_slice() else { return None };
        let (low, high) = self.graph.nodes[*reader].op.clamp_bounds()?;
        (low < high && !self.graph.is_output(node.output())).then_some((*reader, (low, high)))
    }

    fn add(&mut self, node: &Node) -> Result<()> {
        let (a, b) = (self.input(node, 0)?, self.input(node, 1)?);
        if a.extent != b.extent || a.flat != b.flat {
            return Err(TrainError::unsupported(node, "both inputs must have the same shape"));
        }
        for (sum, other) in [(1, a), (0, b)] {
            if self.add_to_norm(node, sum, other.activation)? {
                return Ok(());
            }
        }
        self.push(node, Layer::Add, vec![a.activation, b.activation], a.extent, a.flat);
        Ok(())
    }

    /// Lets the BatchNorm that computes `node`'s input `index` add `other` as well, where it has
    /// no activation and nobody else reads its output: the end of an inverted residual.
    fn add_to_norm(&mut self, node: &Node, index: usize, other: usize) -> Result<bool> {
        let id = node.input(index)?;
        let own = self.input(node, index)?;
        let made = self.producers[id.index()].map(|at| &self.graph.nodes[at].op);
        let alone = self.consumers[id.index()].len() == 1
            && matches!(made, Some(Op::BatchNorm { .. }))
            && !self.graph.is_output(id);
        let steps = &mut self.out.steps;
        let made_by = |activation: usize| steps.iter().position(|s| s.output == activation);
        // `other` must be there when the BatchNorm runs.
        let (Some(at), before) = (made_by(own.activation), made_by(other)) else {
            return Ok(false);
        };
        let Step { layer: Layer::Norm(norm), inputs, .. } = &mut steps[at] else {
            return Ok(false);
        };
        if !alone || norm.clamp.is_some() || norm.residual || before.is_some_and(|b| b >= at) {
            return Ok(false);
        }
        norm.residual = true;
        inputs.push(other);
        self.define(node.output(), own);
        Ok(true)
    }

    fn concat(&mut self, node: &Node) -> Result<()> {
        let inputs: Result<Vec<Seen>> =
            (0..node.inputs.len()).map(|i| self.image(node, i)).collect();
        let inputs = inputs?;
        let out = self.output_extent(node)?;
        let widths = inputs.iter().map(|x| x.extent.c).collect();
        let layer = Layer::Concat(Concat::new(self.batch, out.pixels(), widths));
        self.push(node, layer, inputs.iter().map(|x| x.activation).collect(), out, false);
        Ok(())
    }

    fn pool_shape(&self, node: &Node, pool: &Pool) -> Result<ConvShape> {
        let (x, out) = (self.image(node, 0)?.extent, self.output_extent(node)?);
        Ok(self.shape(x, out, &pool.window, x.c))
    }

    fn shape(&self, x: Extent, out: Extent, window: &Window, groups: usize) -> ConvShape {
        ConvShape {
            n: self.batch,
            h: x.h,
            w: x.w,
            cin: x.c,
            oh: out.h,
            ow: out.w,
            cout: out.c,
            kh: window.kernel[0],
            kw: window.kernel[1],
            sh: window.strides[0],
            sw: window.strides[1],
            dh: window.dilations[0],
            dw: window.dilations[1],
            pt: window.pads[0],
            pl: window.pads[1],
            groups,
        }
    }

    fn global_pool(&mut self, node: &Node) -> Result<()> {
        let x = self.image(node, 0)?.extent;
        let pool = GlobalAveragePool { pixels: x.pixels(), c: x.c };
        self.image_layer(node, Layer::GlobalAveragePool(pool))
    }

    /// A reshape that keeps images apart: `[n, c, h, w]` to `[n, c*h*w]`, or between `[n, c]` and
    /// `[n, c, 1, 1]`.
    fn flatten(&mut self, node: &Node) -> Result<()> {
        let x = self.input(node, 0)?;
        let shape = |id: ValueId| self.graph.value(id).shape.dims();
        let (from, to) = (shape(node.input(0)?), shape(node.output()));
        let out = self.output_extent(node)?;
        let row = out.pixels() == 1 && out.c == x.extent.len();
        if from[0] != to[0] || !row {
            return Err(TrainError::unsupported(
                node,
                "must make one row of each image, or keep [n, c, 1, 1] as it is",
            ));
        }
        self.define(node.output(), Seen { flat: true, ..x });
        Ok(())
    }
}
