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
mod trial;

use std::cell::RefCell;
use std::sync::Arc;

use edgecut_compress::prune::{Aim, Channels, Cut, Evidence, Order};
use edgecut_compress::{Control, Images};
use edgecut_graph::Graph;
use edgecut_kernels::Pool;
use edgecut_train::data::{Dataset, Preprocess};

use super::calibrate::Sample;
use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::interrupt;
use crate::progress::{Counter, say};
use crate::settings::{PruneSettings, Rank};

pub use goal::{Goal, Measure, Measures};
pub use journal::{Journal, StepRecord, show_steps};
pub use layers::{LayerChange, changes};
pub use low_rank::LowRankArgs;
pub use progressive::{Progressed, Progressive, What};
pub use recover::{Pictures, Places, recover};
pub use sensitivity::{Achieved, GroupSensitivity, SHARES, Sensitivity};
pub use sparse::SparseArgs;
pub use trial::Trial;

/// Steps that a bisection over channels takes about: for the bar only.
const STEPS: u64 = 14;

/// Prunes the network of `channels` until `goal` is reached, which is about the network to begin
/// with.
pub fn prune(
    global: &Global,
    channels: &Channels,
    (settings, goal, whole): (&PruneSettings, &Goal, &Graph),
    seen: &Seen,
    pool: &Arc<Pool>,
) -> Result<Cut> {
    let bounds = settings.bounds();
    if goal.measure == Measure::Ratio {
        return best(global, channels, settings, seen, pool, &mut |order| {
            let count = (goal.at_most * order.len() as f64).round() as usize;
            let plan = order.plan(channels, count, &bounds);
            let graph = channels.apply(&plan)?;
            Ok(Cut { plan, graph, value: goal.at_most, met: true })
        });
    }
    let mut measure = goal.meter(global, whole, pool)?;
    let aim = Aim { at_most: goal.at_most, slack: goal.slack() };
    best(global, channels, settings, seen, pool, &mut |order| {
        watched(global, "prune", STEPS, |control| {
            channels.cut_to(order, &bounds, aim, control, &mut |graph: &Graph| measure(graph))
        })
    })
}

/// Pictures that pruning looks at, as far as settings want any.
pub struct Seen {
    /// For importances and rises of the loss.
    pub sample: Option<Sample>,
    /// To try what is left on.
    pub trial: Option<Trial>,
}

impl Seen {
    /// Those of `pictures` that `settings` want.
    ///
    /// # Errors
    /// A picture that cannot be read.
    pub fn of(
        global: &Global,
        settings: &PruneSettings,
        pictures: Option<(&Arc<dyn Dataset>, &Preprocess)>,
    ) -> Result<Seen> {
        let pictures = pictures.filter(|_| settings.needs_images());
        let sample = pictures.map(|(set, how)| Sample::new(set, how, settings.images));
        let tried = pictures.filter(|_| settings.rank == Rank::Auto);
        let trial = tried.map(|(set, how)| Trial::new(set, how, global.threads()));
        Ok(Seen { sample: sample.transpose()?, trial: trial.transpose()? })
    }
}

/// What `cut` leaves by the order that `settings` want, or by the best of several.
pub fn best(
    global: &Global,
    channels: &Channels,
    settings: &PruneSettings,
    seen: &Seen,
    pool: &Arc<Pool>,
    cut: &mut dyn FnMut(&Order) -> Result<Cut>,
) -> Result<Cut> {
    let sample = seen.sample.as_ref();
    let worth = scores(global, channels, settings, sample, pool)?;
    let mut found: Option<(f64, Cut)> = None;
    for rank in settings.rank.candidates() {
        let scores = match rank {
            Rank::Sensitivity => {
                let sample = sample.ok_or_else(no_pictures)?;
                Sensitivity::measure(global, channels, &worth, sample, pool)?.scores(&worth)
            }
            _ => worth.clone(),
        };
        let next = cut(&Order::new(channels, &scores, rank.ranking()))?;
        if settings.rank != Rank::Auto {
            return Ok(next);
        }
        let trial = seen.trial.as_ref().ok_or_else(no_pictures)?;
        let float = |e: Failure| e.hint("auto tries float networks; name another --rank");
        let accuracy = trial.accuracy(&next.graph).map_err(float)?;
        let name = format!("{rank:?}").to_lowercase();
        say(global, &format!("rank {name}: {accuracy:.2} % right before any training"));
        // What misses the target is no rival of what meets it.
        let place = |accuracy: f64, cut: &Cut| (cut.met, accuracy);
        if found.as_ref().is_none_or(|(most, old)| place(accuracy, &next) > place(*most, old)) {
            found = Some((accuracy, next));
        }
    }
    Ok(found.expect("there are candidates").1)
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
