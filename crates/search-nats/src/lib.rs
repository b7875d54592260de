//! Architecture search on many machines, over NATS JetStream.
//!
//! One coordinator runs an [`edgecut_search::Search`] with a [`NatsJournal`] and [`NatsWorkers`] instead
//! of a file and threads; any number of [`Worker`]s evaluate. All of them may die and come back at any
//! time: the result is that of a search in one process, to the bit.
//!
//! On the server a search called NAME has
//!
//! | what | holds |
//! | --- | --- |
//! | stream `edgecut_NAME_journal` | the journal's lines, and who coordinates |
//! | stream `edgecut_NAME_tasks` | a work queue: evaluations that nobody has finished, one subject each |
//! | stream `edgecut_NAME_results` | results, one subject each; the first on a subject is the only one |
//! | object store `edgecut_NAME_data` | what workers need: settings, shared weights ([`put`], [`wait_for`]) |
//!
//! # The coordinator
//!
//! ```no_run
//! # use std::ops::ControlFlow;
//! # use edgecut_search::{Search, Result};
//! # use edgecut_search_nats::{NatsJournal, NatsWorkers, Server, put};
//! # fn coordinate(search: &Search, settings: &[u8], weights: &[u8]) -> Result<()> {
//! let connection = Server::new("nats://user:password@host:4222").connect()?;
//! let header = search.header();
//! let mut journal = NatsJournal::open(&connection, "flowers", &header)?;
//! put(&connection, "flowers", "weights", weights)?;
//! put(&connection, "flowers", "settings", settings)?;
//! let go_on = |_| ControlFlow::Continue(());
//! let mut workers = NatsWorkers::open(&connection, "flowers", &header, go_on)?;
//! let (history, end) =
//!     search.run(200.0, &mut journal, &mut workers, &mut |_| ControlFlow::Continue(()))?;
//! journal.finish()?; // where the search has ended by itself: workers end, too
//! # drop((history, end)); Ok(())
//! # }
//! ```
//!
//! # A worker
//!
//! Reads the settings that the coordinator has put on the server, builds the same
//! [`edgecut_search::Problem`] from them, and works. It is refused where space, objectives, fidelities,
//! [`edgecut_search::Problem::digest`] or the version of edgecut differ.
//!
//! ```no_run
//! # use std::ops::ControlFlow;
//! # use std::time::Duration;
//! # use edgecut_search::{Problem, Result};
//! # use edgecut_search_nats::{Server, Worker, wait_for};
//! # fn build(settings: &[u8], weights: &[u8]) -> Box<dyn Problem> { unimplemented!() }
//! # fn work() -> Result<()> {
//! let connection = Server::new("nats://user:password@host:4222").connect()?;
//! let patience = Duration::from_secs(600);
//! let settings = wait_for(&connection, "flowers", "settings", None, patience)?;
//! let weights = wait_for(&connection, "flowers", "weights", None, patience)?;
//! let problem = build(&settings, &weights);
//! let (problem, search) = (problem.as_ref(), "flowers");
//! let worker = Worker { connection: &connection, search, problem, idle: patience };
//! worker.work(&mut |_| ControlFlow::Continue(()))?;
//! # Ok(())
//! # }
//! ```
//!
//! Beside searches, [`NatsSamples`] is a queue of records that a device stores and later forwards.
//!
//! # The server
//!
//! `nats-server --jetstream --store_dir DIR` is enough, from version 2.9 on. What it acknowledges survives
//! its own death; that it survives a power cut, too, takes `sync_interval: always` in its settings
//! (`jetstream { sync_interval: always }`, from 2.10 on), or three replicas in a cluster
//! ([`Server::replicas`]).

mod claim;
mod connection;
mod data;
mod failure;
mod journal;
mod names;
mod samples;
mod server;
mod stream;
mod tasks;
mod worker;
mod workers;

pub use connection::Connection;
pub use data::{get, put, wait_for};
pub use journal::{NatsJournal, remove};
pub use samples::NatsSamples;
pub use server::Server;
pub use worker::{WorkEnd, WorkEvent, Worker};
pub use workers::{NatsWorkers, Waiting};
