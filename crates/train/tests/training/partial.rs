//! Training of a part of a net, with gradients from outside.

use edgecut_graph::rng::Rng;
use edgecut_graph::{Graph, Op};
use edgecut_kernels::{Isa, Pool};
use edgecut_train::engine::Engine;
use edgecut_train::optim::{Group, OptimizerState};
use edgecut_train::params::Kind;
use edgecut_train::plan::{Extra, PlanOptions, TrainPlan};
use edgecut_train::{Optimizer, TrainError};

use crate::{random_nets, toy};

const BATCH: usize = 3;

fn engine(graph: &Graph, options: &PlanOptions) -> Engine {
    let plan = TrainPlan::with(graph, BATCH, options).unwrap();
    Engine::new(plan, Pool::new(2), Isa::detect())
}

fn pictures(engine: &Engine) -> Vec<f32> {
    let mut rng = Rng::new(3);
    (0..BATCH * engine.plan().input().len()).map(|_| rng.normal()).collect()
}

/// Rates that freeze the nodes that `frozen` names.
fn freeze(graph: &Graph, frozen: impl Fn(&str) -> bool) -> PlanOptions {
    let rate = |name: &str| if frozen(name) { 0.0 } else { 1.0 };
    let rates = graph.nodes.iter().map(|n| rate(&n.name)).collect();
    PlanOptions { rates, ..PlanOptions::default() }
}

#[test]
fn frozen_layers_stay_and_the_others_get_the_same_gradients() {
    let graph = toy::network(3);
    // Statistics are frozen in both, so that the loss is the same.
    let all = PlanOptions { fixed_statistics: true, ..PlanOptions::default() };
    let frozen = |name: &str| name.starts_with("stem") || name.starts_with("depthwise");
    let part = PlanOptions { fixed_statistics: true, ..freeze(&graph, frozen) };
    let (mut whole, mut partial) = (engine(&graph, &all), engine(&graph, &part));
    let x = pictures(&whole);
    for engine in [&mut whole, &mut partial] {
        engine.forward(&x, BATCH, true);
        engine.loss(&[0, 1, 2], 0.0);
        engine.backward();
    }
    let mut compared = 0;
    for (name, kind, _) in partial.params().names() {
        if kind == Kind::Statistic || frozen(name) {
            continue;
        }
        let own = partial.params().to_onnx(name, partial.gradients()).unwrap();
        let expected = whole.params().to_onnx(name, whole.gradients()).unwrap();
        assert_eq!(own, expected, "{name}");
        compared += 1;
    }
    assert!(compared > 5);
    let groups = Group::of_tensors(partial.params());
    let mut optimizer = OptimizerState::new(Optimizer::SGD, groups);
    let before = toy::bytes(&partial.write_back(&graph).unwrap());
    let (params, gradients, pool) = partial.update();
    optimizer.step(pool, &mut params.values, gradients, 0.1, 0.1, 0);
    let trained = partial.write_back(&graph).unwrap();
    assert!(before != toy::bytes(&trained));
    for (old, new) in graph.values().iter().zip(trained.values()) {
        let changes = !frozen(&old.name) && !old.name.contains("running");
        if let (Some(a), Some(b)) = (&old.constant, &new.constant) {
            assert_eq!(a != b, changes, "{}", old.name);
        }
    }
}

/// BatchNorm of frozen nodes uses what it knows, in training as in evaluation.
#[test]
fn frozen_statistics_stay() {
    let graph = toy::network(3);
    let mut frozen = engine(&graph, &freeze(&graph, |name| name != "classifier"));
    let x = pictures(&frozen);
    let stats = frozen.params().stats.clone();
    frozen.forward(&x, BATCH, true);
    let training = frozen.logits().to_vec();
    assert_eq!(frozen.params().stats, stats);
    frozen.forward(&x, BATCH, false);
    assert_eq!(frozen.logits(), training);
}

/// What no gradient passes makes room once it has been read.
#[test]
fn frozen_layers_need_little_memory() {
    let graph = toy::network(3);
    let whole = TrainPlan::new(&graph, 64).unwrap().memory(1, 0).activations;
    let options = freeze(&graph, |name| name != "classifier");
    let part = TrainPlan::with(&graph, 64, &options).unwrap().memory(1, 0).activations;
    assert!(5 * part < 2 * whole, "{part} of {whole}");
}

#[test]
fn a_net_that_is_frozen_throughout_is_refused() {
    let graph = toy::network(3);
    let options = freeze(&graph, |_| true);
    match TrainPlan::with(&graph, BATCH, &options) {
        Err(TrainError::Model { problem, .. }) => assert!(problem.contains("no parameter")),
        other => panic!("{other:?}"),
    }
}

