//! Gradients of every operator against central differences of the reference interpreter.
//!
//! A case of the generator becomes a net: the elements of an image, each times a weight of 1, are
//! the operator's inputs, so that the gradients of those weights show the gradient of each input.
//! The loss is a projection of the operator's output. The interpreter rounds each result once, so
//! differences over 1/64 are right to about 1e-5 of the output; Richardson's extrapolation takes
//! care of the curvature. At a kink, any slope between those of the two sides is right.

use edgecut_graph::rng::Rng;
use edgecut_graph::{
    Conv, DType, Graph, Op, ReshapeDim, ScatterMode, Shape, Tensor, ValueId, Window, interpret,
};
use edgecut_kernels::{Isa, Pool};
use edgecut_testkit::{Case, Family};
use edgecut_train::TrainError;
use edgecut_train::engine::Engine;
use edgecut_train::params::Kind;
use edgecut_train::plan::{PlanOptions, TrainPlan};

const IMAGES: usize = 2;
const CLASSES: usize = 3;
const STEP: f32 = 1.0 / 64.0;
const TOLERANCE: f64 = 1e-3;

/// A net around an operator.
struct Net {
    graph: Graph,
    /// The operator's output.
    output: ValueId,
    /// One image after another.
    x: Vec<f32>,
    /// Elements of an image.
    len: usize,
}

/// Whether input `index` is weights by its nature: the trainer needs them constant.
fn is_weights(op: &Op, index: usize) -> bool {
    let weights = matches!(
        op,
        Op::Conv(_)
            | Op::ConvTranspose(_)
            | Op::BatchNorm { .. }
            | Op::LayerNorm { .. }
            | Op::InstanceNorm { .. }
            | Op::GroupNorm { .. }
    );
    weights && index > 0
}

/// The net of a case; with `constant`, the second input is weights where it may be.
fn net(case: &Case, seed: u64, constant: bool) -> Net {
    let mut rng = Rng::new(seed);
    let computed = |i: usize, t: &Tensor| {
        t.dtype() == DType::F32
            && !is_weights(&case.op, i)
            && !(constant && i == 1 && case.inputs.len() < 4)
    };
    let mut first: Vec<f32> = vec![];
    for (i, input) in case.inputs.iter().enumerate() {
        if let Some(t) = input.as_ref().filter(|t| computed(i, t)) {
            first.extend(t.f32s().unwrap());
        }
    }
    let len = first.len();
    let mut graph = Graph::new(format!("{:?}", case.op));
    let image = graph.add_input("image", DType::F32, Shape::fixed(&[1, len, 1, 1]));
    let ones = graph.add_constant("ones", Tensor::new([len, 1, 1, 1], vec![1f32; len]).unwrap());
    let conv = Op::Conv(Conv { window: Window::new([1, 1], [1, 1]), groups: len });
    let scaled = graph.add_node("scaled", conv, &[Some(image), Some(ones)]).unwrap();
    let mut inputs = vec![];
    let mut start = 0;
    for (i, input) in case.inputs.iter().enumerate() {
        let Some(tensor) = input else {
            inputs.push(None);
            continue;
        };
        if !computed(i, tensor) {
            inputs.push(Some(graph.add_constant(format!("constant{i}"), tensor.clone())));
            continue;
        }
        let cut = edgecut_graph::Cut { axis: 1, start, len: tensor.len(), step: 1 };
        let part =
            graph.add_node(format!("part{i}"), Op::Slice { cuts: vec![cut] }, &[Some(scaled)]);
        let dims = tensor.shape().iter().map(|&d| ReshapeDim::Fixed(d)).collect();
        let shaped = graph.add_node(format!("x{i}"), Op::Reshape { dims }, &[Some(part.unwrap())]);
        inputs.push(Some(shaped.unwrap()));
        start += tensor.len();
    }
    let output = graph.add_node("y", case.op.clone(), &inputs).unwrap();
    let mut end = output;
    if graph.value(output).dtype != DType::F32 {
        end = graph.add_node("float", Op::Cast { to: DType::F32 }, &[Some(end)]).unwrap();
    }
    let size: usize = graph.value(end).shape.with_symbols(1).iter().product();
    let dims = vec![ReshapeDim::Fixed(1), ReshapeDim::Fixed(size)];
    let row = graph.add_node("row", Op::Reshape { dims }, &[Some(end)]).unwrap();
    let weights = (0..CLASSES * size).map(|_| rng.normal()).collect::<Vec<f32>>();
    let weights = graph.add_constant("last", Tensor::new([size, CLASSES], weights).unwrap());
    let logits = graph.add_node("logits", Op::MatMul, &[Some(row), Some(weights)]).unwrap();
    graph.outputs = vec![logits];
    graph.validate().unwrap();
    let mut x = first.clone();
    for _ in 1..IMAGES {
        x.extend(first.iter().map(|v| v * rng.range(0.97, 1.03)));
    }
    Net { graph, output: end, x, len }
}

