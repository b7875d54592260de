//! Building graphs by code: what the zoo and the tests write networks with.
//!
//! Weights are drawn as they are created. Each tensor's generator is keyed by the seed and the
//! tensor's name, so that a layer's weights do not depend on the layers around it.
//!
//! Layers that hold weights are here and take a name; those without are in `functions` and derive
//! theirs from their input. `parts` has what other layers are made of.

mod functions;
mod parts;

use std::collections::HashMap;

use crate::rng::Rng;
use crate::{
    Binary, Conv, ConvTranspose, DType, Dim, Gemm, Graph, Op, Result, Shape, Tensor, ValueId,
    Window,
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
    /// Values whose names are derived, with the one of a named layer that they come from.
    derived: HashMap<ValueId, Derived>,
}

/// Where a derived name comes from.
#[derive(Clone, Copy, Debug)]
struct Derived {
    stem: ValueId,
    /// Layers without a name from there to here.
    depth: usize,
}

/// Layers without a name in a row that still take the name of the one before; so names are bounded.
const MAX_DERIVED: usize = 4;

impl Builder {
    /// An empty graph called `name` whose weights are drawn from `seed`.
    pub fn new(name: impl Into<String>, seed: u64) -> Builder {
        Builder { graph: Graph::new(name), seed, derived: HashMap::new() }
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

    /// A transposed convolution to `maps` channels, with weight `NAME.weight`
    /// `[c, maps / groups, kh, kw]`, normal with variance `2 / (maps / groups * kh * kw)`, and,
    /// where asked for, `NAME.bias` of zeros.
    pub fn conv_transpose(
        &mut self,
        x: ValueId,
        name: &str,
        maps: usize,
        attributes: ConvTranspose,
        bias: bool,
    ) -> Result<ValueId> {
        let channels = self.graph.value(x).shape.extent(1, name)?;
        let [height, width] = attributes.window.kernel;
        let own = maps / attributes.groups.max(1);
        let deviation = (2.0 / (own * height * width).max(1) as f32).sqrt();
        let shape = vec![channels, own, height, width];
        let mut inputs =
            vec![Some(x), Some(self.normal(&format!("{name}.weight"), shape, deviation)?)];
        if bias {
            inputs.push(Some(self.fill(&format!("{name}.bias"), maps, 0.0)));
        }
        self.graph.add_node(name, Op::ConvTranspose(attributes), &inputs)
    }

    /// A fully connected layer over the last dimension, `[..., c]` to `[..., out]`, as MatMul and
    /// Add: `NAME.weight` `[c, out]`, normal with deviation 0.02, and `NAME.bias` of zeros.
    pub fn dense(&mut self, x: ValueId, name: &str, out: usize) -> Result<ValueId> {
        let shape = &self.graph.value(x).shape;
        let features = shape.extent(shape.rank().saturating_sub(1), name)?;
        let weight = self.normal(&format!("{name}.weight"), vec![features, out], 0.02)?;
        let bias = self.fill(&format!("{name}.bias"), out, 0.0);
        let y =
            self.graph.add_node(format!("{name}.product"), Op::MatMul, &[Some(x), Some(weight)])?;
        self.graph.add_node(name, Op::Binary(Binary::Add), &[Some(y), Some(bias)])
    }

    /// Layer normalisation over the last dimension: scale `NAME.weight` 1 and `NAME.bias` 0.
    pub fn layer_norm(&mut self, x: ValueId, name: &str, epsilon: f32) -> Result<ValueId> {
        let shape = &self.graph.value(x).shape;
        let axis = shape.rank().saturating_sub(1);
        let features = shape.extent(axis, name)?;
        let weight = self.fill(&format!("{name}.weight"), features, 1.0);
        let bias = self.fill(&format!("{name}.bias"), features, 0.0);
        let inputs = [Some(x), Some(weight), Some(bias)];
        self.graph.add_node(name, Op::LayerNorm { axis, epsilon }, &inputs)
    }

    /// Group normalisation: scale `NAME.weight` 1 and `NAME.bias` 0, one for each channel.
    pub fn group_norm(
        &mut self,
        x: ValueId,
        name: &str,
        groups: usize,
        epsilon: f32,
    ) -> Result<ValueId> {
        let channels = self.graph.value(x).shape.extent(1, name)?;
        let weight = self.fill(&format!("{name}.weight"), channels, 1.0);
        let bias = self.fill(&format!("{name}.bias"), channels, 0.0);
        let inputs = [Some(x), Some(weight), Some(bias)];
        self.graph.add_node(name, Op::GroupNorm { groups, epsilon }, &inputs)
    }

    /// Relu with a learnt slope below zero for each channel of a map `[n, c, h, w]`: `NAME.weight`
    /// `[c, 1, 1]` of 0.25 (He et al. 2015).
    pub fn prelu(&mut self, x: ValueId, name: &str) -> Result<ValueId> {
        let channels = self.graph.value(x).shape.extent(1, name)?;
        let slope = Tensor::new([channels, 1, 1], vec![0.25f32; channels])?;
        let slope = self.constant(&format!("{name}.weight"), slope);
        self.graph.add_node(name, Op::Binary(Binary::PRelu), &[Some(x), Some(slope)])
    }

    /// Weights called `name`, normal with this standard deviation.
    pub fn weight(&mut self, name: &str, shape: &[usize], deviation: f32) -> Result<ValueId> {
        self.normal(name, shape.to_vec(), deviation)
    }

    /// Any operator; the name is derived from the first input's and `suffix`, or from the latest
    /// layer with a name that the inputs come from where the first one's is long.
    pub fn apply(&mut self, suffix: &str, op: Op, inputs: &[ValueId]) -> Result<ValueId> {
        let origin = |&x: &ValueId| *self.derived.get(&x).unwrap_or(&Derived { stem: x, depth: 0 });
        let first = inputs.first().map(|x| (*x, origin(x)));
        let latest = inputs.iter().map(|x| origin(x).stem).max_by_key(|stem| stem.index());
        let (from, origin) = match (first, latest) {
            (Some((_, origin)), Some(stem)) if origin.depth >= MAX_DERIVED => {
                (Some(stem), Some(Derived { stem, depth: 0 }))
            }
            (first, _) => first.unzip(),
        };
        let from = from.map_or("", |x| self.graph.value(x).name.as_str());
        let name = self.graph.unique_name(&format!("{from}.{suffix}"));
        let inputs: Vec<Option<ValueId>> = inputs.iter().map(|&x| Some(x)).collect();
        let y = self.graph.add_node(name, op, &inputs)?;
        self.derived.extend(origin.map(|o| (y, Derived { depth: o.depth + 1, ..o })));
        Ok(y)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_grow_with_the_depth() {
        let mut b = Builder::new("deep", 1);
        let mut x = b.input("x", ["n".into(), 4.into(), 2.into(), 2.into()]);
        for _ in 0..50 {
            let halves = b.split(x, 1, &[2, 2]).unwrap();
            x = b.concat(&[halves[1], halves[0]], 1).unwrap();
        }
        let y = b.conv(x, "conv", 4, Window::same(1, 1), 1, false).unwrap();
        let y = b.add(x, y).unwrap();
        let names = b.graph().nodes.iter().map(|node| node.name.as_str());
        assert!(names.clone().all(|name| name.len() < 40), "{:?}", names.max());
        assert_eq!(b.graph().value(y).name, "conv.add");
    }
}
