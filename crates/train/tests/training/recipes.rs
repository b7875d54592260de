//! What a recipe may add to plain training does what it says.

use edgecut_graph::Graph;
use edgecut_train::data::Sampling;
use edgecut_train::schedule::Decay;
use edgecut_train::{
    ClassWeights, Control, Ending, Optimizer, Progress, RunOptions, TrainConfig, find_rate, fit,
};

use crate::toy;

fn go(_: &Progress) -> Control {
    Control::Continue
}

#[test]
fn every_recipe_learns_the_toy_problem() {
    type Change = fn(&mut TrainConfig);
    let recipes: [(&str, Change); 5] = [
        ("lamb", |c| (c.optimizer, c.lr) = (Optimizer::LAMB, 0.02)),
        ("one cycle", |c| c.decay = Decay::OneCycle),
        ("parts", |c| c.accumulate = 3),
        ("mixed", |c| (c.mix.mixup, c.mix.cutmix) = (0.2, 0.2)),
        ("balanced", |c| {
            (c.sampling, c.class_weights) = (Sampling::Balanced, ClassWeights::Balanced);
        }),
    ];
    for (name, change) in recipes {
        let mut config = toy::config(12);
        change(&mut config);
        let (train, val) = (toy::bars(240, 1), toy::bars(90, 2));
        let options = RunOptions::default();
        let preprocess = toy::preprocess();
        let graph = toy::network(3);
        let outcome = fit(&graph, train, Some(val), &preprocess, &config, &options, &mut go);
        let accuracy = outcome.unwrap().validation.unwrap().counts.accuracy();
        assert!(accuracy > 0.98, "{name}: {accuracy}");
    }
}

/// Without BatchNorm a batch in parts is the whole batch, up to the order of sums.
#[test]
fn parts_of_a_batch_add_up() {
    let step = |accumulate| {
        let config = TrainConfig { accumulate, ..toy::config(1) };
        let options = RunOptions::default();
        let (graph, train) = (toy::without_batch_norm(3), toy::bars(36, 1));
        fit(&graph, train, None, &toy::preprocess(), &config, &options, &mut go).unwrap().graph
    };
    let (whole, parts) = (step(1), step(5));
    let weights = |graph: &Graph| -> Vec<f32> {
        graph.values().iter().filter_map(|v| v.constant.as_ref()).flat_map(|t| t.to_f32()).collect()
    };
    let (whole, parts) = (weights(&whole), weights(&parts));
    let worst = whole.iter().zip(&parts).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-5 && whole != parts, "{worst}");
}

#[test]
fn a_plateau_ends_training_with_the_best_weights() {
    let config = TrainConfig { patience: Some(2), ..toy::config(40) };
    let (train, val) = (toy::bars(240, 1), toy::bars(90, 2));
    let (graph, preprocess, options) = (toy::network(3), toy::preprocess(), RunOptions::default());
    let outcome = fit(&graph, train, Some(val), &preprocess, &config, &options, &mut go).unwrap();
    assert_eq!(outcome.ending, Ending::Plateau);
    let accuracies: Vec<f64> = outcome.history.iter().map(|e| e.val_accuracy.unwrap()).collect();
    let best = accuracies.iter().position(|&a| a == 1.0).unwrap();
    assert_eq!(accuracies.len(), best + 3, "{accuracies:?}");
    let validation = outcome.validation.unwrap();
    assert_eq!(validation.counts.accuracy(), 1.0);
    assert_eq!(validation.loss, outcome.history[best].val_loss.unwrap());
}

#[test]
fn a_search_finds_a_rate_that_learns() {
    let (graph, preprocess) = (toy::network(3), toy::preprocess());
    let (config, options) = (toy::config(1), RunOptions::default());
    let train = toy::bars(240, 1);
    let curve =
        find_rate(&graph, train, &preprocess, &config, &options, 100, &mut |_| true).unwrap();
    let rate = curve.suggested.unwrap();
    assert!((1e-3..3.0).contains(&rate), "{rate}");
    assert!(curve.points.len() > 50 && curve.points[0].lr < 2e-6);
}
