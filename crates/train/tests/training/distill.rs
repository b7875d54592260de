//! A student learns from its teachers, and what is kept on disk changes nothing.

use std::path::{Path, PathBuf};

use edgecut_graph::{Graph, interpret};
use edgecut_kernels::Isa;
use edgecut_train::data::Augment;
use edgecut_train::distill::{
    AnswerLoss, Distillation, FeatureLoss, FeatureMatch, Guide, RateTerm, TeacherModel, label,
    pairs,
};
use edgecut_train::{
    CheckpointOptions, Control, Ending, Event, Progress, RunOptions, TrainConfig, TrainOutcome,
    fit, fit_guided,
};

use crate::toy;

fn go(_: &Progress) -> Control {
    Control::Continue
}

/// A network that knows the toy problem.
fn teacher(seed: u64) -> TeacherModel {
    let (train, config) = (toy::bars(240, 1), toy::config(12));
    let (graph, options) = (toy::network(seed), RunOptions::default());
    let outcome = fit(&graph, train, None, &toy::preprocess(), &config, &options, &mut go).unwrap();
    TeacherModel { graph: outcome.graph, preprocess: Some(toy::preprocess()) }
}

fn soft() -> Distillation {
    Distillation {
        labels: 0.0,
        answers: 1.0,
        loss: AnswerLoss::Soft { temperature: 2.0 },
        features: vec![],
        rates: vec![],
        views: 2,
    }
}

/// Trains a student without labels of its own.
fn student(
    distillation: &Distillation,
    teachers: &[TeacherModel],
    (config, threads): (&TrainConfig, usize),
    cache: Option<PathBuf>,
    checkpoint: Option<&Path>,
    observer: &mut dyn FnMut(&Progress) -> Control,
) -> TrainOutcome {
    let options = RunOptions {
        threads,
        checkpoint: checkpoint.map(CheckpointOptions::new),
        ..RunOptions::default()
    };
    let mut guide =
        Guide::new(distillation.clone(), teachers.to_vec(), cache, threads, Isa::detect()).unwrap();
    let (train, val) = (toy::bars(96, 4), toy::bars(90, 2));
    let graph = toy::network(9);
    let preprocess = toy::preprocess();
    let guide = Some(&mut guide);
    fit_guided(&graph, train, Some(val), &preprocess, config, &options, guide, observer).unwrap()
}

fn varied(epochs: usize) -> TrainConfig {
    TrainConfig { augment: Augment::crop_and_flip(1), ..toy::config(epochs) }
}

#[test]
fn every_loss_teaches_without_labels() {
    let teachers = [teacher(3)];
    let feature = |loss, weight| {
        let (own, theirs) =
            pairs(loss, &toy::network(9), &teachers[0].graph).pop().expect("a pair");
        FeatureMatch { loss, weight, student: own, teacher: theirs }
    };
    let losses = [
        soft(),
        Distillation {
            loss: AnswerLoss::Decoupled { temperature: 2.0, target: 1.0, others: 2.0 },
            ..soft()
        },
        Distillation { features: vec![feature(FeatureLoss::Hint, 1.0)], ..soft() },
        Distillation { features: vec![feature(FeatureLoss::Attention, 5.0)], ..soft() },
        Distillation { features: vec![feature(FeatureLoss::Relation, 2.0)], ..soft() },
        Distillation { features: vec![feature(FeatureLoss::Same, 1.0)], ..soft() },
    ];
    for distillation in losses {
        let outcome = student(&distillation, &teachers, (&toy::config(25), 2), None, None, &mut go);
        let accuracy = outcome.validation.unwrap().counts.accuracy();
        assert!(accuracy > 0.95, "{distillation:?}: {accuracy}");
    }
}

/// A price makes a value small, and leaves what is learned alone.
#[test]
fn values_with_a_price_take_fewer_bits() {
    let teachers = [teacher(3)];
    let (value, _) = pairs(FeatureLoss::Hint, &toy::network(9), &teachers[0].graph).pop().unwrap();
    let size = |weight: f32| {
        let rates = vec![RateTerm { value: value.clone(), weight }];
        let distillation = Distillation { rates, ..soft() };
        let outcome = student(&distillation, &teachers, (&toy::config(25), 2), None, None, &mut go);
        assert!(outcome.validation.unwrap().counts.accuracy() > 0.9, "{weight}");
        let mut graph = outcome.graph;
        graph.outputs = vec![graph.find_value(&value).unwrap()];
        let image = graph.value(graph.inputs[0]).shape.with_symbols(1);
        let seen = interpret::run(&graph, &[edgecut_testkit::random_tensor(&image, 1)]).unwrap();
        seen[0].to_f32().iter().map(|v| f64::from(v.abs())).sum::<f64>()
    };
    let (free, priced) = (size(0.0), size(0.0005));
    assert!(priced < 0.9 * free, "{priced} {free}");
}

