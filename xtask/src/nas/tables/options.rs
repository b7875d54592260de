//! Options of the task.

use std::path::{Path, PathBuf};

/// Help of the task.
pub const HELP: &str = "\
Usage: cargo xtask nas-tables [OPTION...]

Runs random search, regularised evolution, NSGA-II, EHVI and the default search (a predictor in the
loop) on NAS-Bench-Macro and NAS-Bench-201, of which every net is known, and prints how far from the
best net, or from the exact front, they are.

Options:
  --data DIR        folder with nas-bench-macro_cifar10.json and nasbench201_12epoch_hw.csv.zst
                    (default: nas in the folder that EDGECUT_DATA names, default ../shared/data)
  --seeds N         searches of each kind (default 500)
  --threads N       searches at a time (default: one a core); no figure depends on it
  --only PART       macro or 201
  --algorithm NAME  only this algorithm, by its name in the table

Example:
  cargo xtask nas-tables --seeds 100 --only 201
";

/// What is to be done.
pub struct Options {
    /// Folder of the tables.
    pub data: PathBuf,
    /// Searches of each kind.
    pub seeds: u64,
    /// Searches at a time.
    pub threads: usize,
    only: Option<String>,
    algorithm: Option<String>,
}

impl Options {
    /// From the command line.
    pub fn parse(root: &Path, args: &[&str]) -> Result<Options, String> {
        let shared = std::env::var_os("EDGECUT_DATA").unwrap_or("../shared/data".into());
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let data = root.join(shared).join("nas");
        let mut options = Options { data, seeds: 500, threads, only: None, algorithm: None };
        let mut args = args.iter();
        while let Some(&option) = args.next() {
            let value = args.next().ok_or(format!("{option} needs a value"))?;
            let number = || value.parse().ok().filter(|&n| n > 0);
            let number = || number().ok_or(format!("{option}: {value} is no number above 0"));
            match option {
                "--data" => options.data = PathBuf::from(value),
                "--seeds" => options.seeds = number()?,
                "--threads" => options.threads = number()? as usize,
                "--only" if ["macro", "201"].contains(value) => {
                    options.only = Some(value.to_string())
                }
                "--only" => return Err(format!("--only: macro or 201, and not {value}")),
                "--algorithm" => options.algorithm = Some(value.to_string()),
                _ => return Err(format!("no option {option}")),
            }
        }
        Ok(options)
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
