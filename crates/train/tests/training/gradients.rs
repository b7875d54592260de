//! Gradients of every differentiable operator against central differences of a float64 loss.
//!
//! The engine works in float32, the oracle in float64 with its own plain loops, so central
//! differences with a step of 1e-6 are right to about 1e-9 and the tolerance, 2e-4 of the largest
//! gradient of the tensor, is all float32's.

use edgecut_graph::{Builder, Graph, Op, Pool, Reduction, Tensor, ValueId, Window};
use edgecut_kernels::{Isa, Pool as Threads};
use edgecut_testkit::{ALL_LAYERS, random_graph_of, random_tensor, randomise_statistics};
use edgecut_train::engine::Engine;
use edgecut_train::params::Kind;
use edgecut_train::plan::TrainPlan;

use crate::oracle::{Array, Constants, constants, loss};

const BATCH: usize = 3;
const SMOOTHING: f32 = 0.1;
const STEP: f64 = 1e-6;
const TOLERANCE: f64 = 2e-4;
/// Gradients that vanish in theory, such as that of a bias before BatchNorm.
const FLOOR: f64 = 2e-6;

/// `x` from NCHW to NHWC.
fn to_nhwc(x: &Tensor) -> Vec<f32> {
    let [n, c, h, w] = x.shape()[..] else { panic!("rank") };
    let data = x.f32s().unwrap();
    let mut out = Vec::with_capacity(data.len());
    for i in 0..n {
        for p in 0..h * w {
            out.extend((0..c).map(|ch| data[(i * c + ch) * h * w + p]));
        }
    }
    out
}

/// Compares all gradients of `graph` and the running statistics after one pass.
fn check(graph: &Graph, seed: u64) {
    let name = &graph.name;
    let shape = graph.value(graph.inputs[0]).shape.with_symbols(BATCH);
    let x = random_tensor(&shape, seed);
    let plan = TrainPlan::new(graph, BATCH).unwrap_or_else(|e| panic!("{name}: {e}"));
    let classes = plan.classes();
    let labels: Vec<u32> = (0..BATCH).map(|i| ((i * 7 + 1) % classes) as u32).collect();
    let mut engine = Engine::new(plan, Threads::new(2), Isa::detect());
    engine.forward(&to_nhwc(&x), BATCH, true);
    let found = engine.loss(&labels, SMOOTHING);
    engine.backward();

    let array = Array { shape, data: x.to_f32().into_iter().map(f64::from).collect() };
    let mut values = constants(graph);
    let eval =
        |values: &Constants| loss(graph, values, &array, &labels, f64::from(SMOOTHING), true);
    let (expected, statistics) = eval(&values);
    assert!((found - expected).abs() < 1e-5 * expected.max(1.0), "{name}: {found}, not {expected}");
    let params = engine.params();
    for (param, kind, _) in params.names() {
        let id = graph.find_value(param).unwrap().index();
        if kind == Kind::Statistic {
            continue;
        }
        let own = params.to_onnx(param, engine.gradients()).unwrap();
        let scale = f64::from(own.iter().fold(0f32, |m, g| m.max(g.abs())));
        for i in sample(own.len()) {
            let old = values[&id].data[i];
            let mut at = |v: f64| {
                values.get_mut(&id).unwrap().data[i] = v;
                eval(&values).0
            };
            let slope = (at(old + STEP) - at(old - STEP)) / (2.0 * STEP);
            at(old);
            let error = (f64::from(own[i]) - slope).abs();
            assert!(
                error <= TOLERANCE * scale.max(slope.abs()) + FLOOR,
                "{name}: gradient of {param}[{i}] is {}, central difference {slope}",
                own[i]
            );
        }
    }
    check_statistics(graph, engine, &statistics);
}

