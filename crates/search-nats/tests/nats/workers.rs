//! Workers in threads of the test: who may work, and that every trial counts once.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::{
    LEASE, Toy, address, alone, coordinate, go_on, header, nsga2, search, toy, worker,
};
use edgecut_search::{End, Objective, Outcome};
use edgecut_search_nats::{NatsJournal, NatsWorkers, WorkEnd, WorkEvent, Worker, remove};
use edgecut_testkit::NatsServer;

#[test]
fn any_number_of_workers_gives_the_history_of_one_process() {
    let Some(server) = NatsServer::start("") else { return };
    let local = alone(&toy());
    for count in [1, 3] {
        let name = format!("of-{count}");
        let slow = Toy { microseconds: 3000, ..toy() };
        std::thread::scope(|scope| {
            let work = || {
                let connection = address(&server).connect().unwrap();
                worker(&connection, &name, &slow).work(&mut go_on).unwrap()
            };
            let workers: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
            let connection = address(&server).connect().unwrap();
            assert_eq!(coordinate(&connection, &name, &slow), local);
            workers.into_iter().for_each(|w| assert_eq!(w.join().unwrap(), WorkEnd::Over));
        });
        let mut evaluated = slow.evaluated.into_inner().unwrap();
        evaluated.sort_unstable();
        let ended = local.trials.iter().filter(|t| t.outcome.is_some()).count();
        assert_eq!(evaluated, (0..ended).collect::<Vec<_>>(), "each trial is evaluated once");
    }
}

#[test]
fn who_evaluates_something_else_is_refused_by_name() {
    let Some(server) = NatsServer::start("") else { return };
    let connection = address(&server).connect().unwrap();
    let header = header(&toy());
    let _journal = NatsJournal::open(&connection, "s", &header).unwrap();
    let refuse = |toy: Toy, says: &str| {
        let error = worker(&connection, "s", &toy).work(&mut go_on).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("search s"), "{error}");
    };
    refuse(
        Toy { objectives: vec![Objective::minimise("ms")], ..toy() },
        "was begun with objectives accuracy, ms, and not ms",
    );
    refuse(Toy { fidelities: vec![1.0], ..toy() }, "other data, another recipe or another device");
    let genes = vec![edgecut_search::Gene::ordered("depth", &["1", "2"])];
    refuse(Toy { space: edgecut_search::Space::new(genes).unwrap(), ..toy() }, "another space");
}

#[test]
fn a_search_that_was_removed_and_begun_anew_is_another_one() {
    let Some(server) = NatsServer::start("") else { return };
    let connection = address(&server).connect().unwrap();
    let (toy, name) = (toy(), "again");
    let first = std::thread::scope(|scope| {
        scope.spawn(|| {
            let connection = address(&server).connect().unwrap();
            worker(&connection, name, &toy).work(&mut go_on).unwrap()
        });
        coordinate(&connection, name, &toy)
    });
    remove(&connection, name).unwrap();
    // A worker that is there before the search begins again.
    std::thread::scope(|scope| {
        let late = scope.spawn(|| {
            let connection = address(&server).connect().unwrap();
            worker(&connection, name, &toy).work(&mut go_on).unwrap()
        });
        assert_eq!(coordinate(&connection, name, &toy), first);
        assert_eq!(late.join().unwrap(), WorkEnd::Over);
    });
}

#[test]
fn without_workers_a_coordinator_says_so_and_stops_when_told() {
    let Some(server) = NatsServer::start("") else { return };
    let connection = address(&server).connect().unwrap();
    let (toy, algorithm) = (toy(), nsga2());
    let search = search(&toy, algorithm.as_ref());
    let header = search.header();
    let mut journal = NatsJournal::open(&connection, "s", &header).unwrap();
    let seen = std::cell::Cell::new(None);
    let watch = |waiting| {
        seen.set(Some(waiting));
        ControlFlow::Break(())
    };
    let go_on = |_| ControlFlow::Continue(());
    // A lease may change when a search goes on.
    drop(NatsWorkers::with_lease(&connection, "s", &header, LEASE, go_on).unwrap());
    let mut workers = NatsWorkers::open(&connection, "s", &header, watch).unwrap();
    let mut events = |_: edgecut_search::Event| ControlFlow::Continue(());
    let (history, end) = search.run(5.0, &mut journal, &mut workers, &mut events).unwrap();
    assert_eq!(end, End::Stopped);
    assert!(history.trials.iter().all(|trial| trial.outcome.is_none()));
    let waiting = seen.get().unwrap();
    assert!(waiting.open > 0 && waiting.taken == 0 && waiting.idle == 0, "{waiting:?}");
}

