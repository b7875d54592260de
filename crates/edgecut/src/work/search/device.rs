//! What networks of the space cost on the device: some are measured, the others follow from them.

use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;

use edgecut_device::cost::{CostModel, Estimate, Sample};
use edgecut_device::energy::EnergyModel;
use edgecut_device::{Work, quantised_with};
use edgecut_graph::rng::Rng;
use edgecut_graph::{Graph, onnx};
use edgecut_kernels::Pool;
use edgecut_runtime::{CompileOptions, Plan, compile};
use edgecut_search::supernet::Network;
use edgecut_search::{Cost, Costs};
use edgecut_train::data::Preprocess;
use serde::{Deserialize, Serialize};

use super::found::Found;
use super::together::{Shared, Together};
use super::{DEVICE, Stage};
use crate::errors::{Failure, Result};
use crate::host::Machine;
use crate::progress::{Counter, say};
use crate::settings::{Amount, Deployed, SearchSettings, Wrong};
use crate::work::model;
use crate::{files, interrupt};

/// How often each network is measured, of which the least counts: far apart, so that what disturbs
/// one measurement does not disturb the other.
const ROUNDS: usize = 3;

/// What a core has for itself, for the energy model, where nobody has measured it.
const NEAR_BYTES: usize = 1 << 20;

/// Keeps the generator of measured networks apart from those of the search.
const STREAM: u64 = 0x6465_7669_6365;

/// Costs on the device: latency, and whatever has a limit.
pub struct DeviceCosts {
    names: Vec<Cost>,
    kinds: Vec<Kind>,
    model: CostModel,
    int8: bool,
    pool: Arc<Pool>,
    digest: String,
    /// How pictures become the input, which stands in every file.
    preprocess: Preprocess,
    /// Networks that were measured.
    pub measured: usize,
    /// Where a server computes a part, with what coding costs.
    together: Option<(Together, [f64; 2])>,
}

/// What can be limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Latency,
    Together,
    Memory,
    Size,
    Energy,
}

impl Kind {
    /// Its name, with its unit.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Latency => "latency, ms",
            Kind::Together => "latency with the server, ms",
            Kind::Memory => "memory, bytes",
            Kind::Size => "file, bytes",
            Kind::Energy => "energy (model), mJ",
        }
    }
}

/// The first line of the file of measurements: what they are of.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Heading {
    space: String,
    deploy: Deployed,
    seed: u64,
    machine: Machine,
    /// What coding costs, in nanoseconds of a bit: measured as well, where a link is searched for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    coding: Option<[f64; 2]>,
}

/// One measurement of a network.
#[derive(Serialize, Deserialize)]
struct Line {
    network: usize,
    sample: Sample,
}

impl DeviceCosts {
    /// Measures networks of the space, or goes on measuring.
    pub fn measure(stage: &Stage) -> Result<DeviceCosts> {
        let task = stage.task;
        let mut heading = Heading {
            coding: None,
            space: stage.space.space().digest(),
            deploy: task.settings.deploy,
            seed: task.training.seed,
            machine: stage.place.machine()?,
        };
        let path = task.folder.join(DEVICE);
        let pool = Arc::new(Pool::new(task.settings.device_threads));
        let (coding, mut lines) = read(&path, &heading)?;
        let together = Together::of(task.settings)?;
        heading.coding = match (&together, coding) {
            (Some(together), None) => Some(together.coding()?),
            _ => coding,
        };
        let wanted = ROUNDS * task.settings.measure;
        if lines.len() < wanted || heading.coding != coding {
            interrupt::listen();
            let place = stage.place.name()?;
            say(task.global, &format!("measuring networks of the space on {place}"));
            let mut bar = Counter::new(task.global, "measure", wanted as u64);
            let mut file = append(&path, &heading, &lines)?;
            while lines.len() < wanted {
                let network = lines.len() % task.settings.measure;
                let sample = stage.place.sample(&drawn(stage, network, &pool)?)?;
                bar.set(lines.len() as u64, || format!("{:.3} ms", sample.us / 1e3));
                let line = Line { network, sample };
                let text =
                    serde_json::to_string(&line).map_err(|e| Failure::input(e.to_string()))?;
                writeln!(file, "{text}").map_err(|e| Failure::io(&path, &e))?;
                lines.push(line);
                if interrupt::asked() {
                    return Err(super::trials::stopped("while measuring the device"));
                }
            }
        }
        let samples = samples(lines.into_iter().take(wanted));
        DeviceCosts::of(task.settings, (samples, heading.coding), stage.preprocess.clone(), pool)
    }

