//! A search from a described space to a front, by shared weights.

#[path = "common/stripes.rs"]
mod stripes;

use std::ops::ControlFlow;

use edgecut_graph::{Graph, cost};
use edgecut_kernels::Isa;
use edgecut_search::arch::{ArchSpace, SpaceFile};
use edgecut_search::supernet::{Family, Judge, Pictures, Sandwich, SharedWeights, train};
use edgecut_search::{
    Costs, End, NoJournal, Outcome, Predictor, Problem, Search, Subnets, Threads,
};
use edgecut_train::config::{RunOptions, TrainConfig};
use edgecut_train::progress::Control;

use stripes::{SIDE, preprocess, stripes};

const SPACE: &str = r#"
name = "stripes"
resolution = [8, 12]
stem = { channels = [8, 16] }

[[stage]]
block = ["mobilenet-v2", "fire"]
channels = "8..24"
depth = [1, 2]
stride = 2
kernel = [3, 5]
expansion = [2, 4]
"#;

/// Thousands of multiply-adds.
struct Work;

impl Costs for Work {
    fn names(&self) -> Vec<String> {
        vec!["multiply-adds, k".into()]
    }

    fn of(&self, graph: &Graph) -> Result<Vec<f64>, String> {
        let macs = cost::cost(graph, 1).map_err(|e| e.to_string())?.macs;
        Ok(vec![macs as f64 / 1e3])
    }
}

fn weights(space: &ArchSpace, epochs: usize) -> SharedWeights {
    let config = TrainConfig { epochs, batch: 32, lr: 0.1, ..TrainConfig::default() };
    let options = RunOptions { threads: 1, ..RunOptions::default() };
    let (set, preprocess) = (stripes(256, 1), preprocess());
    let sandwich = Sandwich { config, random: 1 };
    let observer = &mut |_: &_| Control::Continue;
    train(space, (&set, &preprocess), &sandwich, &options, observer).unwrap().0
}

#[test]
fn a_search_finds_good_networks_within_limits() {
    let space = ArchSpace::new(SpaceFile::parse(SPACE).unwrap(), [1, SIDE], 4).unwrap();
    let weights = weights(&space, 8);
    let calibration = Pictures::prepare(&stripes(128, 1), &preprocess(), 64, 128).unwrap();
    let pictures = Pictures::prepare(&stripes(100, 5), &preprocess(), 64, 100).unwrap();
    assert_eq!(pictures.extent().h, SIDE);
    let (weights, machine) = (&weights, (1, Isa::detect()));
    let judge = || Judge { weights, calibration: &calibration, pictures: &pictures, machine };
    let limit = 150.0;
    let problem = Subnets::new(&space, judge(), &Work, vec![Some(limit)]);
    let search = Search { problem: &problem, algorithm: &Predictor::default(), seed: 3, warm: &[] };
    let mut workers = Threads { problem: &problem, count: 2 };
    let watch = &mut |_: edgecut_search::Event| ControlFlow::Continue(());
    let (history, end) = search.run(16.0, &mut NoJournal, &mut workers, watch).unwrap();
    let over: Vec<_> = history.trials.iter().filter(|trial| trial.outcome.is_some()).collect();
    assert_eq!((over.len(), end), (16, End::Budget));
    let mut best: f64 = 0.0;
    for trial in over {
        let Some(Outcome::Objectives(values)) = &trial.outcome else { panic!("{trial:?}") };
        assert!(values[1] <= limit && problem.violation(&trial.proposal.genome) == 0.0);
        assert_eq!(problem.known(&trial.proposal.genome), [None, Some(values[1])]);
        best = best.max(values[0]);
    }
    assert!(best > 70.0, "{best}");
    let largest = space.largest().unwrap().remove(0);
    assert!(Work.of(&largest).unwrap()[0] > limit);
    let tighter = Subnets::new(&space, judge(), &Work, vec![Some(100.0)]);
    assert_ne!(tighter.digest(), problem.digest());
}
