//! A process of a search: the search itself, a coordinator, or a worker.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use edgecut_search::{
    ALGORITHMS, Algorithm, FileJournal, Header, History, Journal, NoJournal, Search, Threads,
    Workers, algorithm,
};
use edgecut_search_nats::{NatsJournal, NatsWorkers, Server, Worker};

use super::problem::Formula;

/// Threads, or workers.
pub const WORKERS: usize = 3;

/// A worker that has said nothing for this long is dead: short, as much dies here.
const LEASE: Duration = Duration::from_millis(400);

const SHORT: &str = "a process of nas-crash is started by nas-crash";

/// Which search it is.
#[derive(Clone, Copy)]
pub struct Round {
    /// Its seed; algorithms take turns with it.
    pub seed: u64,
    /// Its budget.
    pub evaluations: usize,
}

impl Round {
    /// The algorithm of this search.
    pub fn algorithm(&self) -> Box<dyn Algorithm> {
        let name = ALGORITHMS[self.seed as usize % ALGORITHMS.len()];
        algorithm(name).expect("it is one of all")
    }

    /// The header of its journal.
    pub fn header(&self, problem: &Formula) -> Header {
        let algorithm = self.algorithm();
        Search { problem, algorithm: algorithm.as_ref(), seed: self.seed, warm: &[] }.header()
    }

    /// What it finds where nobody disturbs it.
    pub fn undisturbed(&self) -> Result<History, String> {
        let problem = Formula::new(false);
        self.run(&problem, &mut NoJournal, &mut Threads { problem: &problem, count: 1 })
    }

    fn run(
        &self,
        problem: &Formula,
        journal: &mut dyn Journal,
        workers: &mut dyn Workers,
    ) -> Result<History, String> {
        let algorithm = self.algorithm();
        let search = Search { problem, algorithm: algorithm.as_ref(), seed: self.seed, warm: &[] };
        let go_on = &mut |_: edgecut_search::Event| ControlFlow::Continue(());
        let ended = search.run(self.evaluations as f64, journal, workers, go_on);
        ended.map(|(history, _)| history).map_err(|e| e.to_string())
    }
}

/// Runs a process: `search FILE`, `coordinator URL NAME` or `worker URL NAME`, each followed by seed and
/// evaluations.
pub fn main(args: &[&str]) -> Result<(), String> {
    let problem = Formula::new(true);
    let [rest @ .., seed, evaluations] = args else { return Err(SHORT.into()) };
    let seed = seed.parse().map_err(|_| SHORT)?;
    let round = Round { seed, evaluations: evaluations.parse().map_err(|_| SHORT)? };
    match rest {
        ["search", file] => search(round, &problem, Path::new(file)),
        ["coordinator", url, name] => coordinator(round, &problem, url, name),
        ["worker", url, name] => worker(&problem, url, name),
        _ => Err(SHORT.into()),
    }
}

fn search(round: Round, problem: &Formula, file: &Path) -> Result<(), String> {
    let journal = FileJournal::open(file, &round.header(problem));
    let mut journal = journal.map_err(|e| e.to_string())?;
    round.run(problem, &mut journal, &mut Threads { problem, count: WORKERS }).map(drop)
}

fn coordinator(round: Round, problem: &Formula, url: &str, name: &str) -> Result<(), String> {
    let said = |e: edgecut_search::SearchError| e.to_string();
    let connection = Server::new(url).connect().map_err(said)?;
    let header = round.header(problem);
    let mut journal = NatsJournal::open(&connection, name, &header).map_err(said)?;
    let wait = |_| ControlFlow::Continue(());
    let workers = NatsWorkers::with_lease(&connection, name, &header, LEASE, wait);
    round.run(problem, &mut journal, &mut workers.map_err(said)?)?;
    journal.finish().map_err(said)
}

fn worker(problem: &Formula, url: &str, search: &str) -> Result<(), String> {
    let connection = Server::new(url).connect().map_err(|e| e.to_string())?;
    let idle = Duration::from_secs(60);
    let worker = Worker { connection: &connection, search, problem, idle };
    worker.work(&mut |_| ControlFlow::Continue(())).map(drop).map_err(|e| e.to_string())
}
