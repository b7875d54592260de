//! A search that is killed goes on as if it had not been, whoever evaluates.

mod common;

use std::ops::ControlFlow;
use std::path::Path;

use common::Toy;
use edgecut_search::{
    ALGORITHMS, Algorithm, End, Event, FileJournal, History, NoJournal, Record, Search,
    SearchError, Threads, algorithm,
};

const SEED: u64 = 11;

fn run(
    toy: &Toy,
    algorithm: &dyn Algorithm,
    budget: f64,
    path: &Path,
    workers: usize,
) -> (History, End) {
    let search = Search { problem: toy, algorithm, seed: SEED, warm: &[] };
    let mut journal = FileJournal::open(path, &search.header()).unwrap();
    let mut workers = Threads { problem: toy, count: workers };
    search.run(budget, &mut journal, &mut workers, &mut |_| ControlFlow::Continue(())).unwrap()
}

fn toy() -> Toy {
    Toy { fidelities: vec![1.0 / 9.0, 1.0 / 3.0, 1.0], limit: 18.0, ..Toy::new() }
}

#[test]
fn cut_off_anywhere_a_search_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    for name in ALGORITHMS {
        let algorithm = algorithm(name).unwrap();
        let whole_run = run(&toy(), algorithm.as_ref(), 45.0, &path, 1);
        let whole = std::fs::read(&path).unwrap();
        // An odd step meets every place of a record.
        for cut in (0..whole.len()).step_by((whole.len() / 25) | 1) {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(run(&toy(), algorithm.as_ref(), 45.0, &path, 1), whole_run, "{name} {cut}");
            assert_eq!(std::fs::read(&path).unwrap(), whole, "{name} {cut}");
        }
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn the_number_of_workers_and_stops_in_between_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for name in ALGORITHMS {
        let algorithm = algorithm(name).unwrap();
        let alone = run(&toy(), algorithm.as_ref(), 45.0, &folder.path().join(name), 1);
        let slow = Toy { microseconds: 300, ..toy() };
        let path = folder.path().join(format!("{name}-3"));
        for budget in [0.0, 7.0, 20.0, 45.0] {
            let (history, _) = run(&slow, algorithm.as_ref(), budget, &path, 3);
            if budget == 45.0 {
                assert_eq!(history, alone.0, "{name}");
            }
        }
        let mut evaluated = slow.evaluated.into_inner().unwrap();
        evaluated.sort_unstable();
        let ended = |(i, t): (usize, &edgecut_search::Trial)| t.outcome.is_some().then_some(i);
        let trials: Vec<usize> = alone.0.trials.iter().enumerate().filter_map(ended).collect();
        assert_eq!(evaluated, trials, "{name}: each trial is evaluated once");
    }
}

#[test]
fn a_stopped_search_keeps_what_was_evaluated() {
    let (toy, algorithm) = (toy(), algorithm("nsga2").unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let search = Search { problem: &toy, algorithm: algorithm.as_ref(), seed: SEED, warm: &[] };
    let mut journal = FileJournal::open(&path, &search.header()).unwrap();
    let mut workers = Threads { problem: &toy, count: 2 };
    let mut left = 5;
    let (history, end) = search
        .run(45.0, &mut journal, &mut workers, &mut |event| match event {
            Event::Result(..) if left == 0 => ControlFlow::Break(()),
            Event::Result(..) => {
                left -= 1;
                ControlFlow::Continue(())
            }
            Event::Batch(..) => ControlFlow::Continue(()),
        })
        .unwrap();
    assert_eq!(end, End::Stopped);
    let ended = history.trials.iter().filter(|t| t.outcome.is_some()).count();
    assert_eq!(ended, toy.evaluated.lock().unwrap().len());
    drop(journal);
    let (_, records) = FileJournal::inspect(&path).unwrap();
    assert_eq!(records.iter().filter(|r| matches!(r, Record::Result { .. })).count(), ended);
}

#[test]
fn every_cut_leaves_the_records_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let (toy, algorithm) = (toy(), algorithm("random").unwrap());
    run(&toy, algorithm.as_ref(), 6.0, &path, 1);
    let header =
        Search { problem: &toy, algorithm: algorithm.as_ref(), seed: SEED, warm: &[] }.header();
    let whole = std::fs::read(&path).unwrap();
    for cut in 0..=whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let journal = FileJournal::open(&path, &header).unwrap();
        let lines = whole[..cut].iter().filter(|&&b| b == b'\n').count();
        let kept: usize =
            whole.split_inclusive(|&b| b == b'\n').take(lines.max(1)).map(<[u8]>::len).sum();
        assert_eq!(journal.notice().is_some(), lines > 0 && kept < cut, "{cut}");
        assert_eq!(std::fs::read(&path).unwrap(), whole[..kept], "{cut}");
    }
}

