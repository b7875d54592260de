//! Building graphs by code: what the zoo and the tests write networks with.
//!
//! Weights are drawn as they are created. Each tensor's generator is keyed by the seed and the
//! tensor's name, so that a layer's weights do not depend on the layers around it.

use crate::rng::Rng;
use crate::{
    Binary, Conv, DType, Dim, Gemm, Graph, Op, Pool, Result, Shape, Tensor, ValueId, Window,
};

/// Builds a [`Graph`] layer by layer. Names given to layers must be unique; layers without a
/// name derive one from their input.
///
/// ```
/// use edgecut_graph::{Builder, Window};
/// let mut b = Builder::new("tiny", 1);
/// let x = b.input("image", ["n".into(), 3.into(), 8.into(), 8.into()]);
/// let x = b.conv(x, "stem", 4, Window::same(3, 2), 1, false)?;
/// let x = b.batch_norm(x, "stem_bn")?;
/// let x = b.relu6(x)?;
/// let x = b.global_average_pool(x)?;
/// let x = b.flatten(x)?;
/// let x = b.linear(x, "classifier", 10)?;
/// let graph = b.finish(&[x])?;
/// assert_eq!(graph.value(graph.outputs[0]).shape.to_string(), "[n, 10]");
/// # Ok::<(), edgecut_graph::GraphError>(())
/// ```
#[derive(Debug)]
pub struct Builder {
    graph: Graph,
    seed: u64,
}

impl Builder {
    /// An empty graph called `name` whose weights are drawn from `seed`.
    pub fn new(name: impl Into<String>, seed: u64) -> Builder {
        Builder { graph: Graph::new(name), seed }
    }

    /// The graph so far.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Adds a float32 input, `[n, c, h, w]` for images; the batch may be a symbol.
    pub fn input(&mut self, name: &str, dims: impl Into<Vec<Dim>>) -> ValueId {
        self.graph.add_input(name, DType::F32, Shape::new(dims.into()))
    }

    /// A convolution to `maps` channels, with weight `NAME.weight` `[maps, c / groups, kh, kw]`
    /// and, where asked for, `NAME.bias` of zeros.
    ///
    /// Weights are Kaiming normal over the fan-out (He et al. 2015, as in MobileNet training):
    /// variance `2 / (maps / groups * kh * kw)`.
    pub fn conv(
        &mut self,
        x: ValueId,
        name: &str,
        maps: usize,
        window: Window,
        groups: usize,
        bias: bool,
    ) -> Result<ValueId> {
        let channels = self.graph.value(x).shape.extent(1, name)?;
        let [height, width] = window.kernel;
        // Bad groups are reported by shape inference below.
        let divisor = groups.max(1);
        let fan_out = (maps / divisor * height * width).max(1);
        let deviation = (2.0 / fan_out as f32).sqrt();
        let shape = vec![maps, channels / divisor, height, width];
        let mut inputs =
            vec![Some(x), Some(self.normal(&format!("{name}.weight"), shape, deviation)?)];
        if bias {
            inputs.push(Some(self.fill(&format!("{name}.bias"), maps, 0.0)));
        }
        self.graph.add_node(name, Op::Conv(Conv { window, groups }), &inputs)
    }

