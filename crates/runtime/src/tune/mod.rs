//! Measuring, on this machine, what the rules of [`crate::fuse`] decide by size: which neighbouring
//! layers run as one chain, and how many rows of it at a time. Neither changes a bit of a result,
//! so a plan may follow the machine that it is made on.
//!
//! | file | holds |
//! | --- | --- |
//! | `search` | which splits of a run of layers are tried, and when one replaces that by rule |
//! | `measure` | how long each takes |
//! | `cache` | what was found before |

mod cache;
mod measure;
mod search;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use edgecut_kernels::{Isa, Pool, cpu_name};

use crate::Result;
use crate::fuse::{Part, Run};
use crate::model_plans::lock;
use cache::Cache;
use measure::{Measure, Stopwatch};
use search::{Region, regions, search};

/// Kernels and rules that times depend on: raise it when they change.
const VERSION: u32 = 1;

/// Measurements that a change must win, all of them: another program disturbs one for longer than
/// it takes.
const CONFIRMATIONS: usize = 4;

/// Called with the layers that are decided and all of them.
type Progress = Box<dyn Fn(usize, usize) + Send + Sync>;

/// Tunes plans as they are compiled: [`CompileOptions`](crate::CompileOptions) and
/// [`Model::with_tuner`](crate::Model::with_tuner) take one.
///
/// It times alternatives on the threads of its pool and keeps what the rules say where nothing is
/// clearly faster. What it finds is remembered by CPU, instruction set, number of threads, version
/// and layers, so that the next process compiles without measuring: in the file that the
/// environment variable `EDGECUT_TUNE_CACHE` names (nowhere if that is `off`), or else in
/// `edgecut/tuning.txt` in the user's cache folder. Results of a tuned plan are the same bits.
pub struct Tuner {
    pool: Arc<Pool>,
    progress: Option<Progress>,
    state: Mutex<State>,
}

struct State {
    cache: Cache,
    measure: Box<dyn Measure>,
    /// What was measured in this process, by the layers: networks repeat their blocks.
    savings: HashMap<u64, Option<search::Saving>>,
    report: TuningReport,
}

/// What a [`Tuner`] has done so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TuningReport {
    /// Time that it took.
    pub seconds: f64,
    /// Chains that were timed.
    pub measured: usize,
    /// Runs of layers that were known from the cache.
    pub known: usize,
    /// Where plans differ from the rules.
    pub changes: Vec<TuningChange>,
}

/// Layers that a tuned plan runs in another way than the rules say.
#[derive(Clone, Debug, PartialEq)]
pub struct TuningChange {
    /// The first and the last one's names.
    pub layers: String,
    /// The chains by rule, such as `3 by 2 rows, 1`: three layers, two rows at a time, and one
    /// alone.
    pub rule: String,
    /// The chains that were faster.
    pub tuned: String,
    /// Time by rule over time as tuned; unknown where the cache knew the answer.
    pub speedup: Option<f64>,
}

impl Tuner {
    /// A tuner for plans that run on the threads of `pool`.
    pub fn new(pool: Arc<Pool>) -> Tuner {
        let measure = Box::new(Stopwatch::new(Arc::clone(&pool)));
        Tuner::with(pool, cache::usual_path(), measure)
    }

    fn with(pool: Arc<Pool>, cache: Option<PathBuf>, measure: Box<dyn Measure>) -> Tuner {
        let (cache, savings) = (Cache::open(cache), HashMap::new());
        let state = State { cache, measure, savings, report: TuningReport::default() };
        Tuner { pool, progress: None, state: Mutex::new(state) }
    }

    /// The same tuner with its results in the file at `path`, or nowhere.
    pub fn with_cache(mut self, path: Option<PathBuf>) -> Tuner {
        self.state.get_mut().unwrap_or_else(|e| e.into_inner()).cache = Cache::open(path);
        self
    }

    /// The same tuner, which calls `progress` with the number of layers that are decided and of all
    /// layers of a plan.
    pub fn on_progress(self, progress: impl Fn(usize, usize) + Send + Sync + 'static) -> Tuner {
        Tuner { progress: Some(Box::new(progress)), ..self }
    }

    /// What it has done so far.
    pub fn report(&self) -> TuningReport {
        lock(&self.state).report.clone()
    }

    /// The parts of all steps, run by run. One plan at a time: two that measure would disturb each
    /// other.
    pub(crate) fn parts(&self, runs: &[Run], isa: Isa) -> Result<Vec<Part>> {
        let state = &mut *lock(&self.state);
        let began = Instant::now();
        let machine = self.machine(isa);
        let all = runs.iter().map(|run| run.steps.len()).sum();
        let mut parts = vec![];
        let mut done = 0;
        for run in runs {
            parts.extend(state.run(run, isa, &machine, &|within| {
                self.progress.iter().for_each(|progress| progress(done + within, all));
            })?);
            done += run.steps.len();
            self.progress.iter().for_each(|progress| progress(done, all));
        }
        state.report.seconds += began.elapsed().as_secs_f64();
        Ok(parts)
    }