impl Net {
    /// The projection of the operator's output of all images, by `factors` for each image.
    fn loss(&self, graph: &Graph, factors: &[Vec<f64>]) -> f64 {
        let images = self.x.chunks(self.len);
        let term = |(image, factors): (&[f32], &Vec<f64>)| {
            let x = Tensor::new([1, self.len, 1, 1], image.to_vec()).unwrap();
            let y = &interpret::run(graph, &[x]).unwrap()[0];
            let products = y.to_f32().into_iter().zip(factors);
            products.map(|(y, f)| if *f == 0.0 { 0.0 } else { f64::from(y) * f }).sum::<f64>()
        };
        images.zip(factors).map(term).sum()
    }

    /// For each image, what each element of the operator's output counts in the loss.
    fn factors(&self, d_logits: &[f32]) -> Vec<Vec<f64>> {
        let last = self.graph.find_value("last").unwrap();
        let weights = self.graph.constant(last).unwrap().to_f32();
        let of = |d: &[f32]| {
            let rows = weights.chunks(CLASSES);
            let row = |w: &[f32]| w.iter().zip(d).map(|(w, d)| f64::from(*w) * f64::from(*d)).sum();
            rows.map(row).collect()
        };
        d_logits.chunks(CLASSES).map(of).collect()
    }
}

/// Checks the gradients of all parameters of a net; what was refused, otherwise.
fn check(net: &Net, seed: u64) -> Result<usize, TrainError> {
    let name = &net.graph.name;
    // The interpreter normalises by the statistics that are stored.
    let options = PlanOptions { fixed_statistics: true, ..PlanOptions::default() };
    let plan = TrainPlan::with(&net.graph, IMAGES, &options)?;
    let mut engine = Engine::new(plan, Pool::new(2), Isa::detect());
    engine.forward(&net.x, IMAGES, true);
    let mut rng = Rng::new(seed ^ 7);
    let d_logits: Vec<f32> = (0..IMAGES * CLASSES).map(|_| rng.normal()).collect();
    engine.logits_gradient().copy_from_slice(&d_logits);
    engine.backward();
    let factors = net.factors(&d_logits);
    let mut graph = net.graph.clone();
    graph.outputs = vec![net.output];
    let params = engine.params();
    let trained = params.rates().flat_map(|(_, range, _)| &engine.gradients()[range]);
    let scale = trained.fold(0f64, |m, g| m.max(f64::from(g.abs())));
    let mut checked = 0;
    for (param, kind, _) in params.names() {
        if kind == Kind::Statistic || param == "last" {
            continue;
        }
        let own = params.to_onnx(param, engine.gradients()).unwrap();
        let id = graph.find_value(param).unwrap();
        let old = graph.constant(id).unwrap().clone();
        let at = |i: usize, by: f32| {
            let mut values = old.to_f32();
            values[i] += by;
            let mut graph = graph.clone();
            graph.set_constant(id, Tensor::new(old.shape(), values).unwrap());
            net.loss(&graph, &factors)
        };
        for i in (0..own.len()).step_by((own.len() / 6).max(1)) {
            if !agrees(&|by| at(i, by), f64::from(own[i]), scale) {
                let slope = (at(i, STEP) - at(i, -STEP)) / f64::from(2.0 * STEP);
                panic!("{name}: gradient of {param}[{i}] is {}, difference {slope}", own[i]);
            }
            checked += 1;
        }
    }
    Ok(checked)
}

