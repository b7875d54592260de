//! Options of the task.

use std::path::{Path, PathBuf};

use crate::cli::above_0;

/// Run the search algorithms on tabular benchmarks, over many seeds
///
/// Runs random search, regularised evolution, NSGA-II, EHVI and the default search (a predictor in the
/// loop) on NAS-Bench-Macro and NAS-Bench-201, of which every net is known, and prints how far from the
/// best net, or from the exact front, they are.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  cargo xtask nas-tables --seeds 100 --only 201")]
pub struct Options {
    /// Folder with nas-bench-macro_cifar10.json and nasbench201_12epoch_hw.csv.zst; without it nas in the
    /// folder that EDGECUT_DATA names
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Searches of each kind
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = above_0::<u64>)]
    pub seeds: u64,
    /// Searches at a time, without it one a core; no figure depends on it
    #[arg(long, value_name = "N", value_parser = above_0::<usize>)]
    threads: Option<usize>,
    /// One part alone
    #[arg(long, value_name = "PART", value_parser = ["macro", "201"])]
    only: Option<String>,
    /// Only this algorithm, by its name in the table
    #[arg(long, value_name = "NAME")]
    algorithm: Option<String>,
}

impl Options {
    /// Folder of the tables.
    pub fn data(&self) -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let shared = || std::env::var_os("EDGECUT_DATA").unwrap_or("../shared/data".into());
        self.data.clone().unwrap_or_else(|| root.join(shared()).join("nas"))
    }

    /// Searches at a time.
    pub fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.unwrap_or_else(cores)
    }

    /// Whether a part is asked for.
    pub fn wants(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }

    /// Whether an algorithm is asked for.
    pub fn wants_algorithm(&self, name: &str) -> bool {
        self.algorithm.as_deref().is_none_or(|only| only == name)
    }
}