    /// Costs as they were measured for the search in `folder`.
    pub fn reopen(folder: &Path, found: &Found) -> Result<DeviceCosts> {
        let settings = &found.settings;
        let pool = Arc::new(Pool::new(settings.device_threads));
        let (heading, lines) = lines(&folder.join(DEVICE))?;
        let coding = heading.and_then(|heading| heading.coding);
        let measured = (samples(lines.into_iter()), coding);
        DeviceCosts::of(settings, measured, found.preprocess.clone(), pool)
    }

    fn of(
        settings: &SearchSettings,
        (samples, coding): (Vec<Sample>, Option<[f64; 2]>),
        preprocess: Preprocess,
        pool: Arc<Pool>,
    ) -> Result<DeviceCosts> {
        let (names, kinds) = costs_of(settings)?;
        let together = Together::of(settings)?.zip(coding);
        let mut text = serde_json::to_vec(&samples).map_err(|e| Failure::input(e.to_string()))?;
        if let Some((together, coding)) = &together {
            text.extend(format!("{} {coding:?}", together.digest()).bytes());
        }
        Ok(DeviceCosts {
            model: CostModel::fit(&samples, EnergyModel::default(), NEAR_BYTES)?,
            int8: settings.deploy == Deployed::Int8,
            pool,
            preprocess,
            digest: files::sha256(&text),
            measured: samples.len(),
            together,
            names,
            kinds,
        })
    }

    /// What is counted, in the order of the costs.
    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// What the model says of `network`.
    pub fn estimate(&self, network: &Network) -> Result<Estimate> {
        let (_, plan) = on_device(network, self.int8, &self.pool)?;
        Ok(self.model.estimate(&plan, self.pool.threads())?)
    }

    /// The steps of `network` on the device, each with its milliseconds.
    pub fn steps(&self, network: &Network) -> Result<Vec<(String, Work, f64)>> {
        let (_, plan) = on_device(network, self.int8, &self.pool)?;
        let steps = self.model.steps(&plan)?;
        let named = plan.steps().iter().zip(steps);
        Ok(named.map(|(info, (work, ms))| (info.name.clone(), work, ms)).collect())
    }

    /// How the device and the server share `network`; none where there is no server. `whole` says what
    /// it takes on the device alone, in milliseconds; without it the model does.
    pub fn shared(&self, network: &Network, whole: Option<f64>) -> Result<Option<Shared>> {
        let (graph, plan) = on_device(network, self.int8, &self.pool)?;
        self.share(&graph, &plan, whole)
    }

    fn share(&self, graph: &Graph, plan: &Plan, whole: Option<f64>) -> Result<Option<Shared>> {
        let Some((together, coding)) = &self.together else { return Ok(None) };
        let steps = self.model.steps(plan)?;
        let sum: f64 = steps.iter().map(|(_, ms)| ms).sum();
        let scale = whole.map_or(1.0, |whole| whole / sum.max(1e-12));
        let named = plan.steps().iter().zip(&steps);
        let steps: Vec<(String, f64)> =
            named.map(|(info, (_, ms))| (info.name.clone(), ms * scale)).collect();
        together.share(graph, &steps, *coding).map(Some)
    }

    /// Bytes of the file that would be written of `graph`.
    fn file_bytes(&self, graph: &Graph) -> Result<usize> {
        let mut graph = graph.clone();
        model::describe(&mut graph, &self.preprocess)?;
        Ok(onnx::to_bytes(&graph)?.len())
    }
}

/// What is counted under these settings, and what each is.
pub fn costs_of(settings: &SearchSettings) -> Result<(Vec<Cost>, Vec<Kind>)> {
    let wrong = |w: Wrong| Failure::input(format!("--{} {}", w.field.replace('_', "-"), w.problem));
    let limits = settings.limits().map_err(wrong)?;
    let latency = if settings.link.is_some() { Kind::Together } else { Kind::Latency };
    let all = [
        (latency, limits.latency),
        (Kind::Memory, limits.memory),
        (Kind::Size, limits.size),
        (Kind::Energy, limits.energy),
    ];
    let counted = all.into_iter().filter(|(kind, limit)| *kind == latency || limit.is_some());
    let cost = |(kind, limit): (Kind, Option<Amount>)| {
        let (name, limit) = (kind.name().into(), limit.map(|amount| amount.of(1.0)));
        (Cost { name, limit, objective: kind == latency }, kind)
    };
    Ok(counted.map(cost).unzip())
}

