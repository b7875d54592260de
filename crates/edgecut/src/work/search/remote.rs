//! A search on many machines: workers judge networks, the coordinator does all else.
//!
//! Workers get shared weights and prepared pictures from the server, so they need neither data nor a
//! device. What a network costs the coordinator knows before it asks, on the device that it measured; so
//! workers leave costs open, and may run on any processor.

use std::ops::ControlFlow;
use std::time::Duration;

use edgecut_kernels::Isa;
use edgecut_search::arch::ArchSpace;
use edgecut_search::supernet::{Family, Judge, Network, Pictures, SharedWeights};
use edgecut_search::{
    Cost, Costs, Done, End, Event, Genome, Header, History, Outcome, Search, SearchError, Subnets,
    Task as Evaluation, Workers,
};
use edgecut_search_nats::{
    Connection, NatsJournal, NatsWorkers, Server, Waiting, WorkEnd, WorkEvent, Worker, put, remove,
    wait_for,
};
use serde::{Deserialize, Serialize};

use super::device::costs_of;
use super::found::Found;
use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::interrupt;
use crate::progress::say;

/// Names of what workers need, on the server.
const PARCEL: &str = "search";
const WEIGHTS: &str = "weights";

/// How long a worker waits for a coordinator or for a task before it ends.
const PATIENCE: Duration = Duration::from_secs(600);

/// Seconds without any worker after which that is said.
const LONELY: u64 = 10;

/// Where a search meets its workers.
#[derive(Clone, Debug)]
pub struct Meeting {
    pub url: String,
    /// Of the search, on the server.
    pub name: String,
}

/// What a worker needs beside the weights.
#[derive(Serialize, Deserialize)]
struct Parcel {
    /// [`Found`] as JSON.
    found: String,
    /// Digest of the device's measurements.
    device: String,
    calibration: Pack,
    judged: Pack,
}

/// Prepared pictures.
#[derive(Serialize, Deserialize)]
struct Pack {
    /// Height, width, channels.
    extent: [usize; 3],
    /// Pictures and classes.
    batches: Vec<(Vec<f32>, Vec<u32>)>,
}

impl Pack {
    fn of(pictures: &Pictures) -> Pack {
        let extent = pictures.extent();
        let batches = pictures.batches().iter().map(|b| (b.x.clone(), b.labels.clone()));
        Pack { extent: [extent.h, extent.w, extent.c], batches: batches.collect() }
    }

    fn open(self) -> Result<Pictures> {
        Ok(Pictures::new(self.batches, self.extent)?)
    }
}

impl Meeting {
    fn connect(&self) -> Result<Connection> {
        Ok(Server::from_environment(&self.url).connect()?)
    }

    /// Removes what an earlier search of this name has left on the server.
    pub fn clear(&self) -> Result<()> {
        Ok(remove(&self.connect()?, &self.name)?)
    }

