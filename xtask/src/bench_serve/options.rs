//! Options of the task.

use std::path::PathBuf;

use edgecut_testkit::OTHER_SERVERS;

/// Help of the task.
pub const HELP: &str = "\
Usage: cargo xtask bench-serve MODEL.onnx [OPTION...]

Serves the same model by `edgecut serve` and by other servers, which compute it with ONNX Runtime, and
asks all of them by gRPC with raw contents. Closed loop: a number of connections that ask again as soon
as they are answered, in rounds that take turns; the peak is the best of them. Open loop: a multiple of
each server's own peak, sent at even times whatever comes back, each request with a deadline; what is
answered by then is goodput, of which the best of as many rounds is shown.

The client needs processor time as well: measure with one that was built for speed, as below, and give
it a processor of its own where what counts is what servers do with theirs.

Other servers run the wrappers of deploy/tail in the virtual environments that `cargo xtask servers`
makes, in the folder that EDGECUT_SERVERS names; those that are not there are left out.

Options:
  --servers NAME,..   other servers (default triton,mlserver,kserve; also ray)
  --program FILE      an `edgecut` that is built already
  --threads N         threads of every server (default 2)
  --cores S,C         processors of the servers and of the client, such as 0-1,2 (default: all for all)
  --connections N,..  of the closed loop (default 1,4,8)
  --seconds S         of each measurement (default 5)
  --rounds N          measurements of each server and load (default 3)
  --overload X        rate of the open loop in peaks (default 3)
  --deadline MS       of a request in the open loop (default 250)

Example:
  EDGECUT_SERVERS=../servers cargo run --release -p xtask -- bench-serve int8.onnx --seconds 10
";

/// What is to be measured.
pub struct Options {
    /// The model.
    pub model: PathBuf,
    /// Other servers.
    pub others: Vec<&'static str>,
    /// An `edgecut` that is built already.
    pub program: Option<PathBuf>,
    /// Threads of every server.
    pub threads: usize,
    /// Processors of the servers and of the client.
    pub cores: Option<(String, String)>,
    /// Numbers of connections of the closed loop.
    pub connections: Vec<usize>,
    /// Seconds of a measurement.
    pub seconds: f64,
    /// Rounds of the closed loop.
    pub rounds: usize,
    /// Rate of the open loop over the peak.
    pub overload: f64,
    /// Deadline of a request in the open loop, in milliseconds.
    pub deadline: f64,
}

impl Options {
    /// From the command line.
    pub fn parse(args: &[&str]) -> Result<Options, String> {
        let [model, args @ ..] = args else { return Err("a model is missing".into()) };
        let mut options = Options {
            model: model.into(),
            others: vec!["triton", "mlserver", "kserve"],
            program: None,
            threads: 2,
            cores: None,
            connections: vec![1, 4, 8],
            seconds: 5.0,
            rounds: 3,
            overload: 3.0,
            deadline: 250.0,
        };
        let mut args = args.iter();
        while let Some(&option) = args.next() {
            let value = args.next().ok_or(format!("{option} needs a value"))?;
            let wrong = || format!("{option}: {value} is no number above 0");
            let number = || value.parse().ok().filter(|&n: &f64| n > 0.0).ok_or_else(wrong);
            let count = || value.parse().ok().filter(|&n: &usize| n > 0).ok_or_else(wrong);
            match option {
                "--servers" => options.others = others(value)?,
                "--program" => options.program = Some(value.into()),
                "--threads" => options.threads = count()?,
                "--cores" => {
                    let two = || format!("{option}: {value} is not two lists of processors");
                    let (servers, client) = value.rsplit_once(',').ok_or_else(two)?;
                    options.cores = Some((servers.into(), client.into()));
                }
                "--connections" => {
                    let numbers = value.split(',').map(|n| n.parse().ok().filter(|&n| n > 0));
                    options.connections = numbers.collect::<Option<_>>().ok_or_else(wrong)?;
                }
                "--seconds" => options.seconds = number()?,
                "--rounds" => options.rounds = count()?,
                "--overload" => options.overload = number()?,
                "--deadline" => options.deadline = number()?,
                _ => return Err(format!("no option {option}")),
            }
        }
        Ok(options)
    }
}

/// Servers by their names.
fn others(list: &str) -> Result<Vec<&'static str>, String> {
    let known = |name: &str| {
        let found = OTHER_SERVERS.into_iter().find(|known| *known == name);
        found.ok_or(format!("--servers: no '{name}', known are {}", OTHER_SERVERS.join(", ")))
    };
    list.split(',').map(known).collect()
}
