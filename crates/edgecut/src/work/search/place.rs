//! Where networks of the space run to be measured: on this machine, or on another one with an agent.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use edgecut_device::cost::Sample;
use edgecut_graph::{Graph, onnx};
use edgecut_kernels::Pool;
use edgecut_runtime::{CompileOptions, compile};

use crate::agent::{Agent, Ask, AskSample};
use crate::cli::Global;
use crate::errors::Result;
use crate::host::Machine;
use crate::settings::SearchSettings;
use crate::stats::Times;
use crate::work::model::Model;
use crate::work::time::{Subject, in_turn};

/// Time for each measurement of a network of the space.
const EACH: Duration = Duration::from_millis(60);

/// Rounds of timing all winners in turn.
const WARM_UP: usize = 5;
const RUNS: usize = 300;

/// Parts in which an agent is asked for these, so that what disturbs one winner disturbs all.
const PARTS: usize = 3;

/// A device that networks run on.
pub enum Place {
    Here(Arc<Pool>),
    There { agent: Agent, threads: u16 },
}

impl Place {
    /// The device that the settings name. Of an agent only the pass is read.
    pub fn open(settings: &SearchSettings) -> Result<Place> {
        match &settings.agent {
            None => Ok(Place::Here(Arc::new(Pool::new(settings.device_threads)))),
            Some(pass) => {
                let threads = u16::try_from(settings.device_threads).unwrap_or(u16::MAX);
                Ok(Place::There { agent: Agent::open(pass)?, threads })
            }
        }
    }

    /// What it is, with the threads that networks get.
    pub fn machine(&self) -> Result<Machine> {
        match self {
            Place::Here(pool) => Ok(Machine::this(pool.threads())),
            Place::There { agent, threads } => {
                Ok(Machine { threads: (*threads).into(), ..agent.about()?.machine })
            }
        }
    }

    /// Its name for people.
    pub fn name(&self) -> Result<String> {
        match self {
            Place::Here(_) => Ok("this machine".into()),
            Place::There { .. } => Ok(self.machine()?.cpu),
        }
    }

    /// Runs `graph` as a whole and step by step.
    pub fn sample(&self, graph: &Graph) -> Result<Sample> {
        match self {
            Place::Here(pool) => {
                let plan = Arc::new(compile(graph, &CompileOptions::default())?);
                Ok(Sample::measure(&plan, pool, EACH)?)
            }
            Place::There { agent, threads } => {
                let ask = AskSample { threads: *threads, seconds: EACH.as_secs_f64() };
                agent.sample(&onnx::to_bytes(graph)?, &ask)
            }
        }
    }

    /// Times of one picture of each of the models, in turn.
    pub fn times(&self, models: &[PathBuf], global: &Global) -> Result<Vec<Times>> {
        match self {
            Place::Here(pool) => {
                let subject = |path: &PathBuf| Subject::new(&Model::load(path)?.graph, 1, pool);
                let mut subjects = models.iter().map(subject).collect::<Result<Vec<_>>>()?;
                in_turn(global, &mut subjects.iter_mut().collect::<Vec<_>>(), WARM_UP, RUNS)
            }
            Place::There { agent, threads } => {
                let ask = Ask {
                    kind: "onnx".into(),
                    threads: *threads,
                    batch: 1,
                    warmup: WARM_UP as u32,
                    runs: (RUNS / PARTS) as u32,
                };
                let ran = |path: &Path| Ok(agent.bench(path, &ask)?.latency);
                let mut all =
                    models.iter().map(|path| ran(path)).collect::<Result<Vec<Times>>>()?;
                for _ in 1..PARTS {
                    for (before, path) in all.iter_mut().zip(models) {
                        let again = ran(path)?;
                        if again.min_ms < before.min_ms {
                            *before = again;
                        }
                    }
                }
                Ok(all)
            }
        }
    }
}
