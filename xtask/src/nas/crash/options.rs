//! Options of the task.

use crate::cli::above_0;

/// Kill the processes of searches at random moments, and compare what they find with undisturbed ones
///
/// Runs architecture searches on nets that are judged by a formula after some milliseconds, kills their
/// processes (kill -9) at random moments, starts them again, and compares the histories and fronts that they
/// end with, byte by byte, with those of searches that nobody disturbs: once with a journal in a file and
/// three threads, once with a journal on a NATS server, a coordinator and three workers, of which the server
/// is killed, too. Searches begin until all kills are spent, with all algorithms in turn.
///
/// Needs nats-server (EDGECUT_NATS, or where programs are) for the second part.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  cargo xtask nas-crash --kills 20 --only nats")]
pub struct Options {
    /// Of each part
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = above_0::<usize>)]
    pub kills: usize,
    /// Of kills and of searches
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Of each search
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = above_0::<usize>)]
    pub evaluations: usize,
    /// One part alone
    #[arg(long, value_name = "PART", value_parser = ["local", "nats"])]
    only: Option<String>,
}

impl Options {
    /// Whether a part is asked for.
    pub fn wants(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }
}