/// Running statistics move by 1 - momentum towards the batch's mean and unbiased variance.
fn check_statistics(
    graph: &Graph,
    engine: Engine,
    seen: &std::collections::HashMap<usize, [Vec<f64>; 2]>,
) {
    for (&index, [mean, var]) in seen {
        let node = &graph.nodes[index];
        let Op::BatchNorm { momentum, .. } = node.op else { panic!("only BatchNorm") };
        let shape = graph.value(node.input(0).unwrap()).shape.with_symbols(BATCH);
        let count = (shape.iter().product::<usize>() / shape[1]) as f64;
        for (input, new, factor) in [(3, mean, 1.0), (4, var, count / (count - 1.0))] {
            let id = node.input(input).unwrap();
            let own =
                engine.params().to_onnx(&graph.value(id).name, &engine.params().stats).unwrap();
            let old = graph.constant(id).unwrap().to_f32();
            for ((own, old), new) in own.iter().zip(old).zip(new) {
                let keep = f64::from(momentum);
                let expected = keep * f64::from(old) + (1.0 - keep) * new * factor;
                assert!((f64::from(*own) - expected).abs() < 1e-5, "{own}, not {expected}");
            }
        }
    }
}

/// Some positions, the first and the last among them.
fn sample(len: usize) -> impl Iterator<Item = usize> {
    let step = (len / 5).max(1);
    (0..len).step_by(step).chain(len.checked_sub(1))
}

fn build(name: &str, layers: impl FnOnce(&mut Builder, ValueId) -> ValueId) -> Graph {
    let mut b = Builder::new(name, 11);
    let x = b.input("image", ["n".into(), 3.into(), 7.into(), 6.into()]);
    let x = b.conv(x, "first", 4, Window::same(3, 1), 1, true).unwrap();
    let x = layers(&mut b, x);
    let rank = b.graph().value(x).shape.rank();
    let x = if rank == 4 { b.global_average_pool(x).unwrap() } else { x };
    let x = b.flatten(x).unwrap();
    let x = b.linear(x, "last", 5).unwrap();
    let mut graph = b.finish(&[x]).unwrap();
    randomise_statistics(&mut graph, 5);
    graph
}

fn conv(name: &str, maps: usize, window: Window, groups: usize) -> Graph {
    build(name, |b, x| b.conv(x, "conv", maps, window, groups, true).unwrap())
}

#[test]
fn convolutions() {
    check(&conv("pointwise", 6, Window::new([1, 1], [1, 1]), 1), 1);
    check(&conv("pointwise, stride 2", 6, Window::new([1, 1], [2, 2]), 1), 2);
    check(&conv("3x3", 5, Window::same(3, 1), 1), 3);
    check(&conv("3x3, stride 2", 5, Window::same(3, 2), 1), 4);
    check(&conv("3x3, groups", 6, Window::same(3, 1), 2), 5);
    check(&conv("3x3, groups, stride 2", 6, Window::same(3, 2), 2), 6);
    let mut window = Window::new([3, 2], [2, 1]);
    (window.dilations, window.pads) = ([2, 1], [0, 1, 1, 0]);
    check(&conv("uneven", 5, window, 1), 7);
    check(&conv("depth multiplier", 8, Window::same(3, 1), 4), 8);
}

#[test]
fn depthwise_convolutions() {
    check(&conv("3x3", 4, Window::same(3, 1), 4), 1);
    check(&conv("3x3, stride 2", 4, Window::same(3, 2), 4), 2);
    check(&conv("5x5", 4, Window::same(5, 1), 4), 3);
    check(&conv("5x5, stride 2", 4, Window::same(5, 2), 4), 4);
    let mut window = Window::new([3, 3], [2, 1]);
    (window.dilations, window.pads) = ([1, 2], [0, 1, 1, 2]);
    check(&conv("uneven", 4, window, 4), 5);
}

