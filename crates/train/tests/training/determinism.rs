//! The same bits on any number of threads and any instruction set.

use edgecut_graph::rng::Rng;
use edgecut_graph::{Graph, Tensor};
use edgecut_kernels::{Isa, Pool};
use edgecut_testkit::{ALL_LAYERS, random_graph_of};
use edgecut_train::engine::Engine;
use edgecut_train::optim::{Group, OptimizerState};
use edgecut_train::plan::TrainPlan;
use edgecut_train::{Control, Optimizer, Progress, RunOptions, fit};

use crate::{random_nets, toy};

/// Bits of parameters, statistics and logits after a few steps.
fn train(graph: &Graph, threads: usize, isa: Isa, optimizer: Optimizer) -> Vec<u32> {
    const BATCH: usize = 5;
    let mut engine = Engine::new(TrainPlan::new(graph, BATCH).unwrap(), Pool::new(threads), isa);
    let mut state = OptimizerState::new(optimizer, Group::of_tensors(engine.params()));
    let mut rng = Rng::new(9);
    for step in 0..3 {
        let len = BATCH * engine.plan().input().len();
        let x: Vec<f32> = (0..len).map(|_| rng.normal()).collect();
        let classes = engine.plan().classes();
        let labels: Vec<u32> = (0..BATCH).map(|_| rng.below(classes) as u32).collect();
        engine.forward(&x, BATCH, true);
        engine.loss(&labels, 0.1);
        engine.backward();
        let (params, gradients, pool) = engine.update();
        state.step(pool, &mut params.values, gradients, 1e-2, 1e-2, step);
        // A batch that is not full, with running statistics.
        engine.forward(&x[..len / BATCH * 2], 2, false);
    }
    let params = engine.params();
    let all = params.values.iter().chain(&params.stats).chain(engine.logits());
    all.map(|v| v.to_bits()).collect()
}

fn same_everywhere(graph: &Graph, optimizer: Optimizer) {
    let expected = train(graph, 1, Isa::SCALAR, optimizer);
    assert!(expected.iter().any(|&b| b != 0));
    for isa in Isa::available() {
        for threads in 1..=3 {
            let found = train(graph, threads, isa, optimizer);
            let differ = found.iter().zip(&expected).filter(|(a, b)| a != b).count();
            assert_eq!(differ, 0, "{} on {threads} threads, {}", graph.name, isa.name());
        }
    }
}

#[test]
fn steps_have_the_same_bits_on_every_instruction_set_and_thread_count() {
    same_everywhere(&toy::network(1), Optimizer::SGD);
    same_everywhere(&toy::network(2), Optimizer::ADAMW);
    let seeds = (0..30).map(|seed| random_graph_of(seed, ALL_LAYERS));
    let nets = seeds.filter(|g| g.value(g.outputs[0]).shape.rank() == 2);
    nets.take(8).for_each(|graph| same_everywhere(&graph, Optimizer::SGD));
    (0..8).for_each(|seed| same_everywhere(&random_nets::graph(seed), Optimizer::SGD));
    let zoo = edgecut_zoo::MobileNetV2 {
        resolution: 12,
        width: 0.5,
        ..edgecut_zoo::MobileNetV2::tiny_image()
    };
    same_everywhere(&zoo.build().unwrap(), Optimizer::SGD);
}

#[test]
fn a_whole_training_has_the_same_bits_on_any_number_of_threads() {
    let run = |threads, data_workers| {
        let options = RunOptions { threads, data_workers, ..RunOptions::default() };
        let mut config = toy::config(2);
        config.augment = edgecut_train::data::Augment::crop_and_flip(1);
        let (train, val) = (toy::bars(50, 1), toy::bars(31, 2));
        let mut observer = |_: &Progress| Control::Continue;
        let graph = toy::network(3);
        fit(&graph, train, Some(val), &toy::preprocess(), &config, &options, &mut observer).unwrap()
    };
    let (one, two, three) = (run(1, 1), run(2, 3), run(3, 2));
    assert!(toy::bytes(&one.graph) == toy::bytes(&two.graph));
    assert!(toy::bytes(&one.graph) == toy::bytes(&three.graph));
    assert_eq!(one.validation, two.validation);
}

/// The trained graph in the reference interpreter gives the logits that the engine gives in
/// evaluation: weights and statistics went back to where they came from.
#[test]
fn what_is_written_back_computes_the_same() {
    for seed in [3, 4] {
        let graph = toy::network(seed);
        let mut engine =
            Engine::new(TrainPlan::new(&graph, 4).unwrap(), Pool::new(2), Isa::detect());
        let mut rng = Rng::new(seed);
        let x: Vec<f32> = (0..4 * toy::SIDE * toy::SIDE).map(|_| rng.normal()).collect();
        for _ in 0..3 {
            engine.forward(&x, 4, true);
            engine.loss(&[0, 1, 2, 0], 0.0);
            engine.backward();
            let (params, gradients, _) = engine.update();
            params.values.iter_mut().zip(gradients).for_each(|(w, g)| *w -= 0.05 * g);
        }
        engine.forward(&x, 4, false);
        let trained = engine.write_back(&graph).unwrap();
        trained.validate().unwrap();
        // One channel: NHWC is NCHW.
        let image = Tensor::new([4, 1, toy::SIDE, toy::SIDE], x).unwrap();
        let expected = &edgecut_graph::interpret::run(&trained, &[image]).unwrap()[0];
        let own = Tensor::new([4, 3], engine.logits().to_vec()).unwrap();
        edgecut_testkit::assert_close(&own, expected, 1e-5, "logits");
        assert!(toy::bytes(&trained) != toy::bytes(&graph));
    }
}
