//! A share of a core, by the kernel's control groups.

use std::fs;
use std::path::{Path, PathBuf};

/// Time in which the share is used up and given again, in microseconds: short beside an inference, so
/// that the pauses look like a slower core.
const PERIOD_US: u64 = 5_000;

/// A group whose processes get that share. Removed when dropped, once they are gone.
pub struct Quota {
    folder: PathBuf,
}

impl Quota {
    /// # Errors
    /// Where the kernel has no control groups that this process may make.
    pub fn new(share: f64) -> Result<Quota, String> {
        let most = (PERIOD_US as f64 * share).round() as u64;
        let first = Path::new("/sys/fs/cgroup/cpu");
        let (base, limits): (&Path, Vec<(&str, String)>) = match first.is_dir() {
            true => {
                let period = ("cpu.cfs_period_us", PERIOD_US.to_string());
                (first, vec![period, ("cpu.cfs_quota_us", most.to_string())])
            }
            false => {
                let limit = ("cpu.max", format!("{most} {PERIOD_US}"));
                (Path::new("/sys/fs/cgroup"), vec![limit])
            }
        };
        let quota = Quota { folder: base.join(format!("edgecut-rig-{}", std::process::id())) };
        let fail = |e: std::io::Error| format!("{}: {e}", quota.folder.display());
        fs::create_dir_all(&quota.folder).map_err(fail)?;
        for (name, value) in limits {
            fs::write(quota.folder.join(name), value).map_err(fail)?;
        }
        Ok(quota)
    }

    /// What a shell does to enter it.
    pub fn enter(&self) -> String {
        format!("echo $$ > '{}/cgroup.procs' && ", self.folder.display())
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}
