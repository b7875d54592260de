//! Options of the task.

use std::path::PathBuf;

/// Help of the task.
pub const HELP: &str = "\
Usage: cargo xtask bench-serve MODEL.onnx [OPTION...]

Serves the same model by `edgecut serve` and by other servers, which compute it with ONNX Runtime, and
asks all of them by gRPC with raw contents. Closed loop: a number of connections that ask again as soon
as they are answered, in rounds that take turns; the peak is the best of them. Open loop: a multiple of
each server's own peak, sent at even times whatever comes back, each request with a deadline; what is
answered by then is goodput.

MLServer and KServe each need a Python of their own with the server, numpy and onnxruntime; what is not
named is left out.

Options:
  --mlserver PYTHON   Python with mlserver
  --kserve PYTHON     Python with kserve
  --threads N         threads of every server (default 2)
  --connections N,..  of the closed loop (default 1,4,8)
  --seconds S         of each measurement (default 5)
  --rounds N          measurements of each server and number of connections (default 3)
  --overload X        rate of the open loop in peaks (default 3)
  --deadline MS       of a request in the open loop (default 250)

Example:
  cargo xtask bench-serve int8.onnx --mlserver /opt/mlserver/bin/python --seconds 10
";

/// What is to be measured.
pub struct Options {
    /// The model.
    pub model: PathBuf,
    /// Pythons of other servers by their names.
    pub peers: Vec<(&'static str, PathBuf)>,
    /// Threads of every server.
    pub threads: usize,
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
            peers: vec![],
            threads: 2,
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
                "--mlserver" => options.peers.push(("mlserver", value.into())),
                "--kserve" => options.peers.push(("kserve", value.into())),
                "--threads" => options.threads = count()?,
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
