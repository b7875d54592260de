//! Random nets of all kinds of layers against PyTorch's autograd in float64.
//!
//! The generator writes each layer twice, as a node of a graph and as a line of Python, so that what
//! an operator means is said independently of its implementation here.

use edgecut_graph::rng::Rng;
use edgecut_graph::{
    Binary, Builder, ConvTranspose, Graph, Op, Pool, ReshapeDim, Tensor, Unary, ValueId, Window,
};
use edgecut_kernels::{Isa, Pool as Threads};
use edgecut_testkit::{Python, randomise_statistics};
use edgecut_train::engine::Engine;
use edgecut_train::params::Kind;
use edgecut_train::plan::TrainPlan;

const NETS: usize = 50;
const BATCH: usize = 4;
const CLASSES: usize = 5;
const SMOOTHING: f32 = 0.1;

/// A net under construction, and the program that computes the same.
struct Net {
    b: Builder,
    rng: Rng,
    program: String,
    /// Values of the graph and their names in the program.
    values: Vec<(ValueId, String)>,
    layers: usize,
}

impl Net {
    fn new(seed: u64) -> Net {
        let mut b = Builder::new(format!("net {seed}"), seed);
        let x = b.input("x", ["n".into(), 3.into(), 8.into(), 8.into()]);
        let rng = Rng::keyed(&[seed, 0x6e65_7473]);
        Net { b, rng, program: String::new(), values: vec![(x, "x".into())], layers: 0 }
    }

    fn last(&self) -> (ValueId, String) {
        self.values[self.values.len() - 1].clone()
    }

    fn shape(&self, value: ValueId) -> Vec<usize> {
        self.b.graph().value(value).shape.with_symbols(1)
    }

    /// A name for a layer with weights.
    fn name(&mut self) -> String {
        self.layers += 1;
        format!("layer{}", self.layers)
    }

    fn set(&mut self, value: ValueId, python: String) {
        let name = format!("v{}", self.values.len());
        self.program.push_str(&format!("{name} = {python}\n"));
        self.values.push((value, name));
    }

    fn apply(&mut self, op: Op, inputs: &[ValueId], python: String) {
        let y = self.b.apply("layer", op, inputs).unwrap();
        self.set(y, python);
    }

    fn conv(&mut self) {
        let ((x, v), name) = (self.last(), self.name());
        let c = self.shape(x)[1];
        let (maps, groups) = match self.rng.below(4) {
            0 => (c, c),
            1 if c.is_multiple_of(2) => (2 * (1 + self.rng.below(4)), 2),
            _ => (2 + self.rng.below(7), 1),
        };
        let kernel = [1, 3][self.rng.below(2)];
        let stride = if self.shape(x)[2] > 4 { 1 + self.rng.below(2) } else { 1 };
        let y = self.b.conv(x, &name, maps, Window::same(kernel, stride), groups, true).unwrap();
        let pad = kernel / 2;
        self.set(
            y,
            format!(
                "F.conv2d({v}, p('{name}.weight'), p('{name}.bias'), {stride}, {pad}, 1, {groups})"
            ),
        );
    }

    fn conv_transpose(&mut self) {
        let ((x, v), name) = (self.last(), self.name());
        let (stride, extra) = if self.shape(x)[2] <= 4 { (2, 1) } else { (1, 0) };
        let window = Window::same(3, stride);
        let attributes = ConvTranspose { window, groups: 1, output_padding: [extra; 2] };
        let y = self.b.conv_transpose(x, &name, 2 + self.rng.below(4), attributes, true).unwrap();
        self.set(y, format!(
            "F.conv_transpose2d({v}, p('{name}.weight'), p('{name}.bias'), {stride}, 1, {extra})"
        ));
    }

    fn norm(&mut self) {
        let ((x, v), name) = (self.last(), self.name());
        let c = self.shape(x)[1];
        let affine = format!("p('{name}.weight'), p('{name}.bias')");
        if self.rng.below(2) == 0 {
            let y = self.b.batch_norm(x, &name).unwrap();
            self.set(y, format!("F.batch_norm({v}, None, None, {affine}, True, 0.1, 1e-5)"));
        } else {
            let groups = if c.is_multiple_of(2) { 2 } else { 1 };
            let y = self.b.group_norm(x, &name, groups, 1e-3).unwrap();
            self.set(y, format!("F.group_norm({v}, {groups}, {affine}, 1e-3)"));
        }
    }

