//! A network that was pruned weight by weight is trained as pruned, one with palettes as clustered.

use std::collections::BTreeMap;

use edgecut_graph::{Graph, Tensor};
use edgecut_train::{Control, Optimizer, Progress, RunOptions, TrainConfig, TrainError, fit};

use crate::toy;

fn weights<'a>(graph: &'a Graph, layer: &str) -> &'a [f32] {
    let node = graph.nodes.iter().find(|node| node.name == layer).unwrap();
    graph.constant(node.inputs[1].unwrap()).unwrap().f32s().unwrap()
}

fn go(_: &Progress) -> Control {
    Control::Continue
}

/// The toy network without every second weight of a layer.
fn pruned() -> Graph {
    changed(|values| values.iter_mut().step_by(2).for_each(|w| *w = 0.0))
}

/// The toy network with other weights in a layer.
fn changed(change: impl Fn(&mut [f32])) -> Graph {
    let mut graph = toy::network(3);
    let node = graph.nodes.iter().find(|node| node.name == "expand").unwrap();
    let id = node.inputs[1].unwrap();
    let shape = graph.value(id).shape.with_symbols(1);
    let mut values = weights(&graph, "expand").to_vec();
    change(&mut values);
    graph.set_constant(id, Tensor::new(shape, values).unwrap());
    graph
}

#[test]
fn zeros_stay_zeros_and_everything_else_learns() {
    for optimizer in [Optimizer::SGD, Optimizer::ADAMW, Optimizer::LAMB] {
        for keep_zeros in [true, false] {
            let ema_decay = Some(0.9);
            let config = TrainConfig { optimizer, keep_zeros, ema_decay, ..toy::config(2) };
            let options = RunOptions::default();
            let (data, preprocess) = (toy::bars(120, 1), toy::preprocess());
            let trained =
                fit(&pruned(), data, None, &preprocess, &config, &options, &mut go).unwrap();
            let (before, graph) = (pruned(), trained.graph);
            let pairs = || weights(&before, "expand").iter().zip(weights(&graph, "expand"));
            let zeros = pairs().filter(|(old, new)| **old == 0.0 && **new == 0.0).count();
            let expected = if keep_zeros { pairs().count() / 2 } else { 0 };
            assert_eq!(zeros, expected, "{optimizer:?}");
            assert!(pairs().all(|(old, new)| *old == 0.0 || old != new), "{optimizer:?}");
            let depthwise = |graph| weights(graph, "depthwise").to_vec();
            assert_ne!(depthwise(&before), depthwise(&graph), "{optimizer:?}");
        }
    }
}

#[test]
fn equal_weights_stay_equal_and_learn_together() {
    let palette = [0.0, -0.3, 0.2, 0.5];
    let clustered = || {
        changed(|values| {
            (0..).zip(values).for_each(|(i, w): (usize, _)| *w = palette[(i + i / 4) % 4]);
        })
    };
    for optimizer in [Optimizer::SGD, Optimizer::ADAMW, Optimizer::LAMB] {
        let config = TrainConfig {
            optimizer,
            keep_palette: true,
            ema_decay: Some(0.9),
            accumulate: 2,
            ..toy::config(2)
        };
        let train = |graph: &Graph| {
            let (data, preprocess) = (toy::bars(120, 1), toy::preprocess());
            fit(graph, data, None, &preprocess, &config, &RunOptions::default(), &mut go)
        };
        let (before, after) = (clustered(), train(&clustered()).unwrap().graph);
        let mut learned = BTreeMap::new();
        for (old, new) in weights(&before, "expand").iter().zip(weights(&after, "expand")) {
            let known = learned.entry(old.to_bits()).or_insert(new.to_bits());
            assert_eq!(*known, new.to_bits(), "{optimizer:?}: weights of one value");
            assert_eq!(*old == 0.0, old == new, "{optimizer:?}: zeros alone stay");
        }
        assert_eq!(learned.len(), palette.len());
        let refused = train(&toy::network(3)).unwrap_err();
        assert!(matches!(refused, TrainError::Config { .. }), "{refused}");
    }
}
