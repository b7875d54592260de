//! What every algorithm keeps to, and that those that learn beat those that do not.

mod common;

use std::ops::ControlFlow;

use common::Toy;
use edgecut_search::pareto::Bounds;
use edgecut_search::{
    ALGORITHMS, Algorithm, End, Event, Gene, Genome, History, NoJournal, Objective, Search, Space,
    Threads, algorithm,
};
use num_bigint::BigUint;

fn run(
    toy: &Toy,
    algorithm: &dyn Algorithm,
    seed: u64,
    budget: f64,
    warm: &[Genome],
) -> (History, End, Vec<String>) {
    let search = Search { problem: toy, algorithm, seed, warm };
    let mut notices = vec![];
    let mut workers = Threads { problem: toy, count: 1 };
    let (history, end) = search
        .run(budget, &mut NoJournal, &mut workers, &mut |event| {
            if let Event::Batch(_, Some(notice), _) = event {
                notices.push(notice.to_string());
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    (history, end, notices)
}

#[test]
fn what_breaks_limits_is_never_evaluated_and_nothing_twice() {
    for name in ALGORITHMS {
        // One net of a thousand keeps the second limit.
        for limit in [18.0, 5.0] {
            let toy = Toy { limit, ..Toy::new() };
            let (history, _, notices) = run(&toy, algorithm(name).unwrap().as_ref(), 3, 60.0, &[]);
            let full: Vec<&Genome> = history.trials.iter().map(|t| &t.proposal.genome).collect();
            assert!(full.len() >= 25, "{name} {limit}: {}", full.len());
            assert!(full.iter().all(|g| toy.latency(g) <= limit), "{name} {limit}");
            let distinct: std::collections::HashSet<_> = full.iter().collect();
            assert_eq!(distinct.len(), full.len(), "{name} {limit}");
            assert!(notices.is_empty(), "{name} {limit}");
        }
    }
}

#[test]
fn where_nothing_keeps_the_limits_they_are_relaxed_and_it_is_said() {
    for name in ALGORITHMS {
        // The smallest net takes 3.
        let toy = Toy { limit: 2.0, ..Toy::new() };
        let (history, _, notices) = run(&toy, algorithm(name).unwrap().as_ref(), 3, 40.0, &[]);
        assert!(notices[0].contains("exceed them by 0.5500"), "{name}: {notices:?}");
        let least = |t: &edgecut_search::Trial| toy.latency(&t.proposal.genome) <= 3.1;
        assert!(!history.trials.is_empty() && history.trials.iter().all(least), "{name}");
    }
}

#[test]
fn a_small_space_is_searched_to_its_end() {
    for name in ALGORITHMS {
        let mut toy = Toy::new();
        toy.space = Space::new(toy.space.genes()[..3].to_vec()).unwrap();
        toy.objectives.truncate(2);
        let all = toy.space.size().unwrap();
        let small = Small(toy);
        let algorithm = algorithm(name).unwrap();
        let search = Search { problem: &small, algorithm: algorithm.as_ref(), seed: 1, warm: &[] };
        let mut workers = Threads { problem: &small, count: 1 };
        let (history, end) = search
            .run(1000.0, &mut NoJournal, &mut workers, &mut |_| ControlFlow::Continue(()))
            .unwrap();
        assert_eq!(end, End::Exhausted, "{name}");
        assert_eq!(BigUint::from(history.trials.len()), all, "{name}");
    }
}

/// Objectives that need no stages.
struct Small(Toy);

impl edgecut_search::Problem for Small {
    fn space(&self) -> &Space {
        &self.0.space
    }

    fn objectives(&self) -> &[Objective] {
        &self.0.objectives
    }

    fn evaluate(&self, proposal: &edgecut_search::Proposal, _: usize) -> Result<Vec<f64>, String> {
        let sum: f64 = proposal.genome.choices().iter().map(|&c| f64::from(c)).sum();
        Ok(vec![sum.sqrt(), sum])
    }
}

#[test]
fn nets_to_begin_with_come_first_if_they_keep_the_limits() {
    let toy = Toy { limit: 18.0, ..Toy::new() };
    let genome = |width: u16| {
        let stage = [1, width, 2, 1, 0];
        toy.space.genome([stage, stage, stage].concat()).unwrap()
    };
    let warm = [genome(0), genome(3), genome(1)];
    for name in ALGORITHMS {
        let (history, ..) = run(&toy, algorithm(name).unwrap().as_ref(), 3, 5.0, &warm);
        assert_eq!([history.genome(0), history.genome(1)], [&warm[0], &warm[2]], "{name}");
    }
}

fn share_of_front(name: &str, budget: f64) -> f64 {
    let bounds = Bounds { ideal: vec![-100.0, 0.0], reference: vec![-40.0, 61.2] };
    let share = |seed: u64| {
        let toy = Toy::new();
        let (history, ..) = run(&toy, algorithm(name).unwrap().as_ref(), seed, budget, &[]);
        let costs: Vec<Vec<f64>> = history
            .front(&toy)
            .into_iter()
            .map(|i| history.trials[i].objectives().unwrap())
            .map(|v| vec![-v[0], v[1]])
            .collect();
        bounds.hypervolume(&costs)
    };
    (0..5).map(share).sum::<f64>() / 5.0
}

#[test]
fn whoever_learns_more_finds_more() {
    let names = ["predictor", "nsga2", "random"];
    let found = names.map(|name| share_of_front(name, 120.0));
    assert!(found[0] > found[1] && found[1] > found[2], "{names:?}: {found:?}");
}

#[test]
fn one_objective_is_searched_by_evolution_better_than_at_random() {
    let best = |name: &str, seed: u64| {
        let mut toy = Toy { limit: 30.0, ..Toy::new() };
        toy.objectives.truncate(1);
        let (history, ..) = run(&toy, algorithm(name).unwrap().as_ref(), seed, 150.0, &[]);
        let values = history.trials.iter().filter_map(|t| t.objectives());
        values.map(|v| v[0]).fold(0.0, f64::max)
    };
    let mean = |name: &str| (0..10).map(|seed| best(name, seed)).sum::<f64>() / 10.0;
    let (evolution, random) = (mean("evolution"), mean("random"));
    assert!(evolution > random, "{evolution} {random}");
}

#[test]
fn genes_without_a_choice_are_no_trouble() {
    let mut toy = Toy::new();
    let mut genes: Vec<Gene> = toy.space.genes().to_vec();
    genes[1].choices.truncate(1);
    toy.space = Space::new(genes).unwrap();
    for name in ALGORITHMS {
        let (history, ..) = run(&toy, algorithm(name).unwrap().as_ref(), 2, 50.0, &[]);
        assert!(history.trials.len() >= 50, "{name}");
    }
}
