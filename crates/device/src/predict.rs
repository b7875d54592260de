//! What a plan would take on a device that is not here.

use edgecut_runtime::Plan;
use serde::Serialize;

use crate::{DeviceError, DeviceProfile, Result, Work};

/// Measured steps that one is predicted from.
const NEIGHBOURS: usize = 4;

/// What keeps the weight of a step that is exactly like a measured one finite: such a step counts
/// as much as a thousand at a distance of one octave.
const NEAREST: f64 = 1e-3;

/// A predicted latency. Nothing of it was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Prediction {
    /// Milliseconds of a run.
    pub ms: f64,
    /// Nine of ten networks like those of the table would lie above.
    pub low_ms: f64,
    /// And below.
    pub high_ms: f64,
    /// Millijoules of a run by the device's model.
    pub millijoules: f64,
    /// In execution order.
    pub steps: Vec<StepPrediction>,
}

/// The part of one step.
#[derive(Clone, Debug, Serialize)]
pub struct StepPrediction {
    /// Its name.
    pub name: String,
    /// What it does.
    #[serde(flatten)]
    pub work: Work,
    /// Microseconds, before the fit.
    pub us: f64,
}

impl DeviceProfile {
    /// The latency of `plan`, which was compiled for the instruction set of this device or a like
    /// one.
    ///
    /// # Errors
    /// Where a step is of a kind that was never measured.
    pub fn predict(&self, plan: &Plan) -> Result<Prediction> {
        let resident = plan.arena_bytes() + plan.weight_bytes() <= self.roofs.near_bytes;
        let step = |(info, work): (&edgecut_runtime::StepInfo, Work)| {
            let us = self.step_us(&work, resident, None).ok_or_else(|| {
                DeviceError::Unmeasured { step: info.name.clone(), kind: work.kind.clone() }
            })?;
            Ok(StepPrediction { name: info.name.clone(), work, us })
        };
        let steps = plan.steps().iter().zip(Work::of(plan)).map(step);
        let steps = steps.collect::<Result<Vec<StepPrediction>>>()?;
        let ms = self.fit.factor * steps.iter().map(|s| s.us).sum::<f64>() / 1e3;
        let joules = steps.iter().map(|s| self.energy.joules(&s.work, resident)).sum::<f64>();
        let spread = self.fit.spread;
        Ok(Prediction {
            ms,
            low_ms: ms / spread,
            high_ms: ms * spread,
            millijoules: 1e3 * joules,
            steps,
        })
    }

    /// Microseconds of a step: its least time, over the shares of theirs that the nearest steps of
    /// its kind reached. None where there is none of its kind, but for those of network `except`.
    pub(crate) fn step_us(
        &self,
        work: &Work,
        resident: bool,
        except: Option<usize>,
    ) -> Option<f64> {
        let place = work.place();
        let like = |e: &&crate::Entry| Some(e.net) != except && e.work.kind == work.kind;
        let mut near: Vec<(f64, f64)> = Vec::new();
        for entry in self.entries.iter().filter(like) {
            let square = |(a, b): (f64, f64)| (a - b) * (a - b);
            let distance: f64 = place.into_iter().zip(entry.work.place()).map(square).sum();
            let (least, _) = self.roofs.least_us(&entry.work, self.resident(entry.net));
            near.push((distance, entry.us / least.max(1e-9)));
        }
        near.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        near.truncate(NEIGHBOURS);
        let weigh = |sum: f64, &(distance, _): &(f64, f64)| sum + 1.0 / (distance + NEAREST);
        let weights = near.iter().fold(0.0, weigh);
        let over = near.iter().map(|&(distance, over)| over / (distance + NEAREST)).sum::<f64>();
        let (least, _) = self.roofs.least_us(work, resident);
        (weights > 0.0).then(|| least.max(1e-9) * over / weights)
    }

    fn resident(&self, net: usize) -> bool {
        self.nets.get(net).is_some_and(|net| net.resident)
    }
}
