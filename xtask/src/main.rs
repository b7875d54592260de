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

const HELP: &str = "\
Usage: cargo xtask TASK

Tasks:
  tidy                          check what the compiler cannot: file sizes, unsafe code, invariants
  agreement MODEL DATA [N]      compare edgecut with ONNX Runtime on the same N input tensors
                                (default 2000): top-1 agreement and largest difference of logits.
                                Further options go to `edgecut eval`.
  conformance [PART...] [--update] [--json]
                                run ONNX's own tests (those whose name has PART) on the interpreter
                                and the runtime, and check xtask/conformance.txt, or rewrite it
  models [MODEL[@SHAPE]...]     read, write and read models again, and compare with ONNX Runtime and
                                LiteRT; without names all of EDGECUT_DATA, the OCR package and the zoo
  bench-peers [OPTION...]       measure edgecut and other runtimes on the same models and inputs;
                                `cargo xtask bench-peers --help` lists the options
  bench-serve MODEL [OPTION...] measure `edgecut serve` and other servers at their peak and beyond it;
                                `cargo xtask bench-serve --help` lists the options
  servers FOLDER [NAME...]      install other servers of the Open Inference Protocol for tests and
                                bench-serve; `cargo xtask servers --help` says how
  bench-train [OPTION...] [NET...]
                                measure steps of training of edgecut and PyTorch on the same networks
  train-beside DATA [OPTION...] train a network, and its first epochs in PyTorch, by the same recipe
  duel-quantize [OPTION...]     quantise the same models with edgecut and with others and compare;
                                `cargo xtask duel-quantize --help` lists the options
  prune-torchvision [NAME...]   prune torchvision's classification models by 30 % and run them in ONNX
                                Runtime; without names all that export
  nas-rivals FOLDER DATA [OPTION...] winners of a search beside width-scaled networks of the papers,
                                trained alike; `cargo xtask nas-rivals --help` lists the options
  nas-proxies DATA [OPTION...]  score networks of NAS-Bench-201 by zero-cost proxies beside published
                                scores; `cargo xtask nas-proxies --help` lists the options
  nas-supernet DATA [OPTION...] train the shared weights of a space and compare accuracies by them with
                                those of networks that are trained alone
  nas-device [OPTION...]        predict the latency of networks of a search space from runs of others, and
                                measure them; `cargo xtask nas-device --help` lists the options
  nas-crash [OPTION...]         kill the processes of searches at random moments, and compare what they
                                find with undisturbed ones; `cargo xtask nas-crash --help` lists the options
  prune-beside MODEL DATA [OPTION...]
                                prune a network by edgecut and by Torch-Pruning, and train them alike
  nas-tables [OPTION...]        run the search algorithms on tabular benchmarks, over many seeds;
                                `cargo xtask nas-tables --help` lists the options
  rig check | run | policies [OPTION...]
                                two hosts on this machine, with a link between them as bad as asked for;
                                `cargo xtask rig --help` and `cargo xtask rig policies --help` list the
                                options
  edge                          build the program that runs packed models alone, stripped, and
                                check that it stays within 2 MiB
  chaos [--requests N] [--side-by-side N] [--seed N]
                                ask a device while its link, its server, their version and the clock
                                misbehave: one answer to each request by its deadline
  aarch64 [TEST...]             run the tests of kernels and runtime (those whose name has TEST) on
                                AArch64, under qemu where this machine is another
  same-bits [MODEL...]          run models on every instruction set, AArch64's included where its tools
                                are, and compare the bits; without names int8 models of the zoo
  fuzz [TARGET...] [--seconds N] [--timeout N] [--sanitizer NAME]
                                feed the readers (onnx, tflite, state_dict) and the executor
                                (execute) with mutated files, N seconds each (default 60); needs
                                cargo-fuzz

Examples:
  cargo xtask tidy
  cargo xtask agreement out/quickstart/int8.onnx quickstart 2000
  cargo xtask conformance node/test_resize
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        ["tidy"] => tidy::run(root),
        ["agreement", model, data, rest @ ..] => agreement::run(root, model, data, rest),
        ["conformance", rest @ ..] => conformance::run(root, rest),
        ["edge"] => edge::run(root),
        ["servers", rest @ ..] => servers::run(root, rest),
        ["chaos", rest @ ..] => chaos::run(root, rest),
        ["aarch64", rest @ ..] => aarch64::run(root, rest),
        ["same-bits", rest @ ..] => same_bits::run(root, rest),
        ["fuzz", rest @ ..] => fuzz::run(root, rest),
        ["models", rest @ ..] => models::run(root, rest),
        ["prune-torchvision", rest @ ..] => prune_torchvision::run(root, rest),
        ["bench-peers", rest @ ..] => return bench_peers::main(root, rest),
        ["bench-serve", rest @ ..] => return bench_serve::main(root, rest),
        ["bench-train", rest @ ..] => return bench_train::main(root, rest),
        ["train-beside", rest @ ..] => return train_beside::main(root, rest),
        ["nas-supernet", rest @ ..] => return nas::supernet::main(root, rest),
        ["nas-device", rest @ ..] => return nas::device::main(rest),
        ["nas-rivals", rest @ ..] => return nas::rivals::main(root, rest),
        ["nas-proxies", rest @ ..] => return nas::proxies::main(rest),
        ["prune-beside", rest @ ..] => return prune_beside::main(root, rest),
        ["nas-crash", rest @ ..] => return nas::crash::main(rest),
        ["nas-tables", rest @ ..] => return nas::tables::main(root, rest),
        ["duel-quantize", rest @ ..] => return duel_quantize::main(root, rest),
        ["rig", rest @ ..] => return rig::main(root, rest),
        // What `bench-peers`, `nas-crash` and `rig` start.
        ["bench-worker", rest @ ..] => bench_peers::serve(rest),
        ["nas-crash-part", rest @ ..] => nas::crash::part(rest),
        ["rig-part", rest @ ..] => rig::part(rest),
        ["help" | "--help" | "-h"] | [] => {
            print!("{HELP}");
            Ok(())
        }
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problems) => {
            eprintln!("{problems}");
            ExitCode::FAILURE
        }
    }
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

/// Runs a task that has options of its own: exit code 2 where they are wrong, 1 where it fails.
fn with_options<O>(
    task: &str,
    help: &str,
    args: &[&str],
    parse: impl FnOnce(&[&str]) -> Result<O, String>,
    run: impl FnOnce(&O) -> Result<(), String>,
) -> ExitCode {
    if args.iter().any(|a| ["help", "--help", "-h"].contains(a)) {
        print!("{help}");
        return ExitCode::SUCCESS;
    }
    let options = match parse(args) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}; `cargo xtask {task} --help` lists the options");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}
