//! The driver's side of a worker process.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A worker that says nothing for this long has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// A loaded model in a process of its own, stopped except while it measures.
pub struct Worker {
    child: Child,
    requests: Option<ChildStdin>,
    answers: Receiver<String>,
    log: PathBuf,
    output: PathBuf,
    ready: Ready,
}

/// What a worker says when it has loaded and run once.
#[derive(Deserialize)]
struct Ready {
    load_ms: f64,
    host_rss_kib: u64,
    arena_bytes: Option<u64>,
}

#[derive(Deserialize)]
struct Last {
    rss_kib: u64,
}

/// What is known of a worker at its end.
pub struct End {
    pub load_ms: f64,
    /// Peak of the process.
    pub rss_kib: u64,
    /// Of it, before the runtime was loaded: the interpreter and the input.
    pub host_rss_kib: u64,
    /// Memory of activations, where the runtime says.
    pub arena_bytes: Option<u64>,
    /// Elements of all outputs.
    pub output: Vec<f32>,
}

impl Worker {
    /// Starts the process and waits until it is ready; its outputs come to lie in `output`.
    pub fn start(mut command: Command, output: PathBuf) -> Result<Worker, String> {
        let log = output.with_extension("log");
        let file = File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file);
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().map_err(|e| format!("{program}: {e}"))?;
        let requests = child.stdin.take();
        let (lines, answers) = channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if lines.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        let ready = Ready { load_ms: 0.0, host_rss_kib: 0, arena_bytes: None };
        let mut worker = Worker { child, requests, answers, log, output, ready };
        worker.ready = worker.answer()?;
        worker.signal("STOP");
        Ok(worker)
    }

    /// Milliseconds of every run of a burst of at least these seconds and runs.
    pub fn burst(&mut self, (seconds, runs): (f64, usize)) -> Result<Vec<f64>, String> {
        self.signal("CONT");
        if let Some(requests) = &mut self.requests {
            let sent = writeln!(requests, "burst {seconds} {runs}").and_then(|()| requests.flush());
            // Whoever cannot be written to has ended, and the answer below says why.
            let _ = sent;
        }
        let times = self.answer();
        self.signal("STOP");
        times
    }

    /// Ends the process and tells what it said about itself.
    pub fn finish(mut self) -> Result<End, String> {
        self.signal("CONT");
        self.requests = None;
        let last: Last = self.answer()?;
        let bytes =
            std::fs::read(&self.output).map_err(|e| format!("{}: {e}", self.output.display()))?;
        Ok(End {
            load_ms: self.ready.load_ms,
            rss_kib: last.rss_kib,
            host_rss_kib: self.ready.host_rss_kib,
            arena_bytes: self.ready.arena_bytes,
            output: floats(&bytes),
        })
    }

    fn answer<T: DeserializeOwned>(&mut self) -> Result<T, String> {
        let Ok(line) = self.answers.recv_timeout(PATIENCE) else { return Err(self.failure()) };
        serde_json::from_str(&line).map_err(|e| format!("it answered {line:?}: {e}"))
    }

    /// The last words of a process that ended, or that it is silent.
    fn failure(&mut self) -> String {
        match self.child.try_wait() {
            Ok(None) if self.answers.recv_timeout(Duration::ZERO).is_err() => {
                // Its output may be closed just before its end.
                std::thread::sleep(Duration::from_millis(200));
                if matches!(self.child.try_wait(), Ok(None)) {
                    return format!("failed: no answer for {} s", PATIENCE.as_secs());
                }
            }
            _ => {}
        }
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let last = log.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("it said nothing");
        let short: String = last.trim().chars().take(200).collect();
        format!("failed: {short}")
    }

    /// Where there is no `kill`, nothing stops and polling threads disturb the next burst.
    fn signal(&self, name: &str) {
        let _ =
            Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Elements of a file of float32, little-endian.
pub fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_fails_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo first >&2; echo no such operator >&2; exit 1"]);
        let error = Worker::start(command, folder.path().join("out.bin")).err().unwrap();
        assert_eq!(error, "failed: no such operator");
    }

    #[test]
    fn bursts_are_answered_and_the_end_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("out.bin");
        std::fs::write(&output, 1.5f32.to_le_bytes()).unwrap();
        let script = "echo '{\"load_ms\": 3.5, \"host_rss_kib\": 10, \"arena_bytes\": null}'
                      while read -r word seconds runs; do echo \"[$seconds, $runs]\"; done
                      echo '{\"rss_kib\": 20}'";
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let mut worker = Worker::start(command, output).unwrap();
        assert_eq!(worker.burst((0.5, 3)).unwrap(), [0.5, 3.0]);
        let end = worker.finish().unwrap();
        assert_eq!((end.load_ms, end.rss_kib, end.host_rss_kib), (3.5, 20, 10));
        assert_eq!(end.output, [1.5]);
    }
}