    fn activation(&mut self) {
        let (x, v) = self.last();
        let functions = [
            (Unary::Relu, "F.relu"),
            (Unary::Clip { min: 0.0, max: 6.0 }, "F.relu6"),
            (Unary::HardSwish, "F.hardswish"),
            (Unary::Silu, "F.silu"),
            (Unary::Sigmoid, "torch.sigmoid"),
            (Unary::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 }, "F.hardsigmoid"),
            (Unary::Gelu { tanh: false }, "F.gelu"),
            (Unary::Mish, "F.mish"),
            (Unary::Elu { alpha: 1.0 }, "F.elu"),
            (Unary::Tanh, "torch.tanh"),
            (Unary::Softplus, "F.softplus"),
        ];
        let (function, python) = functions[self.rng.below(functions.len())];
        self.apply(Op::Unary(function), &[x], format!("{python}({v})"));
    }

    fn prelu(&mut self) {
        let ((x, v), name) = (self.last(), self.name());
        let y = self.b.prelu(x, &name).unwrap();
        self.set(y, format!("torch.where({v} >= 0, {v}, {v} * p('{name}.weight'))"));
    }

    /// Squeeze and excitation.
    fn squeeze(&mut self) {
        let ((x, v), name) = (self.last(), self.name());
        let c = self.shape(x)[1];
        let pooled = self.b.global_average_pool(x).unwrap();
        let gate = self.b.conv(pooled, &name, c, Window::new([1, 1], [1, 1]), 1, true).unwrap();
        let gate = self.b.hard_sigmoid(gate).unwrap();
        let y = self.b.mul(x, gate).unwrap();
        self.set(
            y,
            format!(
                "{v} * F.hardsigmoid(F.conv2d({v}.mean((2, 3), keepdim=True), \
             p('{name}.weight'), p('{name}.bias')))"
            ),
        );
    }

    /// The halves of the channels, one of them convolved, joined and shuffled.
    fn shuffle_unit(&mut self) {
        let ((x, v), name) = (self.last(), self.name());
        let c = self.shape(x)[1];
        if !c.is_multiple_of(2) {
            return self.activation();
        }
        let halves = self.b.split(x, 1, &[c / 2, c / 2]).unwrap();
        let y = self.b.conv(halves[1], &name, c / 2, Window::same(3, 1), c / 2, true).unwrap();
        let y = self.b.concat(&[halves[0], y], 1).unwrap();
        let y = self.b.channel_shuffle(y, 2).unwrap();
        let half = c / 2;
        self.set(
            y,
            format!(
                "torch.cat([{v}[:, :{half}], F.conv2d({v}[:, {half}:], p('{name}.weight'), \
             p('{name}.bias'), 1, 1, 1, {half})], 1).unflatten(1, (2, {half})).transpose(1, 2)\
             .flatten(1, 2)"
            ),
        );
    }

    fn pool(&mut self) {
        let (x, v) = self.last();
        if self.shape(x)[2] < 4 {
            return self.activation();
        }
        let (window, ceil_mode) = (Window::same(3, 2), false);
        match self.rng.below(3) {
            0 => {
                let y = self.b.max_pool(x, window).unwrap();
                self.set(y, format!("F.max_pool2d({v}, 3, 2, 1)"));
            }
            i => {
                let count_include_pad = i == 1;
                let pool = Pool { window, ceil_mode, count_include_pad };
                let python = if count_include_pad { "True" } else { "False" };
                let python = format!("F.avg_pool2d({v}, 3, 2, 1, False, {python})");
                self.apply(Op::AveragePool(pool), &[x], python);
            }
        }
    }

    fn resample(&mut self) {
        let (x, v) = self.last();
        if self.shape(x)[2] > 4 {
            return self.activation();
        }
        if self.rng.below(2) == 0 {
            let y = self.b.upsample_nearest(x, 2).unwrap();
            self.set(y, format!("F.interpolate({v}, scale_factor=2)"));
        } else {
            let y = self.b.upsample_bilinear(x, 2).unwrap();
            self.set(y, format!("F.interpolate({v}, scale_factor=2, mode='bilinear')"));
        }
    }

    fn pad(&mut self) {
        let (x, v) = self.last();
        let y = self.b.pad(x, [1, 0, 0, 1]).unwrap();
        self.set(y, format!("F.pad({v}, (0, 1, 1, 0))"));
    }

    /// The sum, product or concatenation with an earlier value of the same shape.
    fn join(&mut self) {
        let (x, v) = self.last();
        let shape = self.shape(x);
        let same =
            |(y, _): &&(ValueId, String)| self.b.graph().value(*y).shape.with_symbols(1) == shape;
        let fitting: Vec<_> = self.values.iter().filter(same).cloned().collect();
        let (y, w) = fitting[self.rng.below(fitting.len())].clone();
        match self.rng.below(3) {
            0 => self.apply(Op::Binary(Binary::Add), &[x, y], format!("{v} + {w}")),
            1 => {
                let gate = self.b.unary(Unary::Tanh, y).unwrap();
                let python = format!("{v} * torch.tanh({w})");
                self.apply(Op::Binary(Binary::Mul), &[x, gate], python);
            }
            _ => self.apply(Op::Concat { axis: 1 }, &[x, y], format!("torch.cat([{v}, {w}], 1)")),
        }
    }

    /// From a map `[n, c, h, w]` to tokens `[n, h * w, c]`.
    fn tokens(&mut self) {
        let (x, v) = self.last();
        let shape = self.shape(x);
        let dims = [ReshapeDim::Copy, ReshapeDim::Copy, ReshapeDim::Fixed(shape[2] * shape[3])];
        let y = self.b.reshape(x, &dims).unwrap();
        let y = self.b.transpose(y, &[0, 2, 1]).unwrap();
        self.set(y, format!("{v}.flatten(2).transpose(1, 2)"));
    }

    fn dense(&mut self) {
        let ((x, v), name) = (self.last(), self.name());
        let y = self.b.dense(x, &name, 2 + self.rng.below(8)).unwrap();
        self.set(y, format!("{v} @ p('{name}.weight') + p('{name}.bias')"));
    }

    fn layer_norm(&mut self) {
        let ((x, v), name) = (self.last(), self.name());
        let c = self.shape(x)[2];
        let y = self.b.layer_norm(x, &name, 1e-3).unwrap();
        let affine = format!("p('{name}.weight'), p('{name}.bias')");
        self.set(y, format!("F.layer_norm({v}, ({c},), {affine}, 1e-3)"));
    }

    /// Attention with two heads of width 3, and the residual.
    fn attention(&mut self) {
        let ((x, v), name) = (self.last(), self.name());
        let (length, c) = (self.shape(x)[1], self.shape(x)[2]);
        let joint = self.b.dense(x, &format!("{name}.qkv"), 18).unwrap();
        let fixed = ReshapeDim::Fixed;
        let dims = [ReshapeDim::Copy, fixed(length), fixed(3), fixed(2), fixed(3)];
        let joint = self.b.reshape(joint, &dims).unwrap();
        // The batch is no longer the first dimension.
        let joint = self.b.transpose(joint, &[2, 0, 3, 1, 4]).unwrap();
        let parts = [0i64, 1, 2].map(|i| {
            let at = Tensor::new([], vec![i]).unwrap();
            let at = self.b.constant(&format!("{name}.at{i}"), at);
            self.b.apply("part", Op::Gather { axis: 0 }, &[joint, at]).unwrap()
        });
        let keys = self.b.transpose(parts[1], &[0, 1, 3, 2]).unwrap();
        let scores = self.b.mat_mul(parts[0], keys).unwrap();
        let weights = self.b.softmax(scores, 3).unwrap();
        let y = self.b.mat_mul(weights, parts[2]).unwrap();
        let y = self.b.transpose(y, &[0, 2, 1, 3]).unwrap();
        let y = self.b.reshape(y, &[ReshapeDim::Copy, fixed(length), fixed(6)]).unwrap();
        let y = self.b.dense(y, &format!("{name}.out"), c).unwrap();
        let y = self.b.add(x, y).unwrap();
        self.program.push_str(&format!(
            "q, k, w = ({v} @ p('{name}.qkv.weight') + p('{name}.qkv.bias'))\
             .reshape(-1, {length}, 3, 2, 3).permute(2, 0, 3, 1, 4)\n\
             a = (torch.softmax(q @ k.transpose(2, 3), 3) @ w).transpose(1, 2).flatten(2)\n"
        ));
        self.set(y, format!("{v} + a @ p('{name}.out.weight') + p('{name}.out.bias')"));
    }

    fn map_layer(&mut self) {
        match self.rng.below(14) {
            0..3 => self.conv(),
            3 => self.conv_transpose(),
            4 | 5 => self.norm(),
            6 => self.activation(),
            7 => self.prelu(),
            8 => self.squeeze(),
            9 => self.shuffle_unit(),
            10 => self.pool(),
            11 => self.resample(),
            12 => self.pad(),
            _ => self.join(),
        }
    }

    fn token_layer(&mut self) {
        match self.rng.below(5) {
            0 => self.dense(),
            1 => self.layer_norm(),
            2 => self.attention(),
            3 => self.activation(),
            _ => self.join_tokens(),
        }
    }

    fn join_tokens(&mut self) {
        let (x, v) = self.last();
        let y = self.b.concat(&[x, x], 1).unwrap();
        self.set(y, format!("torch.cat([{v}, {v}], 1)"));
    }

    fn finish(mut self) -> (Graph, String) {
        for _ in 0..4 + self.rng.below(6) {
            self.map_layer();
        }
        if self.rng.below(2) == 0 {
            self.tokens();
            for _ in 0..1 + self.rng.below(4) {
                self.token_layer();
            }
        }
        let (x, v) = self.last();
        let axes: &[usize] = if self.shape(x).len() == 4 { &[2, 3] } else { &[1] };
        let y = self.b.mean(x, axes).unwrap();
        let y = self.b.linear(y, "classifier", CLASSES).unwrap();
        let axes = if axes.len() == 2 { "(2, 3)" } else { "1" };
        self.program.push_str(&format!(
            "out = F.linear({v}.mean({axes}), p('classifier.weight'), p('classifier.bias'))\n"
        ));
        let mut graph = self.b.finish(&[y]).unwrap();
        randomise_statistics(&mut graph, 3);
        (graph, self.program)
    }
}