    /// All that times depend on besides the layers.
    fn machine(&self, isa: Isa) -> String {
        let build = if cfg!(debug_assertions) { "debug" } else { "release" };
        let (cpu, threads) = (cpu_name(), self.pool.threads());
        let version = env!("CARGO_PKG_VERSION");
        format!("{cpu}\n{}\n{threads} threads\n{version} {VERSION} {build}\n", isa.name())
    }
}

impl State {
    fn run(
        &mut self,
        run: &Run,
        isa: Isa,
        machine: &str,
        progress: &dyn Fn(usize),
    ) -> Result<Vec<Part>> {
        let rule = run.by_rule();
        if run.steps.len() < 2 {
            return Ok(rule);
        }
        let key = |run: &Run| cache::hash(&format!("{machine}{}", run.outline()));
        let whole = key(run);
        if let Some(parts) = self.cache.get(whole).filter(|parts| fit(run, parts)) {
            self.report.known += 1;
            let changed = regions(&rule, parts);
            self.report.changes.extend(changed.iter().map(|r| change(run, r, None)));
            return Ok(parts.to_vec());
        }
        let mut save = |range: std::ops::Range<usize>| {
            let part = run.part(range);
            let key = key(&part);
            if let Some(known) = self.savings.get(&key) {
                return Ok(*known);
            }
            let saving = search::saving(&part, isa, &mut *self.measure)?;
            self.report.measured += usize::from(part.part_by_rule().is_some());
            self.savings.insert(key, saving);
            Ok(saving)
        };
        let found = search(run.steps.len(), &mut save, progress)?;
        // Noise adds up over many choices: where the two differ, they are measured again.
        let mut parts = vec![];
        let mut changes = vec![];
        let mut at = 0;
        for region in regions(&rule, &found) {
            parts.extend(common(&rule, at..region.range.start));
            at = region.range.end;
            let within = run.part(region.range.clone());
            let speedup = self.confirmed(&within, isa, &region.rule, &region.tuned)?;
            changes.extend(speedup.map(|speedup| change(run, &region, Some(speedup))));
            parts.extend(if speedup.is_some() { region.tuned } else { region.rule });
        }
        parts.extend(common(&rule, at..run.steps.len()));
        // What wins alone, on data that nothing else pushed out of the caches, may lose among others.
        if changes.len() > 1 && self.confirmed(run, isa, &rule, &parts)?.is_none() {
            (parts, changes) = (rule, vec![]);
        }
        self.report.changes.extend(changes);
        self.cache.put(whole, &parts);
        Ok(parts)
    }
}

impl State {
    /// By how much `tuned` is faster than `rule`: the least of several measurements, if it is
    /// clearly faster in each.
    fn confirmed(
        &mut self,
        run: &Run,
        isa: Isa,
        rule: &[Part],
        tuned: &[Part],
    ) -> Result<Option<f64>> {
        let mut least = f64::INFINITY;
        for _ in 0..CONFIRMATIONS {
            let times = self.measure.times(run, isa, &[rule, tuned])?;
            if !search::clearly(times[1], times[0]) {
                return Ok(None);
            }
            least = least.min(times[0] as f64 / times[1].max(1) as f64);
        }
        Ok(Some(least))
    }
}

/// The parts that lie in `range`, whose ends are borders of parts.
fn common(parts: &[Part], range: std::ops::Range<usize>) -> Vec<Part> {
    let mut at = 0;
    let mut inside = vec![];
    for part in parts {
        if range.contains(&at) {
            inside.push(*part);
        }
        at += part.steps;
    }
    inside
}

/// Whether the steps of `run` can have these parts: they come from a file.
fn fit(run: &Run, parts: &[Part]) -> bool {
    let mut at = 0;
    let fits = parts.iter().all(|part| {
        let range = at..at + part.steps.clamp(1, run.steps.len());
        at = range.end;
        at <= run.steps.len() && run.part(range).fits(part)
    });
    fits && at == run.steps.len()
}

fn change(run: &Run, region: &Region, speedup: Option<f64>) -> TuningChange {
    let steps = &run.steps[region.range.clone()];
    let layers = format!("{} .. {}", steps[0].info.name, steps[steps.len() - 1].info.name);
    let (rule, tuned) = (describe(&region.rule), describe(&region.tuned));
    TuningChange { layers, rule, tuned, speedup }
}

/// `3 by 2 rows, 1`.
fn describe(parts: &[Part]) -> String {
    let part = |part: &Part| match part {
        Part { steps, rows: 0 } => steps.to_string(),
        Part { steps, rows: 1 } => format!("{steps} by 1 row"),
        Part { steps, rows } => format!("{steps} by {rows} rows"),
    };
    parts.iter().map(part).collect::<Vec<_>>().join(", ")
}

impl fmt::Debug for Tuner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tuner").field("threads", &self.pool.threads()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
