//! The two halves at work on their hosts.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::ask::{Seen, Task};
use super::options::Options;
use crate::cli::Owned;
use crate::rig::network::{Host, Network, on};
use crate::rig::options::Link;
use crate::rig::quota::Quota;
use crate::rig::weather::Replay;

/// Where both listen.
const SERVER: &str = "10.77.0.2:8001";
const EDGE: [&str; 2] = ["127.0.0.1:7421", "127.0.0.1:7420"];

/// The rig with `edgecut` on both hosts.
pub struct Hosts<'a> {
    pub options: &'a Options,
    pub program: PathBuf,
    pub network: Network,
    pub quota: Quota,
}

/// A program that has said a line, since it is ready.
struct Started {
    out: BufReader<ChildStdout>,
    child: Owned,
}

impl Hosts<'_> {
    /// The cloud, until what is returned is dropped.
    pub fn serve(&self, plans: &Path) -> Result<Owned, String> {
        let mut command = self.program(Host::Cloud);
        command.arg("serve").arg(plans.join("server")).args(["--grpc", SERVER]);
        command.args(["--http", "none", "--poll", "0", "--threads", "1", "--json"]);
        Ok(start(command)?.child)
    }

    /// The edge answers `task` by the plan of this word, or as it decides, while the link is `link`
    /// from the same moment on.
    pub fn ask(
        &self,
        plans: &Path,
        only: Option<&str>,
        link: &Link,
        from: Duration,
        task: Task,
    ) -> Result<Seen, String> {
        let replay = Replay::new(&self.network, link, None).from(from);
        // The edge looks for its server on the link as it is then.
        replay.set(Duration::ZERO)?;
        let mut command = self.program(Host::Edge);
        command.arg("edge").arg(plans).args(["--server", &format!("http://{SERVER}")]);
        command.args(["--grpc", EDGE[0], "--http", EDGE[1], "--threads", "1", "--json"]);
        command.args(only.into_iter().flat_map(|plan| ["--only", plan]));
        let _edge = start(self.quota.limit(&command))?;
        let [grpc, http] = EDGE.map(String::from);
        let task = Task { grpc, http, ..task };
        let text = serde_json::to_string(&task).map_err(|e| e.to_string())?;
        let this = std::env::current_exe().map_err(|e| e.to_string())?;
        let mut command = on(Host::Edge, &this);
        command.args(["rig-part", "policies", &text]).stdin(Stdio::piped());
        let mut client = start(command)?;
        let over = replay.over();
        std::thread::scope(|scope| {
            // Its first request and the trace begin with this line.
            let stdin = client.child.0.stdin.as_mut().expect("is piped");
            let begun = stdin.write_all(b"go\n").map_err(|e| e.to_string());
            let changes = scope.spawn(move || replay.follow());
            let seen = begun.and_then(|()| {
                let mut line = String::new();
                client.out.read_line(&mut line).map_err(|e| e.to_string())?;
                serde_json::from_str(&line).map_err(|e| format!("nothing was measured: {e}"))
            });
            over.store(true, Ordering::Relaxed);
            let changed = changes.join().map_err(|_| "the link's thread panicked".to_string())?;
            changed.and(seen)
        })
    }

    /// `edgecut` on a host and its processor.
    fn program(&self, host: Host) -> Command {
        let mut command = match self.options.cores {
            Some(cores) => {
                let core = cores[usize::from(host == Host::Cloud)].to_string();
                let mut pinned = on(host, Path::new("taskset"));
                pinned.args(["-c", &core]).arg(&self.program);
                pinned
            }
            None => on(host, &self.program),
        };
        command.stdin(Stdio::null());
        command
    }
}

fn start(mut command: Command) -> Result<Started, String> {
    let fail = |e: std::io::Error, command: &Command| format!("{command:?}: {e}");
    command.stdout(Stdio::piped());
    let child = command.spawn().map_err(|e| fail(e, &command))?;
    let mut child: Owned = Owned(child);
    let mut out = BufReader::new(stdout(&mut child.0)?);
    let mut said = String::new();
    out.read_line(&mut said).map_err(|e| fail(e, &command))?;
    match said.is_empty() {
        true => Err(format!("ended before it was ready: {command:?}")),
        false => Ok(Started { out, child }),
    }
}

fn stdout(child: &mut Child) -> Result<ChildStdout, String> {
    child.stdout.take().ok_or_else(|| "has no output".into())
}
