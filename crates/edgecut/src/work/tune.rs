//! `--tune`: plans that are measured on this machine while they are compiled.

use std::sync::{Arc, Mutex};

use edgecut_kernels::Pool;
use edgecut_runtime::{Tuner, TuningChange, TuningReport};
use serde::Serialize;

use crate::cli::Global;
use crate::progress::{self, Counter};
use crate::{files, term};

/// The option.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Tune {
    /// Measure on this machine which layers run as one chain, and how many rows of it at a time;
    /// takes seconds, once: what is found is remembered for this CPU and number of threads.
    /// Results are the same bits
    #[arg(long)]
    tune: bool,
}

/// What tuning took and changed.
#[derive(Serialize)]
pub struct Tuned {
    seconds: f64,
    /// Chains that were timed.
    measured: usize,
    /// Runs of layers that were known from before.
    known: usize,
    changes: Vec<Change>,
}

#[derive(Serialize)]
struct Change {
    layers: String,
    rule: String,
    tuned: String,
    /// Time by rule over time as tuned; none where the answer was known from before.
    speedup: Option<f64>,
}

impl Tune {
    /// Whether it was asked for.
    pub fn is_on(self) -> bool {
        self.tune
    }

    /// What tunes plans for the threads of `pool`, if that was asked for, and shows how far it is.
    pub fn tuner(self, global: &Global, pool: &Arc<Pool>) -> Option<Arc<Tuner>> {
        if !self.tune {
            return None;
        }
        let (global, bar) = (global.clone(), Mutex::new(None));
        let tuner = Tuner::new(Arc::clone(pool)).on_progress(move |done, all| {
            let mut bar = bar.lock().unwrap_or_else(|e| e.into_inner());
            let counter = bar.get_or_insert_with(|| Counter::new(&global, "tune", all as u64));
            counter.set(done as u64, || "layers".into());
            if done == all {
                *bar = None;
            }
        });
        Some(Arc::new(tuner))
    }
}

impl Tuned {
    /// What `tuner` has done so far; says so, unless `--quiet`.
    pub fn of(tuner: &Tuner, global: &Global) -> Tuned {
        let TuningReport { seconds, measured, known, changes } = tuner.report();
        let change = |c: TuningChange| {
            let TuningChange { layers, rule, tuned, speedup } = c;
            Change { layers, rule, tuned, speedup }
        };
        let changes: Vec<Change> = changes.into_iter().map(change).collect();
        let known_text = match (known, measured) {
            (0, _) => String::new(),
            (_, 0) => ", all known from before".into(),
            _ => ", some known from before".into(),
        };
        let runs = if changes.len() == 1 { "run" } else { "runs" };
        progress::say(
            global,
            &format!(
                "tuned in {seconds:.1} s, {measured} chains timed{known_text}: {} {runs} of layers \
                 changed",
                changes.len()
            ),
        );
        Tuned { seconds, measured, known, changes }
    }

    /// Prints the changes, if there are any.
    pub fn show(&self) {
        if self.changes.is_empty() {
            return;
        }
        let row = |c: &Change| {
            let faster = c.speedup.map_or("before".into(), |s| format!("{s:.2} x"));
            vec![c.layers.clone(), c.rule.clone(), c.tuned.clone(), faster]
        };
        let rows: Vec<Vec<String>> = self.changes.iter().map(row).collect();
        files::print(&term::table(
            &["layers", "chains by rule", "as tuned", "faster"],
            &[3],
            &rows,
        ));
    }
}
