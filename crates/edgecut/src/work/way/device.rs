//! The device that networks are made for: this machine, another one over the network, or a profile
//! of one that is not here.

use std::path::Path;
use std::sync::Arc;

use edgecut_device::DeviceProfile;
use edgecut_kernels::Pool;
use edgecut_runtime::Plan;

use super::costs::Cost;
use crate::agent::{Agent, Ask, AskProfile};
use crate::cli::Global;
use crate::errors::Result;
use crate::files;
use crate::progress::say;
use crate::settings::Amounts;
use crate::work::nets;
use crate::work::time::{Subject, in_turn};

/// Seconds for each network of a profile that is measured on the way.
const EACH: f64 = 0.2;

/// Milliseconds of measuring for one network, and the least and most runs.
const TIMING_MS: f64 = 1500.0;
const RUNS: (usize, usize) = (15, 2000);

/// Where latencies come from.
enum Place {
    Here,
    There(Agent),
    Profile,
}

/// A device.
pub struct Device {
    place: Place,
    profile: Option<DeviceProfile>,
    /// Whether a cost that has a bound is known from the profile alone.
    relied_on: bool,
    /// What it calls itself.
    pub name: String,
}

/// What a profile says of a plan.
#[derive(Clone, Copy, Debug)]
pub struct Predicted {
    /// Latency.
    pub ms: f64,
    /// Energy.
    pub millijoules: f64,
}

impl Device {
    /// The device at `path`, a profile or a pass; this machine where there is none. Latency and energy
    /// need a profile, which is measured once and kept at `kept`.
    pub fn open(
        path: Option<&Path>,
        (amounts, kept): (&Amounts, &Path),
        global: &Global,
        pool: &Arc<Pool>,
    ) -> Result<Device> {
        let needed = amounts.latency.is_some() || amounts.energy.is_some();
        let (place, name) = match path {
            None => (Place::Here, crate::host::Machine::this(pool.threads()).cpu),
            Some(path) if is_pass(path) => {
                let agent = Agent::open(path)?;
                let name = agent.about()?.machine.cpu;
                (Place::There(agent), name)
            }
            Some(path) => {
                let profile = DeviceProfile::read(path)?;
                let name = profile.machine.cpu.clone();
                return Ok(Device {
                    place: Place::Profile,
                    profile: Some(profile),
                    relied_on: true,
                    name,
                });
            }
        };
        let profile = match needed {
            true => Some(measured(&place, kept, global, pool)?),
            false => None,
        };
        Ok(Device { place, profile, relied_on: amounts.energy.is_some(), name })
    }

    /// What the profile says of `plan`; nothing where there is none.
    ///
    /// # Errors
    /// Where it has never seen a step of the kind and a bound relies on it; elsewhere it then says
    /// nothing.
    pub fn predict(&self, plan: &Plan) -> Result<Option<Predicted>> {
        match self.profile.as_ref().map(|profile| profile.predict(plan)) {
            Some(Ok(p)) => Ok(Some(Predicted { ms: p.ms, millijoules: p.millijoules })),
            Some(Err(e)) if self.relied_on => Err(e.into()),
            _ => Ok(None),
        }
    }

    /// Latency of the network at `path`, milliseconds. Here it is measured beside `first`, whose
    /// median is `first_ms`, by the ratio of the least times: whatever else the machine does only
    /// ever adds to a time, and medians of a tenth of a millisecond move by more than a step gains.
    pub fn latency_ms(
        &self,
        (path, own): (&Path, &mut Subject),
        first: &mut Subject,
        first_ms: Option<f64>,
        global: &Global,
    ) -> Result<f64> {
        match &self.place {
            Place::Profile => Ok(self.predict(own.plan())?.map_or(f64::INFINITY, |p| p.ms)),
            Place::There(agent) => {
                let threads = global.threads.unwrap_or(0);
                let ask =
                    |warmup, runs| Ask { kind: "onnx".into(), threads, batch: 1, warmup, runs };
                let trial = agent.bench(path, &ask(1, 3))?.latency.median_ms;
                Ok(agent.bench(path, &ask(2, runs(trial) as u32))?.latency.median_ms)
            }
            Place::Here => {
                let silent = Global { quiet: true, ..global.clone() };
                let mut both = [first, own];
                let trial = in_turn(&silent, &mut both, 2, 3)?;
                let round = trial.iter().map(|times| times.min_ms).sum();
                let times = in_turn(&silent, &mut both, 2, runs(round))?;
                let ratio = times[1].min_ms / times[0].min_ms.max(1e-9);
                Ok(first_ms.unwrap_or(times[0].median_ms) * ratio)
            }
        }
    }

    /// Whether it is this machine.
    pub fn is_here(&self) -> bool {
        matches!(self.place, Place::Here)
    }

    /// How `cost` is known, in a word.
    pub fn known(&self, cost: Cost) -> &'static str {
        match (cost, &self.place) {
            (Cost::Energy, _) => "modelled",
            (Cost::Latency, Place::Profile) => "predicted",
            _ => "measured",
        }
    }
}

fn runs(round_ms: f64) -> usize {
    ((TIMING_MS / round_ms.max(1e-3)) as usize).clamp(RUNS.0, RUNS.1)
}

/// Whether the file is an agent's pass, which has a token, rather than a profile.
fn is_pass(path: &Path) -> bool {
    let bytes = std::fs::read(path).unwrap_or_default();
    let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    json.get("token").is_some()
}

/// The profile at `kept`, measured first where there is none.
fn measured(
    place: &Place,
    kept: &Path,
    global: &Global,
    pool: &Arc<Pool>,
) -> Result<DeviceProfile> {
    if kept.exists() {
        return Ok(DeviceProfile::read(kept)?);
    }
    say(global, "measuring the device");
    let profile = match place {
        Place::There(agent) => {
            let threads = global.threads.unwrap_or(0);
            agent.profile(&AskProfile { threads, each: EACH, nets: String::new() })?
        }
        _ => nets::measure(&nets::named(&[])?, EACH, global, pool)?,
    };
    files::write_json(kept, &profile)?;
    Ok(profile)
}
