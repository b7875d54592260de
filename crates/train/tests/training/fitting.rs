//! The training loop learns, reports, ends and refuses as it says.

use std::time::Duration;

use edgecut_graph::{Builder, Graph, Op, Window};
use edgecut_train::data::Preprocess;
use edgecut_train::plan::TrainPlan;
use edgecut_train::{
    Control, Ending, Event, Optimizer, Progress, RunOptions, TrainConfig, TrainError, fit,
};

use crate::toy;

fn go(_: &Progress) -> Control {
    Control::Continue
}

#[test]
fn a_toy_problem_is_learned_completely() {
    for (optimizer, lr, ema_decay) in
        [(Optimizer::SGD, 0.1, Some(0.95)), (Optimizer::ADAMW, 0.01, None)]
    {
        let config = TrainConfig { optimizer, lr, ema_decay, ..toy::config(12) };
        let (train, val) = (toy::bars(240, 1), toy::bars(90, 2));
        let (graph, preprocess) = (toy::network(3), toy::preprocess());
        let options = RunOptions::default();
        let mut events = vec![];
        let outcome = fit(&graph, train, Some(val), &preprocess, &config, &options, &mut |p| {
            assert!(p.loss.is_finite() && p.step <= p.steps_per_epoch && p.epoch <= p.epochs);
            events.push(match p.event {
                Event::Planned(memory) => {
                    assert!(memory.total() > 0 && memory.recomputation <= 0.125);
                    'p'
                }
                Event::Step => 's',
                Event::Validating => 'v',
                Event::EpochEnd(stats) => {
                    assert_eq!(stats.epoch, p.epoch);
                    'e'
                }
                Event::Begun(_) | Event::Resumed | Event::Saved => {
                    panic!("no checkpoint, no integers")
                }
                Event::Skipped { .. } => panic!("all samples can be read"),
            });
            Control::Continue
        });
        let outcome = outcome.unwrap();
        let events: String = events.into_iter().collect();
        assert_eq!(events, format!("p{}", format!("{}ve", "s".repeat(20)).repeat(12)));
        assert_eq!((outcome.ending, outcome.history.len()), (Ending::Completed, 12));
        let validation = outcome.validation.unwrap();
        assert_eq!(validation.counts.accuracy(), 1.0, "{optimizer:?}");
        let (first, last) = (outcome.history[0], outcome.history[11]);
        assert!(last.train_loss < 0.7 * first.train_loss);
        assert_eq!(last.val_accuracy, Some(1.0));
        assert!(outcome.images_per_second > 0.0);
        let stored: Preprocess =
            serde_json::from_str(&outcome.graph.metadata["edgecut.preprocess"]).unwrap();
        assert_eq!(stored, preprocess);
        assert_eq!(outcome.graph.metadata["edgecut.classes"], r#"["across","upright","diagonal"]"#);
    }
}

#[test]
fn a_time_budget_ends_training_with_measured_weights() {
    let options = RunOptions { max_time: Some(Duration::ZERO), ..RunOptions::default() };
    let (train, val) = (toy::bars(50, 1), toy::bars(20, 2));
    let graph = toy::network(3);
    let outcome =
        fit(&graph, train, Some(val), &toy::preprocess(), &toy::config(3), &options, &mut go)
            .unwrap();
    assert_eq!((outcome.ending, outcome.steps), (Ending::OutOfTime, 0));
    assert_eq!(outcome.validation.unwrap().counts.total, 20);
}

#[test]
fn settings_out_of_range_are_named() {
    let try_config = |change: fn(&mut TrainConfig)| {
        let mut config = toy::config(1);
        change(&mut config);
        let (graph, train) = (toy::network(1), toy::bars(24, 1));
        let options = RunOptions::default();
        let result = fit(&graph, train, None, &toy::preprocess(), &config, &options, &mut go);
        result.map(|_| String::new()).unwrap_or_else(|e| e.to_string())
    };
    assert!(try_config(|c| c.epochs = 0).contains("epochs"));
    assert!(try_config(|c| c.batch = 0).contains("batch"));
    assert!(try_config(|c| c.lr = f32::NAN).contains("lr"));
    assert!(try_config(|c| c.warmup_epochs = 2.0).contains("warmup_epochs"));
    assert!(try_config(|c| c.ema_decay = Some(1.0)).contains("ema_decay"));
    assert!(try_config(|c| c.label_smoothing = -0.1).contains("label_smoothing"));
    assert!(try_config(|c| c.weight_decay = -1.0).contains("weight_decay"));
    let momentum = Optimizer::Sgd { momentum: 1.5, nesterov: false };
    assert!(try_config(|_| ()).is_empty());
    let config = TrainConfig { optimizer: momentum, ..toy::config(1) };
    assert!(config.validate().unwrap_err().to_string().contains("momentum"));
    assert_eq!(try_config(|c| c.batch = 1000), "", "a batch larger than the data is all of it");
}

#[test]
fn a_loss_that_is_no_number_is_reported_with_its_place() {
    let config = TrainConfig { lr: 1e30, warmup_epochs: 0.0, ..toy::config(2) };
    let (graph, train) = (toy::network(1), toy::bars(48, 1));
    let options = RunOptions::default();
    let result = fit(&graph, train, None, &toy::preprocess(), &config, &options, &mut go);
    assert!(matches!(result, Err(TrainError::Diverged { .. })), "{result:?}");
}

#[test]
fn data_that_do_not_fit_the_model_are_refused() {
    let (graph, options) = (toy::network(1), RunOptions::default());
    let other = Preprocess::plain([9, 8, 1], vec![0.3], vec![0.3]);
    let result = fit(&graph, toy::bars(24, 1), None, &other, &toy::config(1), &options, &mut go);
    let error = result.unwrap_err().to_string();
    assert!(error.contains("9x8") && error.contains("8x8"), "{error}");
    let result =
        fit(&graph, toy::bars(0, 1), None, &toy::preprocess(), &toy::config(1), &options, &mut go);
    assert!(result.is_err());
}

fn refused(
    name: &str,
    layer: impl FnOnce(&mut Builder, edgecut_graph::ValueId) -> edgecut_graph::ValueId,
) -> String {
    let mut b = Builder::new(name, 1);
    let x = b.input("image", ["n".into(), 2.into(), 6.into(), 6.into()]);
    let x = layer(&mut b, x);
    let graph: Graph = b.finish(&[x]).unwrap();
    match TrainPlan::new(&graph, 2) {
        Ok(_) => panic!("{name} was accepted"),
        Err(e) => e.to_string(),
    }
}

#[test]
fn what_cannot_be_trained_is_named() {
    let error = refused("map", |b, x| b.conv(x, "c", 3, Window::same(3, 1), 1, true).unwrap());
    assert!(error.contains("[n, 3, 6, 6]") && error.contains("[batch, classes]"), "{error}");
    let top = Op::TopK { axis: 1, k: 1, largest: true };
    let error = refused("top", |b, x| {
        let x = b.conv(x, "c", 3, Window::same(3, 1), 1, true).unwrap();
        b.apply("best", top, &[x]).unwrap()
    });
    assert!(error.contains("best") && error.contains("TopK"), "{error}");
    let error = refused("nothing to learn", |b, x| {
        let x = b.global_average_pool(x).unwrap();
        b.flatten(x).unwrap()
    });
    assert!(error.contains("no parameter"), "{error}");
}
