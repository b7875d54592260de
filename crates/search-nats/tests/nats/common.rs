//! What the tests of this crate share.

#[path = "../../../search/tests/common/mod.rs"]
mod toy;

use std::ops::ControlFlow;
use std::time::Duration;

use edgecut_search::{Algorithm, Header, History, NoJournal, Search, Threads, algorithm};
use edgecut_search_nats::{Connection, NatsJournal, NatsWorkers, Server, WorkEvent, Worker};
use edgecut_testkit::NatsServer;

pub use toy::Toy;

/// A worker that has said nothing for so long is dead.
pub const LEASE: Duration = Duration::from_millis(600);

pub const BUDGET: f64 = 45.0;

pub fn toy() -> Toy {
    Toy { fidelities: vec![1.0 / 3.0, 1.0], limit: 18.0, ..Toy::new() }
}

pub fn nsga2() -> Box<dyn Algorithm> {
    algorithm("nsga2").unwrap()
}

pub fn search<'a>(toy: &'a Toy, algorithm: &'a dyn Algorithm) -> Search<'a> {
    Search { problem: toy, algorithm, seed: 11, warm: &[] }
}

pub fn header(toy: &Toy) -> Header {
    search(toy, nsga2().as_ref()).header()
}

/// What a search in one process finds.
pub fn alone(toy: &Toy) -> History {
    let algorithm = nsga2();
    let mut threads = Threads { problem: toy, count: 1 };
    let search = search(toy, algorithm.as_ref());
    search.run(BUDGET, &mut NoJournal, &mut threads, &mut |_| ControlFlow::Continue(())).unwrap().0
}

/// Runs the coordinator of search `name` to its end.
pub fn coordinate(connection: &Connection, name: &str, toy: &Toy) -> History {
    let algorithm = nsga2();
    let search = search(toy, algorithm.as_ref());
    let header = search.header();
    let mut journal = NatsJournal::open(connection, name, &header).unwrap();
    let go_on = |_| ControlFlow::Continue(());
    let mut workers = NatsWorkers::with_lease(connection, name, &header, LEASE, go_on).unwrap();
    let (history, _) =
        search.run(BUDGET, &mut journal, &mut workers, &mut |_| ControlFlow::Continue(())).unwrap();
    journal.finish().unwrap();
    history
}

pub fn worker<'a>(connection: &'a Connection, search: &'a str, toy: &'a Toy) -> Worker<'a> {
    Worker { connection, search, problem: toy, idle: Duration::from_secs(30) }
}

pub fn go_on(_: WorkEvent) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// The server's address, for tests that must not wait for long.
pub fn address(server: &NatsServer) -> Server {
    Server { patience: Duration::from_secs(30), ..Server::new(&server.url()) }
}
