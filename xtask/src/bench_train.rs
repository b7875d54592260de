//! Steps of training beside PyTorch's: the same network, batch and threads, in turns.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use edgecut_graph::{Builder, Graph, Window, onnx};
use edgecut_zoo::{Options, build};
use serde::Deserialize;

const HELP: &str = "\
Usage: cargo xtask bench-train [--threads N] [--rounds N] [--memory SHARES | --bf16] [NET...]

Measures steps of training (forward, loss, backward, SGD) of edgecut and of PyTorch in channels_last on
the same networks, in turns, each time in a new process, and prints the ratio of the minima and of the
medians. Memory is the largest resident one, less what PyTorch needs before there is a network.

  --threads N      (default 2)
  --rounds N       processes of 20 steps for each side (default 3)
  --memory SHARES  instead of PyTorch: steps whose activations take these shares of their memory, such
                   as 0.75,0.5,0.25, beside steps that compute nothing twice
  --bf16           instead of PyTorch: steps in bfloat16 beside those in float32

Networks: mobilenet-v2-32 (batch 64), mobilenet-v2-96 (16), shufflenet-v2-32 (64), plain-28 (128);
with --bf16 also resnet20-32 (128) and wide-28 (64).
Python is EDGECUT_PYTHON, with torch and onnx.

Example:
  cargo xtask bench-train --threads 2 mobilenet-v2-32
  cargo xtask bench-train --memory 0.75,0.5,0.25 mobilenet-v2-32
";

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

struct Settings {
    threads: usize,
    rounds: usize,
    against: Against,
    nets: Vec<Net>,
}

/// What a step of training is measured beside.
enum Against {
    PyTorch,
    /// Itself, with these shares of the memory of activations.
    Memory(Vec<String>),
    /// Itself, in bfloat16.
    Bf16,
}

/// `cargo xtask bench-train ARGS`: exit code 2 where they are wrong, 1 where nothing could be
/// measured.
pub fn main(root: &Path, args: &[&str]) -> ExitCode {
    crate::with_options("bench-train", HELP, args, parse, |settings| run(root, settings))
}

fn parse(args: &[&str]) -> Result<Settings, String> {
    let mut settings = Settings { threads: 2, rounds: 3, against: Against::PyTorch, nets: vec![] };
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
            "--bf16" => settings.against = Against::Bf16,
            "--memory" => settings.against = Against::Memory(shares(rest.next())?),
            name => {
                let found = NETS.iter().find(|net| net.0 == name);
                settings.nets.push(*found.ok_or_else(|| format!("no network is called '{name}'"))?);
            }
        }
    }
    if settings.nets.is_empty() {
        let bf16 = matches!(settings.against, Against::Bf16);
        settings.nets = NETS[..if bf16 { NETS.len() } else { USUAL }].to_vec();
    }
    Ok(settings)
}

fn shares(text: Option<&&str>) -> Result<Vec<String>, String> {
    let shares: Vec<String> = text.map_or(vec![], |t| t.split(',').map(String::from).collect());
    let wrong = |s: &String| !s.parse().is_ok_and(|x: f64| x > 0.0 && x <= 1.0);
    match shares.is_empty() || shares.iter().any(wrong) {
        true => Err("--memory: needs shares above 0, up to 1, such as 0.75,0.5".into()),
        false => Ok(shares),
    }
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

fn run(root: &Path, settings: &Settings) -> Result<(), String> {
    let work = root.join("target/bench-train");
    std::fs::create_dir_all(&work).map_err(|e| format!("{}: {e}", work.display()))?;
    let own = example(root)?;
    println!("{}", settings.against.header());
    for (name, batch, net) in &settings.nets {
        let path = work.join(name).with_added_extension("onnx");
        onnx::export(&net()?, &path).map_err(|e| e.to_string())?;
        let numbers = [batch.to_string(), settings.threads.to_string()];
        let edgecut = |options: &[&str]| {
            said(Command::new(&own).arg("--json").arg(&path).args(&numbers).args(options))
        };
        match &settings.against {
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

impl Against {
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

    #[test]
    fn all_networks_can_be_built() {
        for (name, _, net) in NETS {
            net().unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        assert!(parse(&["--rounds", "0"]).is_err() && parse(&["nothing"]).is_err());
        assert!(parse(&["--memory"]).is_err() && parse(&["--memory", "0.5,2"]).is_err());
        assert_eq!(parse(&["--memory", "0.75,0.5"]).unwrap().nets.len(), USUAL);
        assert_eq!(parse(&["plain-28", "--threads", "1"]).unwrap().nets.len(), 1);
    }
}
