//! Steps of training beside PyTorch's: the same network, batch and threads, in turns.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use edgecut_graph::{Builder, Graph, Window, onnx};
use edgecut_zoo::{Options, build};
use serde::Deserialize;

const HELP: &str = "\
Usage: cargo xtask bench-train [--threads N] [--rounds N] [NET...]

Measures steps of training (forward, loss, backward, SGD) of edgecut and of PyTorch in channels_last on
the same networks, in turns, each time in a new process, and prints the ratio of the minima and of the
medians. Memory is the largest resident one, less what PyTorch needs before there is a network.

  --threads N   (default 2)
  --rounds N    processes of 20 steps for each side (default 3)

Networks: mobilenet-v2-32 (batch 64), mobilenet-v2-96 (16), shufflenet-v2-32 (64), plain-28 (128).
Python is EDGECUT_PYTHON, with torch and onnx.

Example:
  cargo xtask bench-train --threads 2 mobilenet-v2-32
";

/// Name, batch, and the network.
type Net = (&'static str, usize, fn() -> Result<Graph, String>);

const NETS: [Net; 4] = [
    ("mobilenet-v2-32", 64, || zoo("mobilenet-v2-s32", 32)),
    ("mobilenet-v2-96", 16, || zoo("mobilenet-v2", 96)),
    ("shufflenet-v2-32", 64, || zoo("shufflenet-v2-1.0", 32)),
    ("plain-28", 128, plain),
];

struct Settings {
    threads: usize,
    rounds: usize,
    nets: Vec<Net>,
}

/// `cargo xtask bench-train ARGS`: exit code 2 where they are wrong, 1 where nothing could be
/// measured.
pub fn main(root: &Path, args: &[&str]) -> ExitCode {
    crate::with_options("bench-train", HELP, args, parse, |settings| run(root, settings))
}

fn parse(args: &[&str]) -> Result<Settings, String> {
    let mut settings = Settings { threads: 2, rounds: 3, nets: vec![] };
    let mut rest = args.iter();
    while let Some(&arg) = rest.next() {
        let mut number = || {
            let text = rest.next().copied().unwrap_or_default();
            let number = text.parse().ok().filter(|&n| n > 0);
            number.ok_or_else(|| format!("{arg}: '{text}' is no number from 1"))
        };
        match arg {
            "--threads" => settings.threads = number()?,
            "--rounds" => settings.rounds = number()?,
            name => {
                let found = NETS.iter().find(|net| net.0 == name);
                settings.nets.push(*found.ok_or_else(|| format!("no network is called '{name}'"))?);
            }
        }
    }
    if settings.nets.is_empty() {
        settings.nets = NETS.to_vec();
    }
    Ok(settings)
}

fn zoo(arch: &str, side: usize) -> Result<Graph, String> {
    let options = Options { resolution: Some(side), classes: Some(10), ..Options::default() };
    build(arch, &options).map_err(|e| e.to_string())
}

/// Residual blocks of dense 3x3 convolutions for 28x28 pixels: 16, 32 and 64 channels.
fn plain() -> Result<Graph, String> {
    let text = |e: edgecut_graph::GraphError| e.to_string();
    let mut b = Builder::new("plain-28", 1);
    let mut x = b.input("image", ["n".into(), 1.into(), 28.into(), 28.into()]);
    let mut convs = 0;
    let mut conv = |b: &mut Builder, x, channels, stride, act: bool| -> Result<_, _> {
        convs += 1;
        let window = Window::same(3, stride);
        let y = b.conv(x, &format!("conv{convs}"), channels, window, 1, false)?;
        let y = b.batch_norm(y, &format!("bn{convs}"))?;
        if act { b.relu(y) } else { Ok(y) }
    };
    for (stage, channels) in [16, 32, 64].into_iter().enumerate() {
        x = conv(&mut b, x, channels, if stage == 0 { 1 } else { 2 }, true).map_err(text)?;
        let y = conv(&mut b, x, channels, 1, true).map_err(text)?;
        let y = conv(&mut b, y, channels, 1, false).map_err(text)?;
        let sum = b.add(x, y).map_err(text)?;
        x = b.relu(sum).map_err(text)?;
    }
    let x = b.global_average_pool(x).map_err(text)?;
    let x = b.flatten(x).map_err(text)?;
    let x = b.linear(x, "classifier", 10).map_err(text)?;
    b.finish(&[x]).map_err(text)
}

/// What a process says.
#[derive(Deserialize)]
struct Said {
    ms: Vec<f64>,
    peak_kib: f64,
    #[serde(default)]
    before_kib: f64,
}

fn run(root: &Path, settings: &Settings) -> Result<(), String> {
    let work = root.join("target/bench-train");
    std::fs::create_dir_all(&work).map_err(|e| format!("{}: {e}", work.display()))?;
    let own = example(root)?;
    let python = std::env::var("EDGECUT_PYTHON").unwrap_or_else(|_| "python3".into());
    println!(
        "| network | batch | edgecut, ms | PyTorch, ms | ratio of minima, medians | memory, MB |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for (name, batch, net) in &settings.nets {
        let path = work.join(name).with_added_extension("onnx");
        onnx::export(&net()?, &path).map_err(|e| e.to_string())?;
        let numbers = [batch.to_string(), settings.threads.to_string()];
        let (mut ours, mut theirs) = (vec![], vec![]);
        for _ in 0..settings.rounds {
            let mut command = Command::new(&own);
            ours.push(said(command.arg("--json").arg(&path).args(&numbers))?);
            let mut command = Command::new(&python);
            command.arg(root.join("xtask/peers/bench_train.py"));
            theirs.push(said(command.arg(&path).args(&numbers))?);
        }
        let ([a, b], [c, d]) = (times(&ours), times(&theirs));
        let memory = |all: &[Said]| {
            all.iter().map(|s| (s.peak_kib - s.before_kib) / 1024.0).fold(0.0, f64::max)
        };
        let (own, other) = (memory(&ours), memory(&theirs));
        let ratios = format!("{:.2}, {:.2}", c / a, d / b);
        println!("| {name} | {batch} | {a:.1} | {c:.1} | {ratios} | {own:.0}, {other:.0} |");
    }
    println!(
        "\n{} threads; ms are minima of a step, ratios above 1 are in favour of edgecut",
        settings.threads
    );
    Ok(())
}

/// Minimum and median of the steps of all processes, the first two of each left out: they allocate.
fn times(all: &[Said]) -> [f64; 2] {
    let mut ms: Vec<f64> = all.iter().flat_map(|said| said.ms.iter().skip(2).copied()).collect();
    ms.sort_by(f64::total_cmp);
    [ms.first().copied().unwrap_or(f64::NAN), ms.get(ms.len() / 2).copied().unwrap_or(f64::NAN)]
}

fn said(command: &mut Command) -> Result<Said, String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let last = text.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or_default();
        return Err(format!("{}: {last}", command.get_program().to_string_lossy()));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| format!("{command:?}: {e}"))
}

/// The example that measures edgecut, built for speed.
fn example(root: &Path) -> Result<PathBuf, String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).args(["build", "--release", "--quiet", "--package", "edgecut-train"]);
    cargo.args(["--example", "throughput"]);
    match cargo.status() {
        Ok(status) if status.success() => Ok(root.join("target/release/examples/throughput")),
        _ => Err(format!("needs a build that failed: {cargo:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_networks_can_be_built() {
        for (name, _, net) in NETS {
            net().unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        assert!(parse(&["--rounds", "0"]).is_err() && parse(&["nothing"]).is_err());
        assert_eq!(parse(&["plain-28", "--threads", "1"]).unwrap().nets.len(), 1);
    }
}
