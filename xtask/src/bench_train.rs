//! Steps of training beside PyTorch's: the same network, batch and threads, in turns.

use std::path::{Path, PathBuf};
use std::process::Command;

use edgecut_graph::{Builder, Graph, Window, onnx};
use edgecut_zoo::{Options, build};
use serde::Deserialize;

use crate::cli::{above_0, within};

/// Name, batch, and the network.
type Net = (&'static str, usize, fn() -> Result<Graph, String>);

const NETS: [Net; 6] = [
    ("mobilenet-v2-32", 64, || zoo("mobilenet-v2-s32", 32)),
    ("mobilenet-v2-96", 16, || zoo("mobilenet-v2", 96)),
    ("shufflenet-v2-32", 64, || zoo("shufflenet-v2-1.0", 32)),
    ("plain-28", 128, || plain(16)),
    ("resnet20-32", 128, || zoo("resnet-20", 32)),
    ("wide-28", 64, || plain(64)),
];

/// Those of [`NETS`] that are compared with PyTorch unless others are named.
const USUAL: usize = 4;

/// Measure steps of training of edgecut and of PyTorch on the same networks
///
/// Measures steps of training (forward, loss, backward, SGD) of edgecut and of PyTorch in channels_last on
/// the same networks, in turns, each time in a new process, and prints the ratio of the minima and of the
/// medians. Memory is the largest resident one, less what PyTorch needs before there is a network.
///
/// Python is EDGECUT_PYTHON, with torch and onnx.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask bench-train --threads 2 mobilenet-v2-32
  cargo xtask bench-train --memory 0.75,0.5,0.25 mobilenet-v2-32")]
pub struct Settings {
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = above_0::<usize>)]
    threads: usize,
    /// Processes of 20 steps for each side
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = above_0::<usize>)]
    rounds: usize,
    /// Instead of PyTorch: steps whose activations take these shares of their memory, such as
    /// 0.75,0.5,0.25, beside steps that compute nothing twice
    #[arg(long, value_name = "SHARES", value_delimiter = ',', value_parser = share)]
    memory: Vec<String>,
    /// Instead of PyTorch: steps in bfloat16 beside those in float32
    #[arg(long, conflicts_with = "memory")]
    bf16: bool,
    /// mobilenet-v2-32 (batch 64), mobilenet-v2-96 (16), shufflenet-v2-32 (64), plain-28 (128); also
    /// resnet20-32 (128) and wide-28 (64), which --bf16 measures unless others are named
    #[arg(value_name = "NET", value_parser = net)]
    nets: Vec<Net>,
}

impl Settings {
    fn nets(&self) -> &[Net] {
        match (&self.nets[..], self.bf16) {
            ([], true) => &NETS,
            ([], false) => &NETS[..USUAL],
            (named, _) => named,
        }
    }

    fn against(&self) -> Against<'_> {
        match (self.bf16, &self.memory[..]) {
            (true, _) => Against::Bf16,
            (false, []) => Against::PyTorch,
            (false, shares) => Against::Memory(shares),
        }
    }
}

/// What a step of training is measured beside.
enum Against<'a> {
    PyTorch,
    /// Itself, with these shares of the memory of activations.
    Memory(&'a [String]),
    /// Itself, in bfloat16.
    Bf16,
}

fn net(name: &str) -> Result<Net, String> {
    let found = NETS.iter().find(|net| net.0 == name).copied();
    found.ok_or_else(|| format!("there are {}", NETS.map(|net| net.0).join(", ")))
}

fn share(text: &str) -> Result<String, String> {
    within(text, 1e-6, 1.0).map(|_| text.to_string())
}

fn zoo(arch: &str, side: usize) -> Result<Graph, String> {
    let options = Options { resolution: Some(side), classes: Some(10), ..Options::default() };
    build(arch, &options).map_err(|e| e.to_string())
}

