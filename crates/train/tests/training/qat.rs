//! Quantised graphs learn, and the runtime computes what was trained.

use std::sync::Arc;

use edgecut_compress::{Bits, QuantizeConfig, calibrate};
use edgecut_graph::{DType, Graph, Node, Op, Tensor};
use edgecut_kernels::Pool;
use edgecut_runtime::Model;
use edgecut_train::data::Dataset;
use edgecut_train::metrics::Counts;
use edgecut_train::qat::Unfolded;
use edgecut_train::{
    CheckpointOptions, Control, Ending, Event, Progress, RunOptions, TrainConfig, fit,
};

use crate::toy;

fn go(_: &Progress) -> Control {
    Control::Continue
}

/// The network's input for picture `i`, NCHW.
fn input(set: &dyn Dataset, i: usize) -> Tensor {
    let mut x = vec![0.0; toy::SIDE * toy::SIDE];
    toy::preprocess().apply(&set.image(i).unwrap(), &mut x).unwrap();
    Tensor::new(vec![1, 1, toy::SIDE, toy::SIDE], x).unwrap()
}

/// What the runtime makes of the set.
fn count(graph: &Graph, set: &dyn Dataset) -> Counts {
    let mut session = Model::new(graph.clone(), Arc::new(Pool::new(1))).session(1).unwrap();
    let mut counts = Counts::new(3);
    for i in 0..set.len() {
        let logits = session.infer(&[input(set, i)]).unwrap().remove(0).to_f32();
        counts.add(&logits, set.label(i));
    }
    counts
}

/// A network that knows the toy problem, and its quantised form.
fn quantised(bits: Bits) -> (Graph, Graph) {
    let (train, config) = (toy::bars(240, 1), toy::config(12));
    let options = RunOptions::default();
    let graph = toy::network(3);
    let float =
        fit(&graph, train.clone(), None, &toy::preprocess(), &config, &options, &mut go).unwrap();
    let images: Vec<Tensor> = (0..60).map(|i| input(train.as_ref(), i)).collect();
    let config = QuantizeConfig { bits, ..QuantizeConfig::default() };
    let pool = Arc::new(Pool::new(2));
    let calibration = calibrate(&float.graph, images, &pool).unwrap();
    let found = edgecut_compress::quantize(&float.graph, &calibration, &config).unwrap();
    (float.graph, found.graph)
}

fn config(epochs: usize) -> TrainConfig {
    let zero_points = true;
    let quiet = TrainConfig { warmup_epochs: 0.5, label_smoothing: 0.0, ..toy::config(epochs) };
    TrainConfig { lr: 0.01, zero_points, ..quiet }
}

#[test]
fn unfolding_and_folding_changes_nothing() {
    for bits in [Bits::Eight, Bits::Four] {
        let (_, graph) = quantised(bits);
        let unfolded = Unfolded::of(&graph).unwrap().unwrap();
        let limit = if bits == Bits::Four { 7.0 } else { 127.0 };
        assert!(unfolded.codes.values().all(|&c| c == [-limit, limit]));
        let folded = unfolded.fold(&graph, &unfolded.graph).unwrap();
        assert_eq!(toy::bytes(&folded), toy::bytes(&graph));
        // Both forms are the same function.
        let set = toy::bars(5, 3);
        let run = |graph: &Graph, i: usize| {
            edgecut_graph::interpret::run(graph, &[input(set.as_ref(), i)]).unwrap().remove(0)
        };
        for i in 0..5 {
            assert_eq!(run(&graph, i), run(&unfolded.graph, i));
        }
    }
    assert!(Unfolded::of(&toy::network(1)).unwrap().is_none());
}

