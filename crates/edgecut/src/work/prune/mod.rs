//! From a model and a target to a smaller model.

mod depth;
mod goal;
mod journal;
mod layers;
mod low_rank;
mod progressive;
mod recover;
mod sensitivity;
mod sparse;

use std::cell::RefCell;
use std::sync::Arc;

use edgecut_compress::prune::{Aim, Channels, Cut, Evidence, Order};
use edgecut_compress::{Control, Images};
use edgecut_graph::Graph;
use edgecut_kernels::Pool;

use super::calibrate::Sample;
use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::interrupt;
use crate::progress::Counter;
use crate::settings::{PruneSettings, Rank};

pub use goal::{Goal, Measure, Measures};
pub use journal::{Journal, StepRecord, show_steps};
pub use layers::{LayerChange, changes};
pub use low_rank::LowRankArgs;
pub use progressive::{Progressed, Progressive, What};
pub use recover::{Pictures, Places, recover};
pub use sensitivity::{Achieved, GroupSensitivity, SHARES, Sensitivity};
pub use sparse::SparseArgs;

/// Steps that a bisection over channels takes about: for the bar only.
const STEPS: u64 = 14;

/// Prunes the network of `channels` until `goal` is reached, which is about the network to begin
/// with.
pub fn prune(
    global: &Global,
    channels: &Channels,
    (settings, goal, whole): (&PruneSettings, &Goal, &Graph),
    sample: Option<&Sample>,
    pool: &Arc<Pool>,
) -> Result<Cut> {
    let mut scores = scores(global, channels, settings, sample, pool)?;
    if settings.rank == Rank::Sensitivity {
        let sample = sample.ok_or_else(no_pictures)?;
        scores = Sensitivity::measure(global, channels, &scores, sample, pool)?.scores(&scores);
    }
    let order = Order::new(channels, &scores, settings.rank.ranking());
    let bounds = settings.bounds();
    if goal.measure == Measure::Ratio {
        let count = (goal.at_most * order.len() as f64).round() as usize;
        let plan = order.plan(channels, count, &bounds);
        let graph = channels.apply(&plan)?;
        return Ok(Cut { plan, graph, value: goal.at_most, met: true });
    }
    let mut measure = goal.meter(global, whole, pool)?;
    let aim = Aim { at_most: goal.at_most, slack: goal.slack() };
    watched(global, "prune", STEPS, |control| {
        channels.cut_to(&order, &bounds, aim, control, &mut |graph: &Graph| measure(graph))
    })
}

/// What each channel is worth, by group.
pub fn scores(
    global: &Global,
    channels: &Channels,
    settings: &PruneSettings,
    sample: Option<&Sample>,
    pool: &Arc<Pool>,
) -> Result<Vec<Vec<f64>>> {
    let images = sample.map(|sample| sample as &dyn Images);
    let total = images.map_or(1, Images::len) as u64;
    watched(global, "importance", total, |control| {
        let evidence = Evidence { images, seed: settings.seed, pool, control };
        Ok(channels.scores(settings.importance.importance(), &evidence)?)
    })
}

/// Does `work`, which Ctrl-C stops, under a bar of about `total` steps.
pub fn watched<T>(
    global: &Global,
    name: &str,
    total: u64,
    work: impl FnOnce(&Control) -> Result<T>,
) -> Result<T> {
    interrupt::listen();
    let steps = RefCell::new((0, Counter::new(global, name, total)));
    let say = |what: &str| {
        let (done, bar) = &mut *steps.borrow_mut();
        *done += 1;
        bar.set((*done).min(total), || what.to_string());
    };
    work(&Control { stop: &interrupt::asked, deadline: None, say: &say })
}

fn no_pictures() -> Failure {
    Failure::input("this --importance, --rank or --by looks at pictures; give --data")
}
