//! Processes that are killed: their tasks go to others, and nothing is lost or counted twice.

use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Toy, address, alone, coordinate, go_on, toy, worker};
use edgecut_graph::rng::Rng;
use edgecut_search::{Record, restore};
use edgecut_search_nats::{NatsJournal, Server, WorkEvent};
use edgecut_testkit::NatsServer;

/// What tells a process of these tests where the server is.
const SERVER: &str = "EDGECUT_TEST_NATS";

/// What has a worker stop at the first task that it takes, so that it dies with it.
const STUCK: &str = "EDGECUT_TEST_STUCK";

const NAME: &str = "killed";

fn slow() -> Toy {
    Toy { microseconds: 60_000, ..toy() }
}

/// A worker, where another test has started this program as one.
#[test]
fn as_a_worker() {
    let Ok(url) = std::env::var(SERVER) else { return };
    let connection = Server::new(&url).connect().unwrap();
    let tell = |event: WorkEvent| {
        if let WorkEvent::Begin(trial, before) = event {
            println!("begin {trial} {before}");
            if std::env::var_os(STUCK).is_some() {
                std::thread::sleep(Duration::from_secs(60));
            }
        }
        ControlFlow::Continue(())
    };
    worker(&connection, NAME, &slow()).work(&mut { tell }).unwrap();
}

/// A coordinator, where another test has started this program as one.
#[test]
fn as_a_coordinator() {
    let Ok(url) = std::env::var(SERVER) else { return };
    coordinate(&Server::new(&url).connect().unwrap(), NAME, &slow());
}

/// A process that is killed at the latest with this value.
struct Process(Child);

impl Process {
    fn start(test: &str, url: &str) -> Process {
        Process::with(test, url, &[])
    }

    fn with(test: &str, url: &str, settings: &[&str]) -> Process {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture"]).env(SERVER, url);
        command.envs(settings.iter().map(|name| (name, "1")));
        Process(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Trial and how many had it before, when the process begins its next evaluation.
    fn begins(&mut self) -> (usize, usize) {
        let mut lines = BufReader::new(self.0.stdout.take().unwrap()).lines().map(Result::unwrap);
        let line = lines.find(|line| line.contains("begin ")).expect("an evaluation");
        let numbers = line.split_once("begin ").unwrap().1;
        let (trial, before) = numbers.split_once(' ').unwrap();
        (trial.parse().unwrap(), before.parse().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

#[test]
fn the_task_of_a_dead_worker_goes_to_another() {
    let Some(server) = NatsServer::start("") else { return };
    let local = alone(&toy());
    std::thread::scope(|scope| {
        let coordinator = scope.spawn(|| {
            let connection = address(&server).connect().unwrap();
            coordinate(&connection, NAME, &slow())
        });
        let mut first = Process::with("killed::as_a_worker", &server.url(), &[STUCK]);
        let (trial, before) = first.begins();
        first.kill();
        assert_eq!(before, 0);
        let connection = address(&server).connect().unwrap();
        // On a busy machine a lease may run out here too, so that there are more.
        let mut again = vec![];
        let watch = &mut |event: WorkEvent| {
            if let WorkEvent::Begin(begun, before @ 1..) = event {
                again.push((begun, before));
            }
            go_on(event)
        };
        worker(&connection, NAME, &slow()).work(watch).unwrap();
        assert!(again.contains(&(trial, 1)), "{again:?}");
        assert_eq!(coordinator.join().unwrap(), local);
    });
}

#[test]
fn whoever_dies_nothing_is_lost_or_counted_twice() {
    let Some(server) = NatsServer::start("") else { return };
    let (local, mut rng) = (alone(&toy()), Rng::new(5));
    let names = [
        "killed::as_a_coordinator",
        "killed::as_a_worker",
        "killed::as_a_worker",
        "killed::as_a_worker",
    ];
    let mut processes = names.map(|name| Process::start(name, &server.url()));
    let end = Instant::now() + Duration::from_secs(120);
    let mut kills = 0;
    while processes[0].0.try_wait().unwrap().is_none() {
        assert!(Instant::now() < end, "the search hangs");
        std::thread::sleep(Duration::from_millis(rng.below(150) as u64));
        if kills < 15 {
            let which = rng.below(names.len());
            processes[which].kill();
            processes[which] = Process::start(names[which], &server.url());
            kills += 1;
        }
    }
    assert!(processes[0].0.wait().unwrap().success());
    let connection = address(&server).connect().unwrap();
    let (_, records) = NatsJournal::inspect(&connection, NAME).unwrap().unwrap();
    let results = records.iter().filter(|r| matches!(r, Record::Result { .. })).count();
    assert_eq!(restore(&toy(), records).unwrap(), local);
    assert_eq!(results, local.trials.iter().filter(|t| t.outcome.is_some()).count());
}