/// Whether `own` is the slope of `f` at 0.
fn agrees(f: &dyn Fn(f32) -> f64, own: f64, scale: f64) -> bool {
    let slope = |h: f32| (f(h) - f(-h)) / f64::from(2.0 * h);
    let smooth = (4.0 * slope(STEP / 2.0) - slope(STEP)) / 3.0;
    let tolerance = |slope: f64| TOLERANCE * scale.max(slope.abs()).max(1e-2);
    if !smooth.is_finite() || (smooth - own).abs() <= tolerance(smooth) {
        return true;
    }
    // Steps: flat here, or a jump, whose difference does not shrink with the step.
    let near = slope(STEP / 64.0);
    if own == 0.0 && (near == 0.0 || near.abs() > 8.0 * slope(STEP).abs()) {
        return true;
    }
    let middle = f(0.0);
    [STEP, STEP / 8.0, STEP / 64.0].into_iter().any(|h| {
        let (up, down) = ((f(h) - middle) / f64::from(h), (middle - f(-h)) / f64::from(h));
        let (low, high) = (up.min(down), up.max(down));
        let kink = high - low > 50.0 * tolerance(smooth);
        let steps = 64.0 * tolerance(high);
        kink && own >= low - steps && own <= high + steps
    })
}

/// What has no gradient, and says so.
fn may_be_refused(op: &Op) -> bool {
    match op {
        Op::TopK { .. }
        | Op::Quantize { .. }
        | Op::Dequantize { .. }
        | Op::DynamicQuantize
        | Op::ConvInteger(_)
        | Op::MatMulInteger => true,
        Op::ScatterElements { mode, .. } | Op::ScatterNd { mode } => {
            !matches!(mode, ScatterMode::Add | ScatterMode::Replace)
        }
        Op::Resize(resize) => resize.extrapolation != 0.0,
        Op::Gemm(gemm) => gemm.trans_a || gemm.alpha != 1.0 || gemm.beta != 1.0,
        _ => false,
    }
}

fn family(family: Family, seeds: u64) {
    let (mut checked, mut refused) = (0, 0);
    for seed in 0..seeds {
        let case = family.case(seed);
        let floats =
            case.inputs.iter().flatten().filter(|t| t.dtype() == DType::F32 && !t.is_empty());
        if floats.count() == 0 || case.inputs.iter().flatten().any(Tensor::is_empty) {
            continue;
        }
        for constant in [false, true] {
            let several =
                case.inputs.iter().flatten().filter(|t| t.dtype() == DType::F32).count() > 1;
            if constant && !several {
                continue;
            }
            let net = net(&case, seed, constant);
            if net.len == 0 {
                continue;
            }
            match check(&net, seed) {
                Ok(count) => checked += count,
                Err(TrainError::Unsupported { node, .. }) if may_be_refused(&case.op) => {
                    assert!(node == "y", "{node}");
                    refused += 1;
                }
                // Nothing but positions and comparisons comes out: only the last layer learns.
                Err(e) => panic!("{family:?} {seed}, {:?}: {e}", case.op),
            }
        }
    }
    println!("{family:?}: {checked} slopes, {refused} cases without gradient");
    assert!(checked > 0);
}

#[test]
fn elementwise() {
    family(Family::Elementwise, 300);
}

#[test]
fn windows() {
    family(Family::Window, 150);
}

#[test]
fn products() {
    family(Family::Product, 120);
}

#[test]
fn norms() {
    family(Family::Norm, 150);
}

#[test]
fn arranging() {
    family(Family::Arrange, 200);
}

#[test]
fn indexing() {
    family(Family::Index, 120);
}

#[test]
fn reductions() {
    family(Family::Reduce, 200);
}

#[test]
fn resampling() {
    family(Family::Resize, 120);
}
