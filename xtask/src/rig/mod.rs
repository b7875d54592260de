//! `cargo xtask rig`: two hosts on this machine with a link between them that is as bad as asked for.

mod check;
mod network;
mod options;
mod policies;
mod quota;
mod relay;
mod weather;

use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use crate::cli::Owned;
pub use check::part;
use network::{Host, Network, on};
use options::{HELP, Options, Task};
use quota::Quota;
use weather::Replay;

/// How long the cloud's program may take until it is asked for something.
const START: Duration = Duration::from_secs(2);

/// Runs the task.
pub fn main(root: &Path, args: &[&str]) -> ExitCode {
    if let ["policies", rest @ ..] = args {
        return policies::main(root, rest);
    }
    crate::with_options("rig", HELP, args, Options::parse, run)
}

fn run(options: &Options) -> Result<(), String> {
    let network = Network::build(options.seed)?;
    match &options.task {
        Task::Check => check::run(&network),
        Task::Run { cloud, edge } => programs(&network, options, cloud, edge),
    }
}

/// Runs both programs, until the edge's ends.
fn programs(network: &Network, options: &Options, cloud: &str, edge: &str) -> Result<(), String> {
    let server = Owned(shell(Host::Cloud, cloud, None)?);
    std::thread::sleep(START);
    let quota = options.cpu.map(Quota::new).transpose()?;
    let outcome = std::thread::scope(|scope| {
        let replay = Replay::new(network, &options.link, options.outage);
        let over = replay.over();
        let changes = scope.spawn(move || replay.run());
        let ended = shell(Host::Edge, edge, quota.as_ref()).and_then(|mut child| {
            let status = child.wait().map_err(|e| e.to_string())?;
            if status.success() { Ok(()) } else { Err(format!("{edge}: {status}")) }
        });
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        let changed = changes.join().map_err(|_| "the link's thread panicked".to_string())?;
        ended.and(changed)
    });
    drop(server);
    outcome
}

/// A line of the shell on a host; `exec` lets a signal reach the program itself.
fn shell(host: Host, line: &str, quota: Option<&Quota>) -> Result<Child, String> {
    let mut command: Command = on(host, Path::new("sh"));
    command.arg("-c").arg(format!("exec {line}")).stdin(Stdio::null());
    if let Some(quota) = quota {
        command = quota.limit(&command);
    }
    command.spawn().map_err(|e| format!("{line}: {e}"))
}
