//! The processor's time, by the kernel's control groups: the rig's processes before other work of the
//! machine, and a share of a core for the edge.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Time in which the share is used up and given again, in microseconds: short beside an inference, so
/// that the pauses look like a slower core.
const PERIOD_US: u64 = 5_000;

/// The files of the two versions of control groups.
struct Version {
    base: &'static str,
    /// This process's line in `/proc/self/cgroup` has it.
    controller: &'static str,
    /// The file of the weight beside other groups, and its largest value.
    weight: [&'static str; 2],
}

const FIRST: Version =
    Version { base: "/sys/fs/cgroup/cpu", controller: ":cpu:", weight: ["cpu.shares", "262144"] };

const SECOND: Version =
    Version { base: "/sys/fs/cgroup", controller: "0::", weight: ["cpu.weight", "10000"] };

/// A group for the rig with one for the edge in it. Removed when dropped, once their processes are gone.
pub struct Quota {
    folder: PathBuf,
    /// Where this process was.
    before: PathBuf,
    joined: bool,
}

impl Quota {
    /// A group whose edge gets `share` of a core.
    ///
    /// # Errors
    /// Where the kernel has no control groups that this process may make.
    pub fn new(share: f64) -> Result<Quota, String> {
        let version = if Path::new(FIRST.base).is_dir() { FIRST } else { SECOND };
        let base = Path::new(version.base);
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let line = own.lines().find_map(|line| line.split_once(version.controller));
        let before = base.join(line.map_or("", |(_, path)| path.trim_start_matches('/')));
        let folder = base.join(format!("edgecut-rig-{}", std::process::id()));
        let quota = Quota { folder, before, joined: false };
        for group in [quota.folder.clone(), quota.edge(), quota.rest()] {
            fs::create_dir_all(&group).map_err(|e| format!("{}: {e}", group.display()))?;
            if version.base == SECOND.base && group == quota.folder {
                write(&group.join("cgroup.subtree_control"), "+cpu")?;
            }
        }
        let most = (PERIOD_US as f64 * share).round() as u64;
        if version.base == FIRST.base {
            write(&quota.edge().join("cpu.cfs_period_us"), &PERIOD_US.to_string())?;
            write(&quota.edge().join("cpu.cfs_quota_us"), &most.to_string())?;
        } else {
            write(&quota.edge().join("cpu.max"), &format!("{most} {PERIOD_US}"))?;
        }
        // On a core for both, the server is not slowed by a device that is elsewhere in earnest.
        let [file, most] = version.weight;
        for group in [&quota.folder, &quota.rest()] {
            write(&group.join(file), most)?;
        }
        Ok(quota)
    }

    /// Lets this process, and what it starts from now on, run before other work of the machine.
    pub fn join(&mut self) -> Result<(), String> {
        self.joined = true;
        write(&self.rest().join("cgroup.procs"), &std::process::id().to_string())
    }

    /// `command` as the edge's, with its share.
    pub fn limit(&self, command: &Command) -> Command {
        // Before the command enters a namespace, which hides the groups.
        let enter = format!("echo $$ > '{}/cgroup.procs' && ", self.edge().display());
        let mut limited = Command::new("sh");
        limited.arg("-c").arg(format!("{enter}exec \"$0\" \"$@\""));
        limited.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
        limited
    }

    fn edge(&self) -> PathBuf {
        self.folder.join("edge")
    }

    fn rest(&self) -> PathBuf {
        self.folder.join("rest")
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        if self.joined {
            let _ = write(&self.before.join("cgroup.procs"), &std::process::id().to_string());
        }
        for group in [self.edge(), self.rest(), self.folder.clone()] {
            let _ = fs::remove_dir(group);
        }
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}
