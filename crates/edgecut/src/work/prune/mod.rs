//! From a model and a target to a smaller model.

mod goal;
mod layers;
mod sparse;

use std::cell::RefCell;
use std::sync::Arc;

use edgecut_compress::Control;
use edgecut_compress::prune::{Channels, Cut, Evidence, Order};
use edgecut_graph::Graph;
use edgecut_kernels::Pool;

use super::calibrate::Sample;
use crate::cli::Global;
use crate::errors::Result;
use crate::interrupt;
use crate::progress::Counter;
use crate::settings::PruneSettings;

pub use goal::{Goal, Measure, Measures};
pub use layers::{LayerChange, changes};
pub use sparse::SparseArgs;

/// Steps that a bisection over channels takes about: for the bar only.
const STEPS: u64 = 14;

/// Prunes the network of `channels` until `goal` is reached.
pub fn prune(
    global: &Global,
    channels: &Channels,
    (settings, goal): (&PruneSettings, &Goal),
    sample: Option<&Sample>,
    pool: &Arc<Pool>,
) -> Result<Cut> {
    interrupt::listen();
    let steps = RefCell::new((0, Counter::new(global, "prune", STEPS)));
    let say = |what: &str| {
        let (done, bar) = &mut *steps.borrow_mut();
        *done += 1;
        bar.set((*done).min(STEPS), || what.to_string());
    };
    let control = Control { stop: &interrupt::asked, deadline: None, say: &say };
    let images = sample.map(|sample| sample as &dyn edgecut_compress::Images);
    let evidence = Evidence { images, seed: settings.seed, pool, control: &control };
    let scores = channels.scores(settings.importance.importance(), &evidence)?;
    let order = Order::new(channels, &scores, settings.rank.ranking());
    let bounds = settings.bounds();
    if goal.measure == Measure::Ratio {
        let count = (goal.at_most * order.len() as f64).round() as usize;
        let plan = order.plan(channels, count, &bounds);
        let graph = channels.apply(&plan)?;
        return Ok(Cut { plan, graph, value: goal.at_most, met: true });
    }
    let mut measure = goal.meter(global, channels.graph(), pool)?;
    channels.cut_to(&order, &bounds, goal.at_most, &control, &mut |graph: &Graph| measure(graph))
}
