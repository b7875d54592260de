//! Processes that are killed and started again.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A process of this program; it ends with this value.
pub struct Process {
    args: Vec<String>,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts this program as a part of a search; what it complains about goes to `log`.
    pub fn start(args: &[&str], log: PathBuf) -> Result<Process, String> {
        let args: Vec<String> = args.iter().map(|arg| arg.to_string()).collect();
        let child = launch(&args, &log)?;
        Ok(Process { args, log, child })
    }

    /// `kill -9`, and starts it again.
    pub fn kill(&mut self) -> Result<(), String> {
        self.end();
        self.child = launch(&self.args, &self.log)?;
        Ok(())
    }

    /// Whether it has ended well.
    ///
    /// # Errors
    /// With its complaint, where it has failed.
    pub fn has_ended(&mut self) -> Result<bool, String> {
        match self.child.try_wait().map_err(|e| e.to_string())? {
            None => Ok(false),
            Some(status) if status.success() => Ok(true),
            Some(status) => {
                let complaint = std::fs::read_to_string(&self.log).unwrap_or_default();
                Err(format!("{} ended with {status}: {complaint}", self.args.join(" ")))
            }
        }
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn launch(args: &[String], log: &PathBuf) -> Result<Child, String> {
    let fail = |e: std::io::Error| format!("a process of nas-crash: {e}");
    let complaints = File::create(log).map_err(fail)?;
    let mut command = Command::new(std::env::current_exe().map_err(fail)?);
    command.arg("nas-crash-part").args(args);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(complaints).spawn().map_err(fail)
}