#[test]
fn four_bits_learn_what_they_have_lost_and_the_runtime_knows_it() {
    let (float, graph) = quantised(Bits::Four);
    let val = toy::bars(200, 2);
    let before = count(&graph, val.as_ref());
    let options = RunOptions::default();
    let outcome = fit(
        &graph,
        toy::bars(240, 1),
        Some(val.clone()),
        &toy::preprocess(),
        &config(8),
        &options,
        &mut go,
    )
    .unwrap();
    let trained = outcome.validation.unwrap().counts;
    assert!(!outcome.kept && outcome.before.unwrap().counts == before);
    // What the trainer has counted is what the integers do.
    assert_eq!(count(&outcome.graph, val.as_ref()), trained);
    let float = count(&float, val.as_ref()).accuracy();
    let (before, after) = (before.accuracy(), trained.accuracy());
    assert!(after >= before && after >= float - 0.005, "{float}, {before} to {after}");
    // It is a quantised graph as before: the same operators, 4-bit codes.
    let operators = |graph: &Graph| graph.nodes.iter().map(|n| n.op.name()).collect::<Vec<_>>();
    assert_eq!(operators(&outcome.graph), operators(&graph));
    let again = Unfolded::of(&outcome.graph).unwrap().unwrap();
    assert!(again.codes.values().all(|&c| c == [-7.0, 7.0]));
    assert!(toy::bytes(&outcome.graph) != toy::bytes(&graph));
}

/// The trained graph; what the trainer has counted is what the runtime counts.
fn trained(graph: &Graph, epochs: usize) -> Graph {
    let val = toy::bars(60, 2);
    let (train, preprocess) = (toy::bars(96, 1), toy::preprocess());
    let (config, options) = (config(epochs), RunOptions::default());
    let outcome =
        fit(graph, train, Some(val.clone()), &preprocess, &config, &options, &mut go).unwrap();
    assert!(!outcome.kept);
    assert_eq!(count(&outcome.graph, val.as_ref()), outcome.validation.unwrap().counts);
    outcome.graph
}

/// The node that rounds the input.
fn of_input(graph: &Graph) -> &Node {
    let quantize = |node: &&Node| matches!(node.op, Op::Quantize { .. });
    let node = graph.nodes.iter().find(quantize).unwrap();
    assert_eq!(node.inputs[0], Some(graph.inputs[0]));
    node
}

#[test]
fn a_wrong_zero_point_moves() {
    let (_, mut graph) = quantised(Bits::Eight);
    let zero = |graph: &Graph| {
        let id = of_input(graph).inputs[2].unwrap();
        graph.constant(id).unwrap().to_i64().unwrap()[0]
    };
    let right = zero(&graph);
    assert!(right > 20 && right < 200, "{right}");
    let id = of_input(&graph).inputs[2].unwrap();
    // Nearly everything above 0 saturates.
    graph.set_constant(id, Tensor::new(vec![], vec![245u8]).unwrap());
    let found = zero(&trained(&graph, 6));
    assert!(found < 243, "{found} where {right} is right");
}

#[test]
fn bytes_with_a_zero_point_learn_as_signed_ones_do() {
    let (_, signed) = quantised(Bits::Eight);
    let mut unsigned = signed.clone();
    let shifted = |tensor: &Tensor| {
        let codes = tensor.i8s().unwrap().iter().map(|&c| (i16::from(c) + 128) as u8);
        Tensor::new(tensor.shape().to_vec(), codes.collect::<Vec<u8>>()).unwrap()
    };
    for index in 0..signed.nodes.len() {
        let node = signed.nodes[index].clone();
        let codes = node.inputs[0].and_then(|id| signed.constant(id));
        let Some(codes) = codes.filter(|codes| codes.dtype() == DType::I8) else { continue };
        let codes = unsigned.add_constant(format!("bytes{index}"), shifted(codes));
        let scale = signed.constant(node.inputs[1].unwrap()).unwrap();
        let zeros = Tensor::new(scale.shape().to_vec(), vec![128u8; scale.len()]).unwrap();
        let zeros = unsigned.add_constant(format!("zeros{index}"), zeros);
        unsigned.nodes[index].inputs = vec![Some(codes), node.inputs[1], Some(zeros)];
    }
    let unfolded = Unfolded::of(&unsigned).unwrap().unwrap();
    assert!(!unfolded.codes.is_empty() && unfolded.codes.values().all(|&c| c == [1.0, 255.0]));
    let folded = unfolded.fold(&unsigned, &unfolded.graph).unwrap();
    assert_eq!(toy::bytes(&folded), toy::bytes(&unsigned));
    let (signed, unsigned) = (trained(&signed, 2), trained(&unsigned, 2));
    let codes = |graph: &Graph, dtype: DType| {
        let constants = graph.nodes.iter().filter_map(|node| graph.constant(node.inputs[0]?));
        constants.filter(|t| t.dtype() == dtype).cloned().collect::<Vec<Tensor>>()
    };
    let signed: Vec<Tensor> = codes(&signed, DType::I8).iter().map(shifted).collect();
    assert!(!signed.is_empty());
    assert_eq!(signed, codes(&unsigned, DType::U8));
}