    /// Batch normalisation with epsilon 1e-5 and momentum 0.9: scale `NAME.weight` 1, `NAME.bias`
    /// 0, `NAME.running_mean` 0, `NAME.running_var` 1.
    pub fn batch_norm(&mut self, x: ValueId, name: &str) -> Result<ValueId> {
        let channels = self.graph.value(x).shape.extent(1, name)?;
        let mut inputs = vec![Some(x)];
        let parts = [("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)];
        for (part, value) in parts {
            inputs.push(Some(self.fill(&format!("{name}.{part}"), channels, value)));
        }
        self.graph.add_node(name, Op::BatchNorm { epsilon: 1e-5, momentum: 0.9 }, &inputs)
    }

    /// A fully connected layer from `[n, c]` to `[n, out]`: `NAME.weight` `[out, c]`, normal with
    /// deviation 0.01, and `NAME.bias` of zeros.
    pub fn linear(&mut self, x: ValueId, name: &str, out: usize) -> Result<ValueId> {
        let features = self.graph.value(x).shape.extent(1, name)?;
        let weight = self.normal(&format!("{name}.weight"), vec![out, features], 0.01)?;
        let bias = self.fill(&format!("{name}.bias"), out, 0.0);
        let gemm = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true };
        self.graph.add_node(name, Op::Gemm(gemm), &[Some(x), Some(weight), Some(bias)])
    }

    /// Clamps to [0, 6].
    pub fn relu6(&mut self, x: ValueId) -> Result<ValueId> {
        self.apply("relu6", Op::RELU6, &[x])
    }

    /// Clamps to [0, inf).
    pub fn relu(&mut self, x: ValueId) -> Result<ValueId> {
        self.apply("relu", Op::RELU, &[x])
    }

    /// `a + b`, broadcast.
    pub fn add(&mut self, a: ValueId, b: ValueId) -> Result<ValueId> {
        self.apply("add", Op::Binary(Binary::Add), &[a, b])
    }

    /// Largest element of each window.
    pub fn max_pool(&mut self, x: ValueId, window: Window) -> Result<ValueId> {
        let pool = Pool { window, ceil_mode: false, count_include_pad: false };
        self.apply("max_pool", Op::MaxPool(pool), &[x])
    }

    /// Mean of each window; padding does not count.
    pub fn average_pool(&mut self, x: ValueId, window: Window) -> Result<ValueId> {
        let pool = Pool { window, ceil_mode: false, count_include_pad: false };
        self.apply("average_pool", Op::AveragePool(pool), &[x])
    }

    /// Mean over height and width, kept as 1x1.
    pub fn global_average_pool(&mut self, x: ValueId) -> Result<ValueId> {
        self.apply("global_average_pool", Op::GlobalAveragePool, &[x])
    }

    /// `[n, ...]` to `[n, product of the rest]`.
    pub fn flatten(&mut self, x: ValueId) -> Result<ValueId> {
        self.apply("flatten", Op::Flatten { axis: 1 }, &[x])
    }

    /// Joins values along `axis`.
    pub fn concat(&mut self, values: &[ValueId], axis: usize) -> Result<ValueId> {
        self.apply("concat", Op::Concat { axis }, values)
    }

    /// Any operator; the name is derived from the first input's and `suffix`.
    pub fn apply(&mut self, suffix: &str, op: Op, inputs: &[ValueId]) -> Result<ValueId> {
        let stem = inputs.first().map_or("", |&x| self.graph.value(x).name.as_str());
        let name = self.graph.unique_name(&format!("{stem}.{suffix}"));
        let inputs: Vec<Option<ValueId>> = inputs.iter().map(|&x| Some(x)).collect();
        self.graph.add_node(name, op, &inputs)
    }

    /// A stored tensor called `name`.
    pub fn constant(&mut self, name: &str, tensor: Tensor) -> ValueId {
        self.graph.add_constant(name, tensor)
    }

    /// Names `value`; outputs are known to users by their names.
    pub fn rename(&mut self, value: ValueId, name: &str) {
        let name = self.graph.unique_name(name);
        self.graph.value_mut(value).name = name;
    }

    /// The graph, which returns `outputs`. Fails where it breaks an invariant of [`Graph`].
    pub fn finish(mut self, outputs: &[ValueId]) -> Result<Graph> {
        self.graph.outputs = outputs.to_vec();
        self.graph.validate()?;
        Ok(self.graph)
    }

    fn fill(&mut self, name: &str, len: usize, value: f32) -> ValueId {
        self.graph.add_constant(name, Tensor::vector(vec![value; len]))
    }

    fn normal(&mut self, name: &str, shape: Vec<usize>, deviation: f32) -> Result<ValueId> {
        let len = crate::checked_len(&shape, name)?;
        let mut rng = Rng::keyed(&[self.seed, name_key(name)]);
        let values: Vec<f32> = (0..len).map(|_| rng.normal() * deviation).collect();
        Ok(self.graph.add_constant(name, Tensor::new(shape, values)?))
    }
}

/// FNV-1a, 64 bits: a key that never changes between versions.
fn name_key(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