impl Costs for DeviceCosts {
    fn names(&self) -> &[Cost] {
        &self.names
    }

    fn of(&self, network: &Network) -> std::result::Result<Vec<f64>, String> {
        let text = |e: Failure| e.to_string();
        let (graph, plan) = on_device(network, self.int8, &self.pool).map_err(text)?;
        let estimate =
            self.model.estimate(&plan, self.pool.threads()).map_err(|e| e.to_string())?;
        let cost = |kind: &Kind| {
            Ok(match kind {
                Kind::Latency => estimate.ms,
                Kind::Together => {
                    let shared = self.share(&graph, &plan, None).map_err(text)?;
                    shared.ok_or("there is no server")?.ms
                }
                Kind::Memory => (plan.arena_bytes() + plan.weight_bytes()) as f64,
                Kind::Size => self.file_bytes(&graph).map_err(text)? as f64,
                Kind::Energy => estimate.millijoules,
            })
        };
        self.kinds.iter().map(cost).collect()
    }

    fn digest(&self) -> String {
        self.digest.clone()
    }
}

/// `network` as it runs on the device.
fn on_device(network: &Network, int8: bool, pool: &Arc<Pool>) -> Result<(Graph, Plan)> {
    let graph = deployed(network, int8, pool)?;
    let plan = compile(&graph, &CompileOptions::default())?;
    Ok((graph, plan))
}

/// The graph that the device would be given.
fn deployed(network: &Network, int8: bool, pool: &Arc<Pool>) -> Result<Graph> {
    let Network { graph, four_bit } = network;
    Ok(if int8 { quantised_with(graph, four_bit, pool)? } else { graph.clone() })
}

/// The network numbered `network` of those to be measured.
fn drawn(stage: &Stage, network: usize, pool: &Arc<Pool>) -> Result<Graph> {
    let mut rng = Rng::keyed(&[stage.task.training.seed, STREAM, network as u64]);
    let genome = stage.space.draw(&mut rng)?;
    let int8 = stage.task.settings.deploy == Deployed::Int8;
    deployed(&stage.space.network(&genome, 0)?, int8, pool)
}

/// The least times of each network.
fn samples(lines: impl Iterator<Item = Line>) -> Vec<Sample> {
    let mut samples: Vec<Sample> = vec![];
    for Line { network, sample } in lines {
        match samples.get_mut(network) {
            Some(before) => *before = before.clone().least(sample),
            None => samples.push(sample),
        }
    }
    samples
}

/// Measurements in the file that are of the same networks and the same machine; another file is
/// refused, a line that was not finished forgotten. What coding costs, where that was measured, comes
/// first.
fn read(path: &Path, heading: &Heading) -> Result<(Option<[f64; 2]>, Vec<Line>)> {
    if !path.exists() {
        return Ok((None, vec![]));
    }
    let (found, lines) = lines(path)?;
    match found {
        Some(mut found) => {
            let coding = found.coding.take();
            if found == *heading { Ok((coding, lines)) } else { Err(other(path)) }
        }
        None => Ok((None, vec![])),
    }
}

fn other(path: &Path) -> Failure {
    Failure::input("has measurements of another space, machine or seed")
        .at(path)
        .hint("search in another folder, or begin anew with --restart")
}

fn lines(path: &Path) -> Result<(Option<Heading>, Vec<Line>)> {
    let file = std::fs::File::open(path).map_err(|e| Failure::io(path, &e))?;
    let mut text = std::io::BufReader::new(file).lines().map_while(std::io::Result::ok);
    let heading = text.next().and_then(|line| serde_json::from_str(&line).ok());
    let whole = text.map_while(|line| serde_json::from_str(&line).ok());
    Ok((heading, whole.collect()))
}

/// The file with its heading and `lines`, to be added to.
fn append(path: &Path, heading: &Heading, lines: &[Line]) -> Result<std::fs::File> {
    let text = |value: serde_json::Result<String>| value.map_err(|e| Failure::input(e.to_string()));
    let mut whole = text(serde_json::to_string(heading))? + "\n";
    for line in lines {
        whole += &(text(serde_json::to_string(line))? + "\n");
    }
    files::write(path, whole.as_bytes())?;
    let file = std::fs::OpenOptions::new().append(true).open(path);
    file.map_err(|e| Failure::io(path, &e))
}
