//! Facts about the machine that every measurement is reported with. No host or user names.

use serde::{Deserialize, Serialize};

/// What a latency or accuracy figure was measured on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Processor, as the operating system names it.
    pub cpu: String,
    /// Processors that this process may use.
    pub cores: usize,
    /// Threads that the measurement used.
    pub threads: usize,
    /// Instruction set that the kernels used.
    pub isa: String,
    /// Memory of the machine in bytes; 0 where it is unknown.
    pub memory_bytes: u64,
    /// Operating system and architecture.
    pub os: String,
    /// Version of edgecut.
    pub edgecut: String,
}

impl Machine {
    /// This machine, with measurements on `threads` threads.
    pub fn this(threads: usize) -> Machine {
        Machine {
            cpu: edgecut_kernels::cpu_name(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            threads,
            isa: edgecut_kernels::Isa::detect().name().into(),
            memory_bytes: memory_bytes().unwrap_or(0),
            os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            edgecut: version(),
        }
    }
}

/// Version of edgecut; figures of a debug build must not be taken for those of a release.
fn version() -> String {
    let build = if cfg!(debug_assertions) { " (debug build: slow)" } else { "" };
    format!("{}{build}", env!("CARGO_PKG_VERSION"))
}

/// Memory of the machine, as Linux tells it.
fn memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}
