//! What the steps of a model take on both sides.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use edgecut_collab::partition::StepTime;
use edgecut_device::energy::EnergyModel;
use edgecut_device::{DeviceProfile, Machine, Work};
use edgecut_graph::Graph;
use edgecut_runtime::{CompileOptions, Plan, Session, compile};

use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::work::time::Subject;

/// Runs of a measurement.
const RUNS: std::ops::RangeInclusive<usize> = 5..=200;

/// Seconds that a measurement takes, if that many runs fit.
const SECONDS: f64 = 1.0;

/// A side of the link as an option states it.
#[derive(Clone, Debug)]
pub enum Side {
    /// This machine, measured now.
    This,
    /// A machine of which there is a profile.
    Profile(PathBuf),
    /// So many times as fast as the device.
    Times(f64),
}

impl FromStr for Side {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Side, String> {
        if text == "this" {
            return Ok(Side::This);
        }
        let Some(Ok(factor)) = text.strip_suffix(['x', 'X']).map(str::parse::<f64>) else {
            return Ok(Side::Profile(text.into()));
        };
        match (1e-3..=1e6).contains(&factor) {
            true => Ok(Side::Times(factor)),
            false => Err(format!("'{text}': allowed is 0.001x to 1000000x")),
        }
    }
}

/// The steps of a model, and whose times they have.
pub struct Steps {
    /// In execution order.
    pub steps: Vec<StepTime>,
    /// The device, in words.
    pub device: String,
    /// The server, in words.
    pub server: String,
    /// How many times as fast as this machine the server codes; the device is taken for this machine.
    pub server_factor: f64,
}

/// Nanoseconds and picojoules of every step.
type Times = Vec<[u64; 2]>;

/// The steps of `graph` on `device` and `server`.
pub fn steps(graph: &Graph, device: &Side, server: &Side, global: &Global) -> Result<Steps> {
    let plan = Arc::new(compile(graph, &CompileOptions::default())?);
    let (own, device) = times(&plan, device, global)?.ok_or_else(|| {
        Failure::input("--device: a factor needs a device to refer to")
            .hint("give this or a profile")
    })?;
    let (there, server, server_factor) = match server {
        Side::Times(factor) => {
            let ns = own.iter().map(|&[ns, _]| [(ns as f64 / factor) as u64, 0]).collect();
            (ns, format!("{factor} times as fast as the device"), *factor)
        }
        side => {
            let found = times(&plan, side, global)?;
            let (there, words) = found.ok_or_else(|| Failure::input("--server: no times"))?;
            (there, words, 1.0)
        }
    };
    let steps = plan.steps().iter().zip(own.iter().zip(&there));
    let step =
        |(info, (own, there)): (&edgecut_runtime::StepInfo, (&[u64; 2], &[u64; 2]))| StepTime {
            name: info.name.clone(),
            device_ns: own[0],
            server_ns: there[0],
            picojoules: own[1],
        };
    Ok(Steps { steps: steps.map(step).collect(), device, server, server_factor })
}

/// Times of one side with its name; none for a factor.
fn times(plan: &Arc<Plan>, side: &Side, global: &Global) -> Result<Option<(Times, String)>> {
    Ok(match side {
        Side::Times(_) => None,
        Side::This => {
            let machine = Machine::this(global.threads());
            Some((measured(plan, global)?, format!("{}, measured", describe(&machine))))
        }
        Side::Profile(path) => {
            let profile = DeviceProfile::read(path)?;
            let predicted = profile.predict(plan).map_err(|e| Failure::from(e).at(path))?;
            let factor = profile.fit.factor;
            let resident = plan.arena_bytes() + plan.weight_bytes() <= profile.roofs.near_bytes;
            let time = |step: &edgecut_device::StepPrediction| {
                let joules = profile.energy.joules(&step.work, resident);
                [(step.us * factor * 1e3) as u64, (joules * 1e12) as u64]
            };
            let times = predicted.steps.iter().map(time).collect();
            Some((times, format!("{}, predicted", describe(&profile.machine))))
        }
    })
}

fn describe(machine: &Machine) -> String {
    let s = if machine.threads == 1 { "" } else { "s" };
    format!("{}, {} thread{s}", machine.cpu, machine.threads)
}

/// Medians on this machine, and energy by the default model, weights from DRAM.
fn measured(plan: &Arc<Plan>, global: &Global) -> Result<Times> {
    let mut session = Session::new(Arc::clone(plan), global.pool());
    Subject::fill(&mut session)?;
    let began = std::time::Instant::now();
    session.run_profiled(2)?;
    let each = began.elapsed().as_secs_f64() / 2.0;
    let runs = ((SECONDS / each.max(1e-9)) as usize).clamp(*RUNS.start(), *RUNS.end());
    let profile = session.run_profiled(runs)?;
    let energy = EnergyModel::default();
    let works = Work::of(plan);
    let time = |(step, work): (&edgecut_runtime::StepProfile, &Work)| {
        [step.ns, (energy.joules(work, false) * 1e12) as u64]
    };
    Ok(profile.steps.iter().zip(&works).map(time).collect())
}