#[test]
fn a_journal_of_something_else_or_damaged_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let (toy, random) = (toy(), algorithm("random").unwrap());
    run(&toy, random.as_ref(), 6.0, &path, 1);
    let whole = std::fs::read(&path).unwrap();
    let search = Search { problem: &toy, algorithm: random.as_ref(), seed: SEED, warm: &[] };
    let refuse = |search: &Search, bytes: &[u8], says: &str| {
        std::fs::write(&path, bytes).unwrap();
        let error = FileJournal::open(&path, &search.header()).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("journal: "), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    };
    refuse(&Search { seed: 12, ..search }, &whole, "was begun with seed 11, and not 12");
    let nsga2 = algorithm("nsga2").unwrap();
    refuse(
        &Search { algorithm: nsga2.as_ref(), ..search },
        &whole,
        "algorithm random, and not nsga2",
    );
    let other = edgecut_search::Random { batch: 3 };
    refuse(&Search { algorithm: &other, ..search }, &whole, "settings");
    let one = Toy { objectives: toy.objectives[..1].to_vec(), ..self::toy() };
    refuse(
        &Search { problem: &one, ..search },
        &whole,
        "objectives accuracy, ms, and not accuracy",
    );
    let warm = [toy.space.sample(&mut edgecut_graph::rng::Rng::new(1))];
    refuse(&Search { warm: &warm, ..search }, &whole, "other first nets");

    let second = whole.iter().position(|&b| b == b'\n').unwrap() + 40;
    let mut damaged = whole.clone();
    damaged[second] ^= 1;
    refuse(&search, &damaged, "record 2 does not match its checksum");
    refuse(&search, b"a letter to someone\nwith two lines\n", "is no journal of a search");
    refuse(&search, b"a letter", "is no journal of a search");

    std::fs::write(&path, &whole).unwrap();
    let _open = FileJournal::open(&path, &search.header()).unwrap();
    let error = FileJournal::open(&path, &search.header()).unwrap_err();
    assert!(matches!(&error, SearchError::Journal { .. }) && error.to_string().contains("in use"));
}

#[test]
fn records_that_do_not_fit_are_errors() {
    let (toy, random) = (toy(), algorithm("random").unwrap());
    let search = Search { problem: &toy, algorithm: random.as_ref(), seed: SEED, warm: &[] };
    let (history, _) = search
        .run(3.0, &mut NoJournal, &mut Threads { problem: &toy, count: 1 }, &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap();
    let proposals: Vec<_> = history.trials.iter().map(|t| t.proposal.clone()).collect();
    let batch = |first| Record::Batch { first, proposals: proposals.clone(), notice: None };
    let result = |trial, values: Vec<f64>| Record::Result {
        trial,
        outcome: edgecut_search::Outcome::Objectives(values),
    };
    let restore = |records| edgecut_search::restore(&toy, records).map_err(|e| e.to_string());
    assert!(restore(vec![batch(0), result(1, vec![1.0, 2.0])]).is_ok());
    let cases = [
        (vec![batch(1)], "out of order"),
        (vec![batch(0), batch(16)], "out of order"),
        (vec![result(0, vec![1.0, 2.0])], "no open trial"),
        (vec![batch(0), result(0, vec![1.0, 2.0]), result(0, vec![1.0, 2.0])], "no open trial"),
        (vec![batch(0), result(0, vec![1.0])], "no value for each"),
        (vec![Record::Begin(search.header())], "second header"),
    ];
    for (records, says) in cases {
        assert!(restore(records).unwrap_err().contains(says), "{says}");
    }
}