/// A random net.
pub fn graph(seed: u64) -> Graph {
    Net::new(seed).finish().0
}

/// Loss and gradients by name.
fn own(graph: &Graph, x: &[f32], labels: &[u32]) -> (f64, Vec<(String, Tensor)>) {
    let plan = TrainPlan::new(graph, BATCH).unwrap_or_else(|e| panic!("{}: {e}", graph.name));
    let mut engine = Engine::new(plan, Threads::new(2), Isa::detect());
    // From NCHW.
    let nhwc = |i: usize| x[i / 192 * 192 + i % 3 * 64 + i / 3 % 64];
    let nhwc: Vec<f32> = (0..x.len()).map(nhwc).collect();
    engine.forward(&nhwc, BATCH, true);
    let loss = engine.loss(labels, SMOOTHING);
    engine.backward();
    let params = engine.params();
    let trained = params.names().filter(|(_, kind, _)| *kind != Kind::Statistic);
    let gradients = trained.map(|(name, _, _)| {
        let id = graph.find_value(name).unwrap();
        let shape = graph.constant(id).unwrap().shape();
        let own = params.to_onnx(name, engine.gradients()).unwrap();
        (name.to_string(), Tensor::new(shape, own).unwrap())
    });
    (loss, gradients.collect())
}

#[test]
fn gradients_agree_with_pytorch() {
    let Some(python) = Python::with(&["torch"]) else { return };
    let nets: Vec<(Graph, String)> = (0..NETS).map(|i| Net::new(i as u64).finish()).collect();
    let mut rng = Rng::new(17);
    let labels: Vec<u32> = (0..BATCH).map(|_| rng.below(CLASSES) as u32).collect();
    let images: Vec<Tensor> = (0..NETS)
        .map(|_| {
            let x: Vec<f32> = (0..BATCH * 192).map(|_| rng.normal()).collect();
            Tensor::new([BATCH, 3, 8, 8], x).unwrap()
        })
        .collect();
    let wide = labels.iter().map(|&l| i64::from(l)).collect::<Vec<_>>();
    let mut inputs = vec![("labels".to_string(), Tensor::vector(wide))];
    for (i, ((graph, _), image)) in nets.iter().zip(&images).enumerate() {
        inputs.push((format!("{i}.x"), image.clone()));
        let constants = graph.values().iter().filter_map(|v| Some((&v.name, v.constant.as_ref()?)));
        inputs.extend(constants.map(|(name, t)| (format!("{i}.{name}"), t.clone())));
    }
    let inputs: Vec<(&str, &Tensor)> = inputs.iter().map(|(n, t)| (n.as_str(), t)).collect();
    let programs: Vec<&str> = nets.iter().map(|(_, program)| program.as_str()).collect();
    let peer = python.run(include_str!("peers/autograd.py"), &programs, &inputs).unwrap();
    for (i, ((graph, program), image)) in nets.iter().zip(&images).enumerate() {
        let (loss, gradients) = own(graph, image.f32s().unwrap(), &labels);
        let expected = peer[&format!("{i}.loss")].to_f32()[0];
        assert!((loss - f64::from(expected)).abs() < 1e-4 * loss, "{program}{loss}, {expected}");
        let of = |name: &str| peer.get(&format!("{i}.grad.{name}"));
        let largest = |t: &Tensor| t.to_f32().iter().fold(0f32, |m, v| m.max(v.abs()));
        let scale = gradients.iter().filter_map(|(n, _)| of(n)).map(largest).fold(0.0, f32::max);
        for (name, own) in &gradients {
            let expected = of(name).unwrap_or_else(|| panic!("{program}{name} is no parameter"));
            // Some vanish in theory, such as that of a bias before BatchNorm.
            let bound = 1e-4 * largest(expected) + 1e-6 * scale;
            let error = edgecut_testkit::max_abs_diff(own, expected);
            assert!(error <= bound, "{program}{name}: {error} of {}", largest(expected));
        }
    }
}