/// The gradient that a tap takes is that of a loss `sum(g * value)`.
#[test]
fn taps_inject_gradients() {
    for seed in 0..6 {
        let graph = random_nets::graph(seed);
        let values: Vec<_> = graph.nodes.iter().map(|n| n.output()).collect();
        let picked = [values[1], values[values.len() / 2]];
        let options = PlanOptions { taps: picked.to_vec(), ..PlanOptions::default() };
        let mut engine = engine(&graph, &options);
        let x = pictures(&engine);
        let mut rng = Rng::new(seed);
        engine.forward(&x, BATCH, true);
        let logits = engine.logits().to_vec();
        let zero = vec![0.0; logits.len()];
        let weights: Vec<Vec<f32>> = (0..picked.len())
            .map(|i| engine.tap(i).iter().map(|_| rng.normal()).collect())
            .collect();
        engine.logits_gradient().copy_from_slice(&zero);
        for (i, weights) in weights.iter().enumerate() {
            engine.tap_gradient(i).copy_from_slice(weights);
        }
        engine.backward();
        let gradients = engine.gradients().to_vec();
        // The slope along the gradient itself is its squared length.
        let squared: f64 = gradients.iter().map(|g| f64::from(*g).powi(2)).sum();
        let step = 1e-3 / squared.sqrt().max(1e-9);
        let first = engine.params().values.clone();
        let mut loss = |by: f64| {
            let moved = first.iter().zip(&gradients).map(|(w, g)| w + (by * f64::from(*g)) as f32);
            engine.params_mut().values = moved.collect();
            engine.forward(&x, BATCH, true);
            let term = |i: usize| {
                let pairs = engine.tap(i).iter().zip(&weights[i]);
                pairs.map(|(v, w)| f64::from(*v) * f64::from(*w)).sum::<f64>()
            };
            (0..picked.len()).map(term).sum::<f64>()
        };
        let slope = (loss(step) - loss(-step)) / (2.0 * step);
        assert!((slope - squared).abs() < 0.02 * squared.max(1e-3), "{seed}: {slope}, {squared}");
    }
}

/// The gradient of the image is the slope of `sum(g * logits)` as the image moves along it.
#[test]
fn the_image_has_a_gradient_where_it_is_asked_for() {
    for seed in 0..8 {
        let graph = random_nets::graph(seed);
        let options = PlanOptions { taps: vec![graph.inputs[0]], ..PlanOptions::default() };
        let mut engine = engine(&graph, &options);
        let x = pictures(&engine);
        let mut rng = Rng::new(seed);
        engine.forward(&x, BATCH, true);
        let weights: Vec<f32> = engine.logits().iter().map(|_| rng.normal()).collect();
        engine.logits_gradient().copy_from_slice(&weights);
        engine.tap_gradient(0).fill(0.0);
        engine.backward();
        let gradient = engine.tap_gradient(0).to_vec();
        let squared: f64 = gradient.iter().map(|g| f64::from(*g).powi(2)).sum();
        assert!(squared > 0.0, "seed {seed}");
        let step = 1e-3 / squared.sqrt();
        let mut loss = |by: f64| {
            let moved = x.iter().zip(&gradient).map(|(x, g)| x + (by * f64::from(*g)) as f32);
            engine.forward(&moved.collect::<Vec<_>>(), BATCH, true);
            let pairs = engine.logits().iter().zip(&weights);
            pairs.map(|(v, w)| f64::from(*v) * f64::from(*w)).sum::<f64>()
        };
        let slope = (loss(step) - loss(-step)) / (2.0 * step);
        assert!((slope - squared).abs() < 0.02 * squared + 1e-6, "seed {seed}: {slope} {squared}");
    }
}

#[test]
fn taps_keep_their_values_in_the_order_of_the_graph() {
    let graph = toy::network(3);
    let relu = |n: &&edgecut_graph::Node| matches!(n.op, Op::Unary(_));
    let value = graph.nodes.iter().find(relu).unwrap().output();
    let options = PlanOptions { taps: vec![value], ..PlanOptions::default() };
    let mut engine = engine(&graph, &options);
    let x = pictures(&engine);
    engine.forward(&x, BATCH, false);
    let tap = engine.plan().taps()[0].clone();
    assert_eq!(tap.shape, [1, 8, toy::SIDE, toy::SIDE]);
    let mut own = vec![0.0; engine.tap(0).len()];
    tap.to_graph(engine.tap(0), &mut own);
    let mut back = vec![0.0; own.len()];
    tap.from_graph(&own, &mut back);
    assert_eq!(back, engine.tap(0));
    let mut cut = graph.clone();
    cut.outputs = vec![value];
    let image = edgecut_graph::Tensor::new([BATCH, 1, toy::SIDE, toy::SIDE], x).unwrap();
    let expected = &edgecut_graph::interpret::run(&cut, &[image]).unwrap()[0];
    let own = edgecut_graph::Tensor::new(expected.shape(), own).unwrap();
    edgecut_testkit::assert_close(&own, expected, 1e-5, "tap");
}

#[test]
fn extra_parameters_are_trained_and_not_written() {
    let graph = toy::network(3);
    let extra = Extra { name: "hint".into(), values: vec![1.0, 2.0], decayed: false };
    let options = PlanOptions { extras: vec![extra], ..PlanOptions::default() };
    let mut engine = engine(&graph, &options);
    let x = pictures(&engine);
    engine.forward(&x, BATCH, true);
    engine.loss(&[0, 1, 2], 0.0);
    engine.backward();
    let (values, gradient) = engine.extra(0);
    assert_eq!(values, [1.0, 2.0]);
    gradient.copy_from_slice(&[1.0, -1.0]);
    let groups = Group::of_tensors(engine.params());
    let plain = Optimizer::Sgd { momentum: 0.0, nesterov: false };
    let mut optimizer = OptimizerState::new(plain, groups);
    let (params, gradients, pool) = engine.update();
    optimizer.step(pool, &mut params.values, gradients, 0.0, 0.5, 0);
    assert_eq!(engine.extra(0).0, [0.5, 2.5]);
    let written = engine.write_back(&graph).unwrap();
    assert_eq!(written.values().len(), graph.values().len());
}