#[test]
fn batch_norm_and_activations() {
    for (i, op) in [None, Some(Op::RELU), Some(Op::RELU6)].into_iter().enumerate() {
        let graph = build(&format!("batch norm {i}"), |b, x| {
            let x = b.batch_norm(x, "bn").unwrap();
            let x = op.map_or(x, |op| b.apply("act", op, &[x]).unwrap());
            b.conv(x, "conv", 3, Window::new([1, 1], [1, 1]), 1, false).unwrap()
        });
        check(&graph, 10 + i as u64);
    }
    check(&build("relu", |b, x| b.relu(x).unwrap()), 20);
    check(
        &build("relu6 twice", |b, x| {
            let x = b.relu6(x).unwrap();
            b.relu(x).unwrap()
        }),
        21,
    );
    let graph = build("norm with two readers", |b, x| {
        let x = b.batch_norm(x, "bn").unwrap();
        let y = b.relu(x).unwrap();
        b.add(x, y).unwrap()
    });
    check(&graph, 22);
}

#[test]
fn additions() {
    let residual = build("residual", |b, x| {
        let y = b.conv(x, "a", 4, Window::same(3, 1), 4, false).unwrap();
        let y = b.batch_norm(y, "bn").unwrap();
        let z = b.add(x, y).unwrap();
        let z = b.relu(z).unwrap();
        let w = b.conv(z, "b", 4, Window::new([1, 1], [1, 1]), 1, false).unwrap();
        b.add(z, w).unwrap()
    });
    check(&residual, 30);
    check(&build("doubled", |b, x| b.add(x, x).unwrap()), 31);
    let chain = build("chain", |b, x| {
        let y = b.add(x, x).unwrap();
        let z = b.add(y, x).unwrap();
        let w = b.relu6(z).unwrap();
        b.add(w, y).unwrap()
    });
    check(&chain, 32);
}

#[test]
fn pools() {
    check(&build("max", |b, x| b.max_pool(x, Window::same(3, 2)).unwrap()), 40);
    check(&build("max, unpadded", |b, x| b.max_pool(x, Window::new([2, 2], [2, 2])).unwrap()), 41);
    check(&build("average", |b, x| b.average_pool(x, Window::same(3, 1)).unwrap()), 42);
    let counting = Pool { window: Window::same(3, 2), ceil_mode: false, count_include_pad: true };
    let graph = build("average with padding", |b, x| {
        b.apply("pool", Op::AveragePool(counting), &[x]).unwrap()
    });
    check(&graph, 43);
    let twice = build("read twice", |b, x| {
        let y = b.max_pool(x, Window::same(3, 1)).unwrap();
        let z = b.average_pool(x, Window::same(3, 1)).unwrap();
        let y = b.add(y, z).unwrap();
        b.add(y, x).unwrap()
    });
    check(&twice, 44);
    let mean = Op::Reduce { kind: Reduction::Mean, axes: vec![2, 3], keep_dims: false };
    check(&build("reduce mean", |b, x| b.apply("mean", mean, &[x]).unwrap()), 45);
}

#[test]
fn flattening_and_joining() {
    check(&build("flatten all pixels", |b, x| b.flatten(x).unwrap()), 50);
    let hidden = build("hidden layer", |b, x| {
        let x = b.flatten(x).unwrap();
        let x = b.linear(x, "hidden", 9).unwrap();
        let x = b.batch_norm(x, "bn").unwrap();
        b.relu(x).unwrap()
    });
    check(&hidden, 51);
    let fire = build("concat", |b, x| {
        let y = b.conv(x, "a", 3, Window::same(3, 1), 1, true).unwrap();
        let y = b.relu(y).unwrap();
        b.concat(&[x, y, x], 1).unwrap()
    });
    check(&fire, 52);
}

#[test]
fn softmax_belongs_to_the_loss() {
    let mut graph = build("softmax", |_, x| x);
    let logits = graph.outputs[0];
    let softmax = graph.add_node("softmax", Op::Softmax { axis: 1 }, &[Some(logits)]).unwrap();
    graph.outputs = vec![softmax];
    check(&graph, 60);
}

#[test]
fn random_networks() {
    let mut checked = 0;
    for seed in 0..60 {
        let graph = random_graph_of(seed, ALL_LAYERS);
        let rank = graph.value(graph.outputs[0]).shape.rank();
        if rank == 2 {
            check(&graph, seed);
            checked += 1;
        }
    }
    assert!(checked > 15, "only {checked} networks end in a classifier");
}
