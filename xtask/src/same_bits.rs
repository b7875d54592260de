//! Whether models compute the same bits on every instruction set and number of threads, those of
//! AArch64 included where its tools are there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use edgecut_compress::{QuantizeConfig, calibrate, quantize};
use edgecut_graph::onnx;
use edgecut_kernels::Pool;
use edgecut_testkit::{random_tensor, shared_data};
use edgecut_zoo::{Options, list};

use crate::aarch64;

const EXAMPLE: [&str; 5] = ["run", "-p", "edgecut-runtime", "--example", "fingerprint"];

/// `models` are files; without any, an int8 model of every network of the zoo, and the models of
/// `EDGECUT_DATA`.
pub fn run(root: &Path, models: &[PathBuf]) -> Result<(), String> {
    let models = match models {
        [] => [of_the_zoo(root)?, of_the_data()?].concat(),
        given => given.to_vec(),
    };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).args(EXAMPLE).args(["--release", "--"]).args(&models);
    let mut lines = output(&mut cargo)?;
    if let Some(mut cargo) = aarch64::cargo(root, &EXAMPLE) {
        lines += &output(cargo.arg("--").args(&models))?;
    }
    table(&lines)
}

fn output(cargo: &mut Command) -> Result<String, String> {
    let output = cargo.stderr(std::process::Stdio::inherit()).output();
    let output = output.map_err(|e| format!("cargo: {e}"))?;
    if !output.status.success() {
        return Err("the program failed, see above".into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Prints the hashes, and fails where those of a model differ.
fn table(lines: &str) -> Result<(), String> {
    let mut hashes: BTreeMap<&str, Vec<[&str; 3]>> = BTreeMap::new();
    for line in lines.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [model, isa, threads, hash] = words[..] else {
            return Err(format!("not a line of hashes: {line}"));
        };
        hashes.entry(model).or_default().push([isa, threads, hash]);
    }
    let mut different = vec![];
    for (model, runs) in &hashes {
        let name = Path::new(model).file_name().unwrap_or_default().to_string_lossy();
        let isas: Vec<&str> = runs.iter().filter(|r| r[1] == "1").map(|r| r[0]).collect();
        let same = runs.iter().all(|run| run[2] == runs[0][2]);
        let verdict = if same { "same bits" } else { "DIFFERENT" };
        println!("{name:40} {verdict}  {}  {}", runs[0][2], isas.join(" "));
        if !same {
            runs.iter().for_each(|[isa, threads, hash]| println!("  {isa} x {threads}: {hash}"));
            different.push(name);
        }
    }
    println!("{} of {} models: the same bits", hashes.len() - different.len(), hashes.len());
    if different.is_empty() { Ok(()) } else { Err(format!("different: {}", different.join(", "))) }
}

/// The network that is run at its own size, whose large maps run as chains; the others take smaller
/// pictures, as an emulator needs a second for 100 million multiply-adds.
const WHOLE: &str = "mobilenet-v2";
const SMALL: usize = 128;

/// int8 models of the zoo's networks.
fn of_the_zoo(root: &Path) -> Result<Vec<PathBuf>, String> {
    let folder = root.join("target/same-bits");
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let pool = Arc::new(Pool::for_this_machine());
    let mut files = vec![];
    for architecture in list() {
        let file = folder.join(format!("{}.int8.onnx", architecture.name));
        let small = architecture.name != WHOLE && architecture.input[1] > SMALL;
        let options = Options { resolution: small.then_some(SMALL), ..Options::default() };
        let graph = architecture.build(&options).map_err(|e| e.to_string())?;
        let shape = graph.value(graph.inputs[0]).shape.with_symbols(1);
        let images = (0..4).map(|seed| random_tensor(&shape, seed));
        let calibration = calibrate(&graph, images, &pool).map_err(|e| e.to_string())?;
        let quantised = quantize(&graph, &calibration, &QuantizeConfig::default());
        onnx::export(&quantised.map_err(|e| e.to_string())?.graph, &file)
            .map_err(|e| e.to_string())?;
        files.push(file);
    }
    Ok(files)
}

/// The TensorFlow Lite models of the shared data, which are 8-bit.
fn of_the_data() -> Result<Vec<PathBuf>, String> {
    let Some(data) = shared_data("models") else { return Ok(vec![]) };
    let entries = std::fs::read_dir(&data).map_err(|e| format!("{}: {e}", data.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|kind| kind == "tflite"));
    files.sort();
    Ok(files)
}