/// Residual blocks of dense 3x3 convolutions for 28x28 pixels: `width` channels, twice and four times
/// as many.
fn plain(width: usize) -> Result<Graph, String> {
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
    for (stage, channels) in [width, 2 * width, 4 * width].into_iter().enumerate() {
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
    /// Bytes that edgecut has planned, and layers that it computes twice.
    #[serde(default)]
    plan_bytes: f64,
    #[serde(default)]
    recomputed: usize,
}

/// Runs the task.
pub fn run(root: &Path, settings: &Settings) -> Result<(), String> {
    let work = root.join("target/bench-train");
    std::fs::create_dir_all(&work).map_err(|e| format!("{}: {e}", work.display()))?;
    let own = example(root)?;
    println!("{}", settings.against().header());
    for (name, batch, net) in settings.nets() {
        let path = work.join(name).with_added_extension("onnx");
        onnx::export(&net()?, &path).map_err(|e| e.to_string())?;
        let numbers = [batch.to_string(), settings.threads.to_string()];
        let edgecut = |options: &[&str]| {
            said(Command::new(&own).arg("--json").arg(&path).args(&numbers).args(options))
        };
        match settings.against() {
            Against::PyTorch => {
                let python = std::env::var("EDGECUT_PYTHON").unwrap_or_else(|_| "python3".into());
                let script = root.join("xtask/peers/bench_train.py");
                let theirs = || said(Command::new(&python).arg(&script).arg(&path).args(&numbers));
                beside_pytorch(settings, (name, *batch), || edgecut(&[]), theirs)?;
            }
            Against::Memory(shares) => {
                let options = shares.iter().map(|share| vec!["--memory", share.as_str()]);
                beside_itself(settings, (name, *batch), options.collect(), edgecut)?;
            }
            Against::Bf16 => {
                beside_itself(settings, (name, *batch), vec![vec!["--bf16"]], edgecut)?;
            }
        }
    }
    println!("\n{} threads; ms are minima of a step", settings.threads);
    Ok(())
}

impl Against<'_> {
    fn header(&self) -> &'static str {
        match self {
            Against::PyTorch => {
                "| network | batch | edgecut, ms | PyTorch, ms | PyTorch's time: minima, medians | memory, MB |\n\
                 | --- | ---: | ---: | ---: | ---: | ---: |"
            }
            _ => {
                "| network | batch | options | ms | time: minima, medians | planned, MB | resident, MB | layers computed twice |\n\
                 | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |"
            }
        }
    }
}

/// Megabytes that all of these processes have had at most.
fn megabytes(all: &[Said]) -> f64 {
    all.iter().map(|s| (s.peak_kib - s.before_kib) / 1024.0).fold(0.0, f64::max)
}

fn beside_pytorch(
    settings: &Settings,
    (name, batch): (&str, usize),
    ours: impl Fn() -> Result<Said, String>,
    theirs: impl Fn() -> Result<Said, String>,
) -> Result<(), String> {
    let mut all = [vec![], vec![]];
    for _ in 0..settings.rounds {
        all[0].push(ours()?);
        all[1].push(theirs()?);
    }
    let [[a, b], [c, d]] = [times(&all[0]), times(&all[1])];
    let [own, other] = [megabytes(&all[0]), megabytes(&all[1])];
    let ratios = format!("{:.2}, {:.2}", c / a, d / b);
    println!("| {name} | {batch} | {a:.1} | {c:.1} | {ratios} | {own:.0}, {other:.0} |");
    Ok(())
}

/// Measures steps without options and with each of `options`, in turns.
fn beside_itself(
    settings: &Settings,
    (name, batch): (&str, usize),
    options: Vec<Vec<&str>>,
    edgecut: impl Fn(&[&str]) -> Result<Said, String>,
) -> Result<(), String> {
    let options = [vec![vec![]], options].concat();
    let mut all: Vec<Vec<Said>> = options.iter().map(|_| vec![]).collect();
    for _ in 0..settings.rounds {
        for (said, options) in all.iter_mut().zip(&options) {
            said.push(edgecut(options)?);
        }
    }
    let [least, middle] = times(&all[0]);
    for (said, options) in all.iter().zip(&options) {
        let ([a, b], resident) = (times(said), megabytes(said));
        let ratios = format!("{:.2}, {:.2}", a / least, b / middle);
        let planned = said[0].plan_bytes / 1e6;
        let (options, again) = (options.join(" "), said[0].recomputed);
        println!(
            "| {name} | {batch} | {options} | {a:.1} | {ratios} | {planned:.0} | {resident:.0} | {again} |"
        );
    }
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
    use crate::cli::parsed;

    #[test]
    fn all_networks_can_be_built() {
        for (name, _, net) in NETS {
            net().unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        let refused: [&[&str]; 4] =
            [&["--rounds", "0"], &["nothing"], &["--memory"], &["--memory", "0.5,2"]];
        assert!(refused.iter().all(|args| parsed::<Settings>(args).is_err()));
        let nets = |args: &[&str]| parsed::<Settings>(args).unwrap().nets().len();
        assert_eq!(nets(&["--memory", "0.75,0.5"]), USUAL);
        assert_eq!((nets(&["--bf16"]), nets(&["plain-28", "--threads", "1"])), (NETS.len(), 1));
    }
}
