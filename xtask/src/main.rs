//! Development tasks. `cargo xtask help` lists them.

mod aarch64;
mod agreement;
mod bench_peers;
mod bench_serve;
mod bench_train;
mod chaos;
mod cli;
mod conformance;
mod duel_quantize;
mod edge;
mod fuzz;
mod models;
mod nas;
mod prune_beside;
mod prune_torchvision;
mod rig;
mod same_bits;
mod servers;
mod tidy;
mod train_beside;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Parser;

/// Development tasks of edgecut
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(clap::Subcommand)]
enum Task {
    /// Check what the compiler cannot: file sizes, unsafe code, invariants
    Tidy,
    Agreement(agreement::Options),
    Conformance(conformance::Options),
    Models(models::Options),
    BenchPeers(bench_peers::Options),
    BenchServe(bench_serve::Options),
    Servers(servers::Options),
    BenchTrain(bench_train::Settings),
    TrainBeside(train_beside::Settings),
    DuelQuantize(duel_quantize::Options),
    /// Prune torchvision's classification models by 30 % and run them in ONNX Runtime
    PruneTorchvision {
        /// All that export without
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    PruneBeside(prune_beside::Settings),
    NasRivals(nas::rivals::Options),
    NasProxies(nas::proxies::Settings),
    NasSupernet(nas::supernet::Options),
    NasDevice(nas::device::Settings),
    NasCrash(nas::crash::Options),
    NasTables(nas::tables::Options),
    /// Two hosts on this machine, with a link between them as bad as asked for
    ///
    /// 10.77.0.1 (edge) and 10.77.0.2 (cloud) are each a network namespace. The edge's packets pass a token
    /// bucket of the kernel (tbf), which follows a trace, and both ways a relay in user space delays them. TCP
    /// goes by losses (Reno). Needs the rights of root, iproute2, iptables and socat.
    #[command(subcommand)]
    Rig(Box<rig::Task>),
    /// Build the program that runs packed models alone, stripped, and check that it stays within 2 MiB
    Edge,
    /// Ask a device while its link, its server, their version and the clock misbehave: one answer to each
    /// request by its deadline
    Chaos {
        /// --requests N, --side-by-side N, --seed N
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Run the tests of kernels and runtime on AArch64, under qemu where this machine is another
    Aarch64 {
        /// Parts of their names
        #[arg(value_name = "TEST", trailing_var_arg = true, allow_hyphen_values = true)]
        tests: Vec<String>,
    },
    /// Run models on every instruction set, AArch64's included where its tools are, and compare the bits
    SameBits {
        /// Files; int8 models of the zoo and those of EDGECUT_DATA without
        #[arg(value_name = "MODEL")]
        models: Vec<PathBuf>,
    },
    Fuzz(fuzz::Options),
    /// What `bench-peers` starts
    #[command(hide = true)]
    BenchWorker(Part),
    /// What `nas-crash` starts
    #[command(hide = true)]
    NasCrashPart(Part),
    /// What `rig` starts
    #[command(hide = true)]
    RigPart(Part),
}

/// A process of a task.
#[derive(clap::Args)]
struct Part {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace");
    match run(root, &Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problems) => {
            eprintln!("{problems}");
            ExitCode::FAILURE
        }
    }
}

fn run(root: &Path, task: &Task) -> Result<(), String> {
    let part = |run: fn(&[&str]) -> Result<(), String>, part: &Part| run(&texts(&part.args));
    match task {
        Task::Tidy => tidy::run(root),
        Task::Agreement(options) => agreement::run(root, options),
        Task::Conformance(options) => conformance::run(root, options),
        Task::Models(options) => models::run(root, options),
        Task::BenchPeers(options) => bench_peers::run(root, options),
        Task::BenchServe(options) => bench_serve::run(root, options),
        Task::Servers(options) => servers::run(root, options),
        Task::BenchTrain(settings) => bench_train::run(root, settings),
        Task::TrainBeside(settings) => train_beside::run(root, settings),
        Task::DuelQuantize(options) => duel_quantize::run(root, options),
        Task::PruneTorchvision { names } => prune_torchvision::run(root, &texts(names)),
        Task::PruneBeside(settings) => prune_beside::run(root, settings),
        Task::NasRivals(options) => nas::rivals::run(root, options),
        Task::NasProxies(settings) => nas::proxies::run(settings),
        Task::NasSupernet(options) => nas::supernet::run(root, options),
        Task::NasDevice(settings) => nas::device::run(settings),
        Task::NasCrash(options) => nas::crash::run(options),
        Task::NasTables(options) => nas::tables::run(options),
        Task::Rig(task) => rig::run(root, task),
        Task::Edge => edge::run(root),
        Task::Chaos { options } => chaos::run(root, &texts(options)),
        Task::Aarch64 { tests } => aarch64::run(root, &texts(tests)),
        Task::SameBits { models } => same_bits::run(root, models),
        Task::Fuzz(options) => fuzz::run(root, options),
        Task::BenchWorker(given) => part(bench_peers::serve, given),
        Task::NasCrashPart(given) => part(nas::crash::part, given),
        Task::RigPart(given) => part(rig::part, given),
    }
}

fn texts(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}

/// The program `edgecut`: one that is `built` already, or what this builds for speed.
fn program(root: &Path, built: Option<&Path>) -> Result<PathBuf, String> {
    if let Some(built) = built {
        return Ok(built.into());
    }
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root).args(["build", "--release", "--quiet", "--package", "edgecut"]);
    match command.status() {
        Ok(status) if status.success() => Ok(root.join("target/release/edgecut")),
        _ => Err(format!("needs a build that failed: {command:?}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn tasks_are_what_clap_wants() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_is_for_others_is_passed_on() {
        let task = |args: &[&str]| Cli::parse_from([&["xtask"], args].concat()).task;
        let chaos = task(&["chaos", "--requests", "10"]);
        assert!(matches!(chaos, Task::Chaos { options } if options == ["--requests", "10"]));
        let worker = task(&["bench-worker", "m.onnx", "--json", "2"]);
        assert!(matches!(worker, Task::BenchWorker(part) if part.args.len() == 3));
    }
}