    /// Runs `search` with the workers that come.
    pub fn coordinate(
        &self,
        global: &Global,
        (search, problem, judge): (&Search, &Subnets, &Judge),
        (found, device): (&Found, String),
        budget: f64,
        watch: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<(History, End)> {
        let connection = self.connect()?;
        let header = search.header();
        let mut journal = NatsJournal::open(&connection, &self.name, &header)?;
        let weights: Vec<u8> = judge.weights.values.iter().flat_map(|v| v.to_le_bytes()).collect();
        put(&connection, &self.name, WEIGHTS, &weights)?;
        let parcel = Parcel {
            found: serde_json::to_string(found).map_err(|e| Failure::input(e.to_string()))?,
            device,
            calibration: Pack::of(judge.calibration),
            judged: Pack::of(judge.pictures),
        };
        let parcel = postcard::to_stdvec(&parcel).map_err(|e| Failure::input(e.to_string()))?;
        put(&connection, &self.name, PARCEL, &parcel)?;
        say(
            global,
            &format!(
                "workers come by: edgecut search --worker --nats {} --name {}",
                Server::new(&self.url).place(),
                self.name
            ),
        );
        let workers = open(&connection, &self.name, &header, global)?;
        let mut workers = Priced { workers, problem };
        let (history, end) = search.run(budget, &mut journal, &mut workers, watch)?;
        if end != End::Stopped {
            journal.finish()?;
        }
        Ok((history, end))
    }

    /// Judges networks for the search of this name until it is over.
    pub fn work(&self, global: &Global) -> Result<()> {
        interrupt::listen();
        let connection = self.connect()?;
        say(global, &format!("waiting for search {}", self.name));
        let fetch = |what: &str| wait_for(&connection, &self.name, what, None, PATIENCE);
        let (parcel, weights) = (fetch(PARCEL)?, fetch(WEIGHTS)?);
        let odd = |what: &str| Failure::input(format!("search {}: {what}", self.name));
        let parcel: Parcel = postcard::from_bytes(&parcel)
            .map_err(|_| odd("its data are of another version of edgecut"))?;
        let found: Found = serde_json::from_str(&parcel.found)
            .map_err(|_| odd("its settings are of another version of edgecut"))?;
        let [channels, side, classes] = found.input;
        let space = ArchSpace::new(found.searched.clone(), [channels, side], classes)?;
        let mut shared = SharedWeights::new(&space.whole()?)?;
        if weights.len() != 4 * shared.values.len() {
            return Err(odd("its weights do not fit its space"));
        }
        let values = weights.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        shared.values.iter_mut().zip(values).for_each(|(own, value)| *own = value);
        let (calibration, pictures) = (parcel.calibration.open()?, parcel.judged.open()?);
        let machine = (global.threads(), Isa::detect());
        let judge =
            Judge { weights: &shared, calibration: &calibration, pictures: &pictures, machine };
        let costs = Elsewhere { names: costs_of(&found.settings)?.0, device: parcel.device };
        let problem = Subnets::new(&space, judge, &costs);
        let worker = Worker {
            connection: &connection,
            search: &self.name,
            problem: &problem,
            idle: PATIENCE,
        };
        let end = worker.work(&mut |event| {
            if let WorkEvent::End(trial, outcome) = event {
                let text = match outcome {
                    Outcome::Objectives(values) => format!("{:.2} %", values[0]),
                    Outcome::Failed(reason) => reason.clone(),
                };
                say(global, &format!("network {trial}: {text}"));
            }
            match interrupt::asked() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        match end {
            WorkEnd::Over => say(global, "the search is over"),
            WorkEnd::Idle => say(global, "there was nothing to do for 10 minutes"),
            WorkEnd::Stopped => say(global, "stopped; others do what was under way"),
        }
        Ok(())
    }
}

/// Workers elsewhere, under a watch that says when none is there.
fn open<'a>(
    connection: &'a Connection,
    name: &str,
    header: &Header,
    global: &'a Global,
) -> Result<NatsWorkers<'a>> {
    let mut said = false;
    let watch = move |waiting: Waiting| {
        let lonely = waiting.taken == 0 && waiting.idle == 0 && waiting.open > 0;
        if lonely && !said && waiting.since.as_secs() >= LONELY {
            say(global, "no worker is there yet");
            said = true;
        }
        said &= lonely;
        match interrupt::asked() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    Ok(NatsWorkers::open(connection, name, header, watch)?)
}

/// Workers whose judgements get the costs that the coordinator knows.
struct Priced<'a> {
    workers: NatsWorkers<'a>,
    problem: &'a Subnets<'a>,
}

impl Workers for Priced<'_> {
    fn evaluate(
        &mut self,
        tasks: &[Evaluation],
        done: &mut Done,
    ) -> std::result::Result<(), SearchError> {
        let genome = |trial: usize| -> Option<&Genome> {
            tasks.iter().find(|task| task.trial == trial).map(|task| &task.proposal.genome)
        };
        let problem = self.problem;
        self.workers.evaluate(tasks, &mut |trial, outcome| match genome(trial) {
            Some(genome) => done(trial, problem.priced(genome, outcome)),
            None => done(trial, outcome),
        })
    }
}

/// The costs of a device that is not here: a worker does not know them, and nobody asks it.
struct Elsewhere {
    names: Vec<Cost>,
    device: String,
}

impl Costs for Elsewhere {
    fn names(&self) -> &[Cost] {
        &self.names
    }

    fn of(&self, _: &Network) -> std::result::Result<Vec<f64>, String> {
        Ok(vec![0.0; self.names.len()])
    }

    fn digest(&self) -> String {
        self.device.clone()
    }
}
