//! Training with products in bfloat16.

use edgecut_graph::rng::Rng;
use edgecut_graph::{Builder, Graph, Window};
use edgecut_kernels::{Isa, Pool};
use edgecut_train::engine::Engine;
use edgecut_train::optim::{Group, OptimizerState};
use edgecut_train::plan::{PlanOptions, TrainPlan};
use edgecut_train::{Control, Optimizer, Precision, RunOptions, TrainConfig, fit};

use crate::toy;

const BATCH: usize = 6;

/// Convolutions with strides, pointwise ones, a residual and linear layers, wide enough for
/// bfloat16, for the pictures of [`toy::bars`]. Smooth throughout: where ReLU turns at 0, rounding turns
/// gradients on and off.
fn network(seed: u64) -> Graph {
    let mut b = Builder::new("wide", seed);
    let x = b.input("x", ["n".into(), 1.into(), 8.into(), 8.into()]);
    let conv = |b: &mut Builder, x, name: &str, channels, kernel, stride| {
        let y = b.conv(x, name, channels, Window::same(kernel, stride), 1, false).unwrap();
        let y = b.batch_norm(y, &format!("{name}.norm")).unwrap();
        b.silu(y).unwrap()
    };
    let x = conv(&mut b, x, "stem", 24, 3, 1);
    let x = conv(&mut b, x, "down", 40, 3, 2);
    let y = conv(&mut b, x, "wide", 72, 1, 1);
    let y = conv(&mut b, y, "narrow", 40, 3, 1);
    let x = b.add(x, y).unwrap();
    let x = conv(&mut b, x, "short", 32, 1, 2);
    let x = b.global_average_pool(x).unwrap();
    let x = b.flatten(x).unwrap();
    let x = b.linear(x, "hidden", 24).unwrap();
    let x = b.silu(x).unwrap();
    let x = b.linear(x, "classifier", 3).unwrap();
    b.finish(&[x]).unwrap()
}

fn engine(graph: &Graph, precision: Precision, threads: usize, isa: Isa) -> Engine {
    let options = PlanOptions { precision, ..PlanOptions::default() };
    Engine::new(TrainPlan::with(graph, BATCH, &options).unwrap(), Pool::new(threads), isa)
}

/// Gradients of a step, and the logits of a training and of an evaluating forward pass.
fn step(engine: &mut Engine) -> [Vec<f32>; 3] {
    let mut rng = Rng::new(3);
    let x: Vec<f32> = (0..BATCH * engine.plan().input().len()).map(|_| rng.normal()).collect();
    engine.forward(&x, BATCH, false);
    let evaluated = engine.logits().to_vec();
    engine.forward(&x, BATCH, true);
    let trained = engine.logits().to_vec();
    engine.loss(&[0, 1, 2, 0, 1, 2], 0.0);
    engine.backward();
    [engine.gradients().to_vec(), trained, evaluated]
}

/// Length of the difference, as a share of the length of `b`.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    let length = |v: &mut dyn Iterator<Item = f32>| v.map(|x| x * x).sum::<f32>().sqrt();
    length(&mut a.iter().zip(b).map(|(a, b)| a - b)) / length(&mut b.iter().copied())
}

#[test]
fn gradients_differ_by_rounding_only() {
    for seed in 0..4 {
        let graph = network(seed);
        let exact = step(&mut engine(&graph, Precision::F32, 2, Isa::detect()));
        let rounded = step(&mut engine(&graph, Precision::Bf16, 2, Isa::detect()));
        let [gradients, trained, evaluated] = [0, 1, 2].map(|i| distance(&rounded[i], &exact[i]));
        // A bfloat16 is off by 1/512 at most; batch statistics and six layers amplify that.
        assert!((1e-4..0.06).contains(&gradients), "{gradients}");
        assert!((1e-5..0.02).contains(&trained), "{trained}");
        assert_eq!(evaluated, 0.0, "evaluation is in float32");
    }
}

/// On each instruction set, whose unit decides the last bits.
#[test]
fn threads_change_no_bit() {
    let train = |threads, isa| {
        let mut engine = engine(&network(5), Precision::Bf16, threads, isa);
        let mut state = OptimizerState::new(Optimizer::SGD, Group::of_tensors(engine.params()));
        let mut all = vec![];
        for index in 0..3 {
            all.extend(step(&mut engine).concat().iter().map(|x| x.to_bits()));
            let (params, gradients, pool) = engine.update();
            state.step(pool, &mut params.values, gradients, 1e-2, 1e-2, index);
        }
        all
    };
    for isa in Isa::available() {
        let one = train(1, isa);
        assert!((2..4).all(|threads| train(threads, isa) == one), "{}", isa.name());
    }
}

#[test]
fn a_toy_problem_is_learned_as_in_float() {
    let learn = |precision| {
        let config = TrainConfig { precision, ..toy::config(12) };
        let (train, val) = (toy::bars(240, 1), toy::bars(90, 2));
        let options = RunOptions::default();
        let (graph, preprocess) = (network(3), toy::preprocess());
        fit(&graph, train, Some(val), &preprocess, &config, &options, &mut |_| Control::Continue)
            .unwrap()
    };
    let [float, half] = [Precision::F32, Precision::Bf16].map(learn);
    let accuracy = |outcome: &edgecut_train::TrainOutcome| {
        outcome.validation.as_ref().unwrap().counts.accuracy()
    };
    assert!(toy::bytes(&float.graph) != toy::bytes(&half.graph));
    assert!(accuracy(&float) > 0.95, "{}", accuracy(&float));
    assert!(accuracy(&half) > accuracy(&float) - 0.03, "{}", accuracy(&half));
}
