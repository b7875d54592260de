//! Options of the task.

use std::path::PathBuf;

use edgecut_testkit::OTHER_SERVERS;

use crate::cli::above_0;

/// Measure `edgecut serve` and other servers at their peak and beyond it
///
/// Serves the same model by `edgecut serve` and by other servers, which compute it with ONNX Runtime, and
/// asks all of them by gRPC with raw contents. Closed loop: a number of connections that ask again as soon
/// as they are answered, in rounds that take turns; the peak is the best of them. Open loop: a multiple of
/// each server's own peak, sent at even times whatever comes back, each request with a deadline; what is
/// answered by then is goodput, of which the best of as many rounds is shown.
///
/// The client needs processor time as well: measure with one that was built for speed, as below, and give
/// it a processor of its own where what counts is what servers do with theirs.
///
/// Other servers run the wrappers of deploy/tail in the virtual environments that `cargo xtask servers`
/// makes, in the folder that EDGECUT_SERVERS names; those that are not there are left out.
#[derive(clap::Args)]
#[command(after_help = "Example:
  EDGECUT_SERVERS=../servers cargo run --release -p xtask -- bench-serve int8.onnx --seconds 10")]
pub struct Options {
    /// An ONNX file
    pub model: PathBuf,
    /// Other servers; also ray
    #[arg(long = "servers", value_name = "NAME,..", value_delimiter = ',', value_parser = other,
        default_values = ["triton", "mlserver", "kserve"])]
    pub others: Vec<&'static str>,
    /// An `edgecut` that is built already
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
    /// Threads of every server
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = above_0::<usize>)]
    pub threads: usize,
    /// Processors of the servers and of the client, such as 0-1,2; without it all for all
    #[arg(long, value_name = "S,C", value_parser = cores)]
    pub cores: Option<(String, String)>,
    /// Of the closed loop
    #[arg(long, value_name = "N,..", value_delimiter = ',', value_parser = above_0::<usize>,
        default_values = ["1", "4", "8"])]
    pub connections: Vec<usize>,
    /// Of each measurement
    #[arg(long, value_name = "S", default_value_t = 5.0, value_parser = above_0::<f64>)]
    pub seconds: f64,
    /// Measurements of each server and load
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = above_0::<usize>)]
    pub rounds: usize,
    /// Rate of the open loop in peaks
    #[arg(long, value_name = "X", default_value_t = 3.0, value_parser = above_0::<f64>)]
    pub overload: f64,
    /// Of a request in the open loop, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 250.0, value_parser = above_0::<f64>)]
    pub deadline: f64,
}

fn cores(text: &str) -> Result<(String, String), String> {
    let two = text.rsplit_once(',').ok_or("not two lists of processors")?;
    Ok((two.0.into(), two.1.into()))
}

/// A server by its name.
fn other(name: &str) -> Result<&'static str, String> {
    let found = OTHER_SERVERS.into_iter().find(|known| *known == name);
    found.ok_or(format!("known are {}", OTHER_SERVERS.join(", ")))
}