#[test]
fn cache_threads_and_interruptions_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let teachers = [teacher(3), teacher(4)];
    let config = varied(4);
    let plain = student(&soft(), &teachers, (&config, 1), None, None, &mut go);
    let expected = toy::bytes(&plain.graph);
    let cache = folder.path().join("answers");
    for threads in [1, 2] {
        let kept = Some(cache.clone());
        let outcome = student(&soft(), &teachers, (&config, threads), kept, None, &mut go);
        assert!(toy::bytes(&outcome.graph) == expected, "{threads} threads");
    }
    assert!(std::fs::metadata(&cache).unwrap().len() > 96 * 16);
    let checkpoint = folder.path().join("stopped");
    let mut left = 11;
    let mut stop = |p: &Progress| {
        left -= usize::from(p.event == Event::Step && left > 0);
        if left == 0 { Control::Stop } else { Control::Continue }
    };
    let args = (&config, 2);
    let stopped = student(&soft(), &teachers, args, None, Some(&checkpoint), &mut stop);
    assert_eq!(stopped.ending, Ending::Stopped);
    let outcome = student(&soft(), &teachers, args, Some(cache), Some(&checkpoint), &mut go);
    assert!(toy::bytes(&outcome.graph) == expected, "after an interruption");
}

#[test]
fn hints_have_weights_that_survive_an_interruption() {
    let folder = tempfile::tempdir().unwrap();
    let teachers = [teacher(3)];
    let names = pairs(FeatureLoss::Hint, &toy::network(9), &teachers[0].graph);
    let (own, theirs) = names[0].clone();
    let hint = FeatureMatch { loss: FeatureLoss::Hint, weight: 1.0, student: own, teacher: theirs };
    let distillation = Distillation { features: vec![hint], ..soft() };
    let config = TrainConfig { accumulate: 2, ..varied(2) };
    let run = |checkpoint: Option<&Path>, stop: &mut dyn FnMut(&Progress) -> Control| {
        student(&distillation, &teachers, (&config, 2), None, checkpoint, stop)
    };
    let expected = toy::bytes(&run(None, &mut go).graph);
    let checkpoint = folder.path().join("stopped");
    let mut steps = 0;
    run(Some(&checkpoint), &mut |p| {
        steps += usize::from(p.event == Event::Step);
        if steps == 5 { Control::Stop } else { Control::Continue }
    });
    assert!(toy::bytes(&run(Some(&checkpoint), &mut go).graph) == expected);
}

#[test]
fn teachers_name_the_classes_of_pictures() {
    let set = toy::bars(30, 8);
    let labels = label(&[teacher(3)], set.clone(), &toy::preprocess(), 3, 1).unwrap();
    let right = labels.iter().enumerate().filter(|&(i, &l)| set.label(i) == l).count();
    assert!(labels.len() == 30 && right >= 29, "{right} of 30");
}

#[test]
fn teachers_that_do_not_fit_are_named() {
    let fails = |graph: Graph, distillation: Distillation| {
        let teacher = TeacherModel { graph, preprocess: None };
        let guide = Guide::new(distillation, vec![teacher], None, 1, Isa::detect());
        let mut guide = match guide {
            Ok(guide) => guide,
            Err(error) => return error.to_string(),
        };
        let (graph, train) = (toy::network(1), toy::bars(24, 1));
        let options = RunOptions::default();
        let (preprocess, config) = (toy::preprocess(), toy::config(1));
        let result = fit_guided(
            &graph,
            train,
            None,
            &preprocess,
            &config,
            &options,
            Some(&mut guide),
            &mut go,
        );
        result.map(|_| String::new()).unwrap_or_else(|e| e.to_string())
    };
    let classes = fails(toy::with_classes(1, 5), soft());
    assert!(classes.contains("5 classes") && classes.contains("teacher"), "{classes}");
    let hint = FeatureMatch {
        loss: FeatureLoss::Hint,
        weight: 1.0,
        student: "nothing".into(),
        teacher: "x".into(),
    };
    let name = fails(toy::network(1), Distillation { features: vec![hint], ..soft() });
    assert!(name.contains("'nothing'"), "{name}");
    let cold = AnswerLoss::Soft { temperature: 0.0 };
    assert!(fails(toy::network(1), Distillation { loss: cold, ..soft() }).contains("temperature"));
}
