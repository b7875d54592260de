//! One search for each seed, several at a time.

use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use edgecut_search::{Algorithm, Genome, NoJournal, Search, Threads};

use super::options::Options;
use super::table::Table;

/// The nets that the search of a seed begins with.
pub type Warm<'a> = dyn Fn(u64) -> Vec<Genome> + Sync + 'a;

/// An algorithm with what its searches begin with.
pub type Searcher<'a> = (&'a dyn Algorithm, &'a Warm<'a>);

/// The objectives of the nets that `algorithm` evaluates, in order, for each seed.
pub fn searches(
    options: &Options,
    table: &Table,
    (algorithm, warm): Searcher,
    trials: usize,
) -> Result<Vec<Vec<Vec<f64>>>, String> {
    let next = AtomicU64::new(0);
    let found = Mutex::new(vec![Ok(vec![]); options.seeds as usize]);
    std::thread::scope(|scope| {
        for _ in 0..options.threads() {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= options.seeds {
                        break;
                    }
                    let values = search(table, (algorithm, &warm(seed)), seed, trials);
                    found.lock().expect("no thread panics")[seed as usize] = values;
                }
            });
        }
    });
    found.into_inner().expect("no thread panics").into_iter().collect()
}

fn search(
    table: &Table,
    (algorithm, warm): (&dyn Algorithm, &[Genome]),
    seed: u64,
    trials: usize,
) -> Result<Vec<Vec<f64>>, String> {
    let search = Search { problem: table, algorithm, seed, warm };
    let mut workers = Threads { problem: table, count: 1 };
    let mut go_on = |_: edgecut_search::Event| ControlFlow::Continue(());
    let (history, _) = search
        .run(trials as f64, &mut NoJournal, &mut workers, &mut go_on)
        .map_err(|e| e.to_string())?;
    Ok(history.trials.iter().filter_map(|t| t.objectives()).map(<[f64]>::to_vec).collect())
}

/// Mean and its standard error.
pub fn mean(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    (mean, (variance / count).sqrt())
}

/// The value below which `share` of `values` lie.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}
