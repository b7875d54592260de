//! QDQ graphs by hand, and their literal execution.

#![allow(dead_code)] // each test binary uses its own part

use super::{kinds, plan, run_everywhere, same_bits};
use edgecut_graph::rng::Rng;
use edgecut_graph::{Conv, DType, Data, Graph, Op, Shape, Tensor, ValueId, Window, interpret};
use edgecut_kernels::Isa;
use edgecut_testkit::random_tensor;

/// Builds QDQ graphs by hand. All randomness comes from one generator.
pub struct Qdq {
    pub graph: Graph,
    pub rng: Rng,
    /// uint8 or int8 activations.
    dtype: DType,
    per_channel: bool,
}

impl Qdq {
    pub fn new(seed: u64) -> Qdq {
        let mut rng = Rng::new(seed);
        let dtype = if rng.below(2) == 0 { DType::U8 } else { DType::I8 };
        let per_channel = rng.below(2) == 0;
        Qdq { graph: Graph::new("qdq"), rng, dtype, per_channel }
    }

    pub fn input(&mut self, shape: &[usize]) -> ValueId {
        let name = self.graph.unique_name("x");
        self.graph.add_input(name, DType::F32, Shape::fixed(shape))
    }

    pub fn node(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        let name = self.graph.unique_name(op.name());
        let inputs: Vec<Option<ValueId>> = inputs.iter().copied().map(Some).collect();
        self.graph.add_node(name, op, &inputs).unwrap()
    }

    pub fn constant(&mut self, tensor: Tensor) -> ValueId {
        let name = self.graph.unique_name("k");
        self.graph.add_constant(name, tensor)
    }

    pub fn zero(&mut self) -> Tensor {
        let q = self.rng.below(256) as u8;
        let data: Data = match self.dtype {
            DType::U8 => vec![q].into(),
            _ => vec![q as i8].into(),
        };
        Tensor::new([], data).unwrap()
    }

    /// Parameters that map the numbers of a few units around zero to most codes.
    pub fn parameters(&mut self, reach: f32) -> (ValueId, ValueId) {
        let scale = Tensor::scalar(self.rng.range(0.5, 1.5) * reach / 128.0);
        let zero = self.zero();
        (self.constant(scale), self.constant(zero))
    }

    /// Quantize and Dequantize; both values.
    pub fn requantise(&mut self, x: ValueId, reach: f32) -> (ValueId, ValueId) {
        let (scale, zero) = self.parameters(reach);
        let q = self.node(Op::Quantize { axis: 1 }, &[x, scale, zero]);
        (q, self.node(Op::Dequantize { axis: 1 }, &[q, scale, zero]))
    }

    /// An 8-bit value made from a new input, and its dequantisation.
    pub fn quantised_input(&mut self, shape: &[usize]) -> ValueId {
        let x = self.input(shape);
        self.requantise(x, 3.0).1
    }

    /// Dequantised int8 weights with output channels along `axis`, and int32 or float bias.
    pub fn layer(&mut self, shape: &[usize], axis: usize, x_scale: f32) -> (ValueId, ValueId) {
        let (len, m) = (shape.iter().product::<usize>(), shape[axis]);
        let codes: Vec<i8> = (0..len).map(|_| self.rng.below(255) as i8).collect();
        let count = if self.per_channel { m } else { 1 };
        let scales: Vec<f32> = (0..count).map(|_| self.rng.range(0.002, 0.02)).collect();
        let bias: Vec<i32> = (0..m).map(|_| self.rng.below(4000) as i32 - 2000).collect();
        let bias_scales: Vec<f32> = scales.iter().map(|s| s * x_scale).collect();
        let vector = |v: Vec<f32>, one: bool| match one {
            true => Tensor::scalar(v[0]),
            false => Tensor::vector(v),
        };
        let codes = self.constant(Tensor::new(shape, codes).unwrap());
        let float_bias = bias.iter().enumerate().map(|(c, &b)| b as f32 * bias_scales[c % count]);
        let float_bias = Tensor::vector(float_bias.collect::<Vec<f32>>());
        let scale = self.constant(vector(scales, count == 1));
        let w = self.node(Op::Dequantize { axis }, &[codes, scale]);
        if self.rng.below(2) == 0 {
            return (w, self.constant(float_bias));
        }
        let bias = self.constant(Tensor::vector(bias));
        let bias_scale = self.constant(vector(bias_scales, count == 1));
        (w, self.node(Op::Dequantize { axis: 0 }, &[bias, bias_scale]))
    }

    /// The scale of a dequantised value, which other nodes may have moved.
    pub fn scale_of(&self, mut value: ValueId) -> f32 {
        let producers = self.graph.producers();
        loop {
            let node = &self.graph.nodes[producers[value.index()].unwrap()];
            if matches!(node.op, Op::Dequantize { .. }) {
                let scale = self.graph.constant(node.inputs[1].unwrap());
                return scale.unwrap().f32s().unwrap()[0];
            }
            value = node.inputs[0].unwrap();
        }
    }

    pub fn conv(&mut self, x: ValueId, m: usize, window: Window, groups: usize) -> ValueId {
        let c = self.graph.value(x).shape.to_fixed().unwrap()[1];
        let [kh, kw] = window.kernel;
        let (w, b) = self.layer(&[m, c / groups, kh, kw], 0, self.scale_of(x));
        self.node(Op::Conv(Conv { window, groups }), &[x, w, b])
    }

    pub fn finish(mut self, outputs: &[ValueId]) -> Graph {
        self.graph.outputs = outputs.to_vec();
        self.graph.validate().unwrap();
        self.graph
    }
}

pub fn inputs(graph: &Graph, seed: u64) -> Vec<Tensor> {
    let shapes = graph.inputs.iter().map(|&i| graph.value(i).shape.to_fixed().unwrap());
    shapes.enumerate().map(|(i, s)| random_tensor(&s, seed * 31 + i as u64)).collect()
}

/// Runs `graph`, whose outputs are 8-bit, and asserts that no code differs from the interpreter's
/// by more than one and almost all are equal.
pub fn within_one(graph: &Graph, seed: u64, context: &str) -> Vec<Tensor> {
    let inputs = inputs(graph, seed);
    let expected = interpret::run(graph, &inputs).unwrap();
    let outputs = run_everywhere(graph, &inputs, context);
    for (output, expected) in outputs.iter().zip(&expected) {
        assert_eq!((output.dtype(), output.shape()), (expected.dtype(), expected.shape()));
        let (a, b) = (output.to_i64().unwrap(), expected.to_i64().unwrap());
        let differ = a.iter().zip(&b).filter(|(a, b)| a != b).count();
        let worst = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).max().unwrap();
        assert!(worst <= 1, "{context}: a code differs by {worst}");
        assert!(differ * 100 <= a.len() + 100, "{context}: {differ} of {} codes differ", a.len());
    }
    outputs
}

/// As [`within_one`], for graphs where only codes are moved or looked up.
pub fn exact(graph: &Graph, seed: u64, context: &str) {
    let inputs = inputs(graph, seed);
    let expected = interpret::run(graph, &inputs).unwrap();
    let outputs = run_everywhere(graph, &inputs, context);
    let same = outputs.iter().zip(&expected).all(|(a, b)| same_bits(a, b));
    assert!(same, "{context}: differs from literal execution");
}

pub fn integer_only(graph: &Graph) -> bool {
    let plan = plan(graph, 1, Isa::detect());
    let free = ["quantize", "layout", "dequantize", "chain"];
    kinds(&plan).iter().all(|k| k.ends_with("int8") || free.contains(k))
}
