//! `cargo xtask rig`: two hosts on this machine with a link between them that is as bad as asked for.

mod check;
mod network;
mod options;
mod policies;
mod quota;
mod relay;
mod weather;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::cli::Owned;
pub use check::part;
use network::{Host, Network, on};
use options::Run;
pub use options::Task;
use quota::Quota;
use weather::Replay;

/// How long the cloud's program may take until it is asked for something.
const START: Duration = Duration::from_secs(2);

/// Runs the task.
pub fn run(root: &Path, task: &Task) -> Result<(), String> {
    match task {
        Task::Check { seed } => check::run(&Network::build(*seed)?),
        Task::Run(options) => programs(&Network::build(options.seed)?, options),
        Task::Policies(options) => policies::run(root, options),
    }
}

/// Runs both programs, until the edge's ends.
fn programs(network: &Network, options: &Run) -> Result<(), String> {
    let (cloud, edge, link) = (&options.cloud, &options.edge, options.link());
    let server = Owned(shell(Host::Cloud, cloud, None)?);
    std::thread::sleep(START);
    let quota = options.cpu.map(Quota::new).transpose()?;
    let outcome = std::thread::scope(|scope| {
        let replay = Replay::new(network, &link, options.outage);
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
