//! A search from a described space to a front, by shared weights.

#[path = "common/stripes.rs"]
mod stripes;

use std::ops::ControlFlow;

use edgecut_graph::cost;
use edgecut_kernels::Isa;
use edgecut_search::arch::{ArchSpace, SpaceFile};
use edgecut_search::proxy::ProxyOptions;
use edgecut_search::supernet::{Family, Judge, Network, Pictures, Sandwich, SharedWeights, train};
use edgecut_search::{
    Cost, Costs, End, Halving, NoJournal, Outcome, Predictor, Problem, Search, Subnets, Threads,
    warm_start,
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

/// Thousands of multiply-adds, and of parameters.
struct Work([Cost; 2]);

fn work(macs: f64, parameters: f64) -> Work {
    let cost = |name: &str, limit, objective| Cost { name: name.into(), limit, objective };
    Work([
        cost("multiply-adds, k", Some(macs), true),
        cost("parameters, k", Some(parameters), false),
    ])
}

impl Costs for Work {
    fn names(&self) -> &[Cost] {
        &self.0
    }

    fn of(&self, network: &Network) -> Result<Vec<f64>, String> {
        let counts = cost::cost(&network.graph, 1).map_err(|e| e.to_string())?;
        Ok([counts.macs, counts.parameters].map(|n| n as f64 / 1e3).to_vec())
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
    let (limit, parameters) = (150.0, 9.0);
    let costs = work(limit, parameters);
    let problem = Subnets::new(&space, judge(), &costs);
    assert_eq!(problem.objectives().len(), 2, "a limit alone is no objective");
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
        assert!(problem.costs(&trial.proposal.genome).unwrap()[1] <= parameters);
        assert_eq!(problem.known(&trial.proposal.genome), [None, Some(values[1])]);
        best = best.max(values[0]);
    }
    assert!(best > 70.0, "{best}");
    let largest = space.largest().unwrap().remove(0);
    let found = costs.of(&largest.into()).unwrap();
    assert!(found[0] > limit && found[1] > parameters, "{found:?}");
    let tighter = work(100.0, parameters);
    let tighter = Subnets::new(&space, judge(), &tighter);
    assert_ne!(tighter.digest(), problem.digest());
}

#[test]
fn many_are_looked_at_and_the_best_of_them_closely() {
    let space = ArchSpace::new(SpaceFile::parse(SPACE).unwrap(), [1, SIDE], 4).unwrap();
    let weights = weights(&space, 1);
    let calibration = Pictures::prepare(&stripes(20, 1), &preprocess(), 10, 20).unwrap();
    let pictures = Pictures::prepare(&stripes(100, 5), &preprocess(), 10, 100).unwrap();
    let machine = (1, Isa::detect());
    let judge =
        || Judge { weights: &weights, calibration: &calibration, pictures: &pictures, machine };
    let costs = work(150.0, 9.0);
    let problem = Subnets::new(&space, judge(), &costs);
    // 20 pictures for statistics, then 2, 4 or 10 batches of 10.
    assert_eq!(problem.fidelities(), [40.0 / 120.0, 60.0 / 120.0, 1.0]);
    let scored = |seed| {
        let options = ProxyOptions { seed, threads: 1 };
        warm_start(&space, &problem, &pictures, 16, &options, &mut |_| true).unwrap()
    };
    let warm = scored(1);
    assert_eq!(warm.len(), 4);
    assert!(warm.iter().all(|genome| problem.violation(genome) == 0.0));
    assert_eq!(warm, scored(1));
    assert_ne!(warm, scored(2));
    let halving = Halving { bracket: 9, factor: 3 };
    assert_eq!(halving.bracket_cost(&problem), 5.5);
    let search = Search { problem: &problem, algorithm: &halving, seed: 3, warm: &warm };
    let mut workers = Threads { problem: &problem, count: 2 };
    let watch = &mut |_: edgecut_search::Event| ControlFlow::Continue(());
    // 9 / 3 + 3 / 2 + 1 judgements.
    let (history, end) = search.run(5.5, &mut NoJournal, &mut workers, watch).unwrap();
    let at = |fidelity| history.trials.iter().filter(move |t| t.proposal.fidelity == fidelity);
    assert_eq!((at(0).count(), at(1).count(), at(2).count(), end), (9, 3, 1, End::Budget));
    assert!(at(0).zip(&warm).all(|(trial, genome)| trial.proposal.genome == *genome));
    let last = at(2).next().unwrap();
    let network = space.network(&last.proposal.genome, 0).unwrap();
    let accuracy = 100.0 * judge().judge(network).unwrap().accuracy();
    assert_eq!(last.objectives().unwrap()[0], accuracy);
}