#[test]
fn a_quantised_model_does_not_become_worse() {
    let (_, graph) = quantised(Bits::Eight);
    let val = toy::bars(200, 2);
    let before = count(&graph, val.as_ref());
    // So fast that nothing is learned.
    let config = TrainConfig { lr: 2.0, warmup_epochs: 0.0, ema_decay: None, ..config(2) };
    for patience in [None, Some(1)] {
        let config = TrainConfig { patience, ..config.clone() };
        let options = RunOptions::default();
        let (train, preprocess) = (toy::bars(96, 1), toy::preprocess());
        let outcome =
            fit(&graph, train, Some(val.clone()), &preprocess, &config, &options, &mut go).unwrap();
        let epochs = outcome.history.iter().filter_map(|epoch| epoch.val_accuracy);
        assert!(epochs.fold(0.0, f64::max) < before.accuracy());
        assert!(outcome.kept);
        assert_eq!(outcome.before.unwrap().counts, before);
        assert_eq!(outcome.validation.unwrap().counts, before);
        assert_eq!(count(&outcome.graph, val.as_ref()), before);
        let mut plain = outcome.graph;
        plain.metadata.clone_from(&graph.metadata);
        assert_eq!(toy::bytes(&plain), toy::bytes(&graph));
    }
}

#[test]
fn threads_and_interruptions_change_nothing() {
    let (_, graph) = quantised(Bits::Eight);
    let folder = tempfile::tempdir().unwrap();
    let run = |threads, checkpoint: bool, observer: &mut dyn FnMut(&Progress) -> Control| {
        let path = folder.path().join("checkpoint");
        let options = RunOptions {
            threads,
            checkpoint: checkpoint.then(|| CheckpointOptions::new(path)),
            ..RunOptions::default()
        };
        let (train, preprocess) = (toy::bars(96, 1), toy::preprocess());
        fit(&graph, train, None, &preprocess, &config(2), &options, observer).unwrap()
    };
    let expected = toy::bytes(&run(1, false, &mut go).graph);
    assert!(toy::bytes(&run(3, false, &mut go).graph) == expected);
    let mut steps = 0;
    let stopped = run(2, true, &mut |p| {
        steps += usize::from(p.event == Event::Step);
        if steps == 5 { Control::Stop } else { Control::Continue }
    });
    assert_eq!(stopped.ending, Ending::Stopped);
    assert!(toy::bytes(&run(2, true, &mut go).graph) == expected);
}

/// Its sums are exact in float32 only.
#[test]
fn a_quantised_net_is_not_trained_in_bfloat16() {
    let (_, graph) = quantised(Bits::Eight);
    let config = TrainConfig { precision: edgecut_train::Precision::Bf16, ..config(1) };
    let (train, options) = (toy::bars(60, 1), RunOptions::default());
    let result = fit(&graph, train, None, &toy::preprocess(), &config, &options, &mut go);
    assert!(result.unwrap_err().to_string().contains("`precision`: bf16 is for float models"));
}