#[test]
fn a_worker_ends_where_there_is_nothing_to_do() {
    let Some(server) = NatsServer::start("") else { return };
    let connection = address(&server).connect().unwrap();
    let toy = toy();
    let idle = Duration::from_millis(300);
    let short = Worker { connection: &connection, search: "none", problem: &toy, idle };
    assert_eq!(short.work(&mut go_on).unwrap(), WorkEnd::Idle);
    let told = worker(&connection, "none", &toy).work(&mut |_| ControlFlow::Break(())).unwrap();
    assert_eq!(told, WorkEnd::Stopped);
}

/// An evaluation takes longer than a lease: nobody else begins it, as the worker is alive. One that
/// gives its task back is replaced at once.
#[test]
fn long_evaluations_are_not_given_away_and_refused_ones_are() {
    let Some(server) = NatsServer::start("") else { return };
    let slow = Toy { microseconds: 3 * LEASE.as_micros() as u64, ..toy() };
    let algorithm = nsga2();
    let search = search(&slow, algorithm.as_ref());
    let header = search.header();
    let (begun, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let work = |gives_back: bool| {
            let connection = address(&server).connect().unwrap();
            let mut watch = |event: WorkEvent| match event {
                WorkEvent::Begin(..) if gives_back => ControlFlow::Break(()),
                WorkEvent::Begin(..) => {
                    begun.fetch_add(1, Ordering::Relaxed);
                    ControlFlow::Continue(())
                }
                _ if over.load(Ordering::Relaxed) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            };
            worker(&connection, "s", &slow).work(&mut watch).unwrap()
        };
        scope.spawn(move || work(true));
        (0..3).for_each(|_| drop(scope.spawn(move || work(false))));
        let connection = address(&server).connect().unwrap();
        let mut journal = NatsJournal::open(&connection, "s", &header).unwrap();
        let go_on = |_| ControlFlow::Continue(());
        let mut workers = NatsWorkers::with_lease(&connection, "s", &header, LEASE, go_on).unwrap();
        let mut events = |_: edgecut_search::Event| ControlFlow::Continue(());
        let (history, _) = search.run(3.0, &mut journal, &mut workers, &mut events).unwrap();
        over.store(true, Ordering::Relaxed);
        journal.finish().unwrap();
        let ended = history.trials.iter().filter(|t| t.outcome.is_some()).count();
        assert_eq!(slow.evaluated.lock().unwrap().len(), ended);
    });
    assert_eq!(begun.into_inner(), slow.evaluated.into_inner().unwrap().len());
}

#[test]
fn a_task_that_kills_its_workers_is_given_up() {
    let Some(server) = NatsServer::start("") else { return };
    let (toy, algorithm) = (toy(), nsga2());
    let search = search(&toy, algorithm.as_ref());
    let header = search.header();
    let (history, deaths) = std::thread::scope(|scope| {
        // Gives every task back twenty times, which counts as so many deaths.
        let worker = scope.spawn(|| {
            let connection = address(&server).connect().unwrap();
            let mut deaths = 0;
            loop {
                let mut watch = |event: WorkEvent| match event {
                    WorkEvent::Begin(_, before) if before < 20 => ControlFlow::Break(()),
                    _ => ControlFlow::Continue(()),
                };
                match worker(&connection, "s", &toy).work(&mut watch).unwrap() {
                    WorkEnd::Stopped => deaths += 1,
                    _ => break deaths,
                }
            }
        });
        let connection = address(&server).connect().unwrap();
        let mut journal = NatsJournal::open(&connection, "s", &header).unwrap();
        let go_on = |_| ControlFlow::Continue(());
        let mut workers = NatsWorkers::open(&connection, "s", &header, go_on).unwrap();
        let mut events = |_: edgecut_search::Event| ControlFlow::Continue(());
        let (history, _) = search.run(2.0, &mut journal, &mut workers, &mut events).unwrap();
        journal.finish().unwrap();
        (history, worker.join().unwrap())
    });
    let outcomes: Vec<_> = history.trials.iter().filter_map(|t| t.outcome.as_ref()).collect();
    assert_eq!(deaths, 20 * outcomes.len());
    for outcome in outcomes {
        let Outcome::Failed(reason) = outcome else { panic!("{outcome:?}") };
        assert!(reason.contains("20 workers died"), "{reason}");
    }
    assert!(toy.evaluated.into_inner().unwrap().is_empty());
}
