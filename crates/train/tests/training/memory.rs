//! A budget for memory changes what is computed twice, and no bit of a result.

use edgecut_graph::Graph;
use edgecut_graph::rng::Rng;
use edgecut_kernels::{Isa, Pool};
use edgecut_testkit::{ALL_LAYERS, random_graph_of};
use edgecut_train::engine::Engine;
use edgecut_train::optim::{Group, OptimizerState};
use edgecut_train::plan::{Budget, PlanOptions, TrainPlan};
use edgecut_train::{Optimizer, TrainError};

use crate::{random_nets, toy};

const BATCH: usize = 4;

/// A plan that drops nothing.
fn whole(graph: &Graph, batch: usize) -> TrainPlan {
    let memory = Some(Budget { bytes: usize::MAX, copies: 0, threads: 1 });
    TrainPlan::with(graph, batch, &PlanOptions { memory, ..PlanOptions::default() }).unwrap()
}

/// A plan whose activations take at most `bytes`.
fn within(graph: &Graph, batch: usize, bytes: usize) -> Result<TrainPlan, TrainError> {
    let whole = whole(graph, batch).memory(1, 0);
    let bytes = whole.total() - whole.activations + bytes;
    let memory = Some(Budget { bytes, copies: 0, threads: 1 });
    TrainPlan::with(graph, batch, &PlanOptions { memory, ..PlanOptions::default() })
}

/// Bits of parameters, statistics and logits after a few steps, one with fewer images.
fn train(plan: TrainPlan) -> Vec<u32> {
    let mut engine = Engine::new(plan, Pool::new(2), Isa::detect());
    let mut state = OptimizerState::new(Optimizer::SGD, Group::of_tensors(engine.params()));
    let (len, classes) = (engine.plan().input().len(), engine.plan().classes());
    let mut rng = Rng::new(5);
    for (step, n) in [BATCH, BATCH - 1, BATCH].into_iter().enumerate() {
        let x: Vec<f32> = (0..n * len).map(|_| rng.normal()).collect();
        let labels: Vec<u32> = (0..n).map(|_| rng.below(classes) as u32).collect();
        engine.forward(&x, n, true);
        engine.loss(&labels, 0.1);
        engine.backward();
        let (params, gradients, pool) = engine.update();
        state.step(pool, &mut params.values, gradients, 1e-2, 1e-2, step as u64);
        engine.forward(&x, n, false);
    }
    let params = engine.params();
    let all = params.values.iter().chain(&params.stats).chain(engine.logits());
    all.map(|v| v.to_bits()).collect()
}

/// Plans `graph` ever tighter; how many layers were computed twice at most.
fn tighten(graph: &Graph) -> usize {
    let plan = whole(graph, BATCH);
    let whole = plan.memory(1, 0);
    assert_eq!((whole.recomputed, whole.recomputation), (0, 0.0));
    let expected = train(plan);
    let mut most = 0;
    for tenths in (3..=9).rev() {
        let limit = whole.activations * tenths / 10;
        let Ok(plan) = within(graph, BATCH, limit) else { break };
        let memory = plan.memory(1, 0);
        assert!(memory.activations <= limit, "{}: {memory:?}", graph.name);
        assert!(memory.recomputed > 0 && memory.recomputation > 0.0, "{memory:?}");
        most = most.max(memory.recomputed);
        let found = train(plan);
        let differ = found.iter().zip(&expected).filter(|(a, b)| a != b).count();
        assert_eq!(differ, 0, "{} in {tenths} tenths, {memory:?}", graph.name);
    }
    most
}

#[test]
fn a_budget_changes_no_bit() {
    let zoo = edgecut_zoo::MobileNetV2 {
        resolution: 12,
        width: 0.5,
        ..edgecut_zoo::MobileNetV2::tiny_image()
    };
    let (zoo, toy) = (tighten(&zoo.build().unwrap()), tighten(&toy::network(1)));
    let nets = (0..30).map(|seed| random_graph_of(seed, ALL_LAYERS));
    let nets = nets.filter(|g| g.value(g.outputs[0]).shape.rank() == 2);
    let nets: usize = nets.take(10).map(|graph| tighten(&graph)).sum();
    let all: usize = (0..20).map(|seed| tighten(&random_nets::graph(seed))).sum();
    let layers = [zoo, toy, nets, all];
    assert!(layers.iter().zip([10, 2, 5, 30]).all(|(n, least)| *n >= least), "{layers:?}");
}

/// The time for less memory: BatchNorm comes before convolutions.
#[test]
fn what_is_cheap_is_computed_again() {
    let options = edgecut_zoo::Options { resolution: Some(32), ..Default::default() };
    let graph = edgecut_zoo::build("mobilenet-v2-s32", &options).unwrap();
    let whole = whole(&graph, 64).memory(1, 0).activations;
    let share = |hundredths: usize| within(&graph, 64, whole * hundredths / 100).unwrap();
    let (some, half, little) = (share(80), share(50), share(25));
    let [some, half, little] = [some, half, little].map(|plan| plan.memory(1, 0).recomputation);
    assert!(some < 0.2 && half < 0.5 && little < 0.75, "{some} {half} {little}");
    assert!(some < half && half < little);
}

/// Nobody asked for less memory, and some is saved where it costs next to nothing.
#[test]
fn what_costs_next_to_nothing_is_computed_again_unasked() {
    let options = edgecut_zoo::Options { resolution: Some(32), ..Default::default() };
    for name in ["mobilenet-v2-s32", "shufflenet-v2-1.0"] {
        let graph = edgecut_zoo::build(name, &options).unwrap();
        let (whole, usual) = (whole(&graph, 64), TrainPlan::new(&graph, 64).unwrap());
        let (whole, usual) = (whole.memory(1, 0), usual.memory(1, 0));
        assert!(8 * usual.activations <= 7 * whole.activations, "{name}: {usual:?} of {whole:?}");
        assert!(usual.recomputation <= 0.125, "{name}: {usual:?}");
    }
}

/// What is asked for in vain is refused with what would do, and that does.
#[test]
fn the_least_memory_is_named() {
    let options = edgecut_zoo::Options { resolution: Some(32), ..Default::default() };
    let graph = edgecut_zoo::build("mobilenet-v2-s32", &options).unwrap();
    let budget = |bytes| PlanOptions {
        memory: Some(Budget { bytes, copies: 2, threads: 2 }),
        ..PlanOptions::default()
    };
    let error = TrainPlan::with(&graph, 64, &budget(150_000_000)).unwrap_err().to_string();
    assert!(error.contains("`memory`: 150 MB are too little"), "{error}");
    assert!(error.contains("a batch in ") && error.contains("BatchNorm"), "{error}");
    let (_, rest) = error.split_once("at least ").unwrap();
    let least: usize = rest.split(' ').next().unwrap().parse().unwrap();
    let plan = TrainPlan::with(&graph, 64, &budget(1_000_000 * least)).unwrap();
    assert!(plan.memory(2, 2).total() <= 1_000_000 * least);
    let hopeless = TrainPlan::with(&graph, 64, &budget(20_000_000)).unwrap_err().to_string();
    assert!(!hopeless.contains("a batch in "), "{hopeless}");
}
