//! The models that are measured, as files.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use edgecut_compress::{Placement, QuantizeConfig, calibrate, quantize};
use edgecut_graph::{DType, Graph, onnx, tflite};
use edgecut_kernels::Pool;
use edgecut_testkit::{random_inputs, random_tensor};

use super::Precision;
use super::runtime::Tools;
use super::worker::{Worker, floats};

/// A model with fixed shapes and one input, and a folder with everything that is made of it.
pub struct Subject {
    pub name: String,
    pub precision: Precision,
    folder: PathBuf,
    /// Extents of the input in ONNX order.
    pub shape: Vec<usize>,
    /// Names of its outputs.
    pub outputs: Vec<String>,
}

impl Subject {
    /// Writes the model that `spec` names (an architecture of the zoo with fresh weights, `FILE` or
    /// `FILE@1x3x320x320`) for one image, as ONNX and, where that can hold it, TensorFlow Lite.
    /// Every runtime gets files made of this ONNX file.
    pub fn prepare(root: &Path, spec: &str, precision: Precision) -> Result<Subject, String> {
        let graph = graph(spec).map_err(|e| format!("{spec}: {e}"))?;
        let graph = match precision {
            Precision::Int8 => quantised(&graph).map_err(|e| format!("{spec}: {e}"))?,
            Precision::F32 | Precision::Bf16 => graph,
        };
        let &[input] = graph.inputs.as_slice() else {
            return Err(format!("{spec}: has {} inputs, must have one", graph.inputs.len()));
        };
        let input = graph.value(input);
        if input.dtype != DType::F32 {
            return Err(format!("{spec}: its input is {}, must be float32", input.dtype));
        }
        let name = Path::new(spec).file_name().unwrap_or_default().to_string_lossy();
        let name = name.replace(".onnx", "");
        let suffix = if precision == Precision::Int8 { "-int8" } else { "" };
        let subject = Subject {
            folder: root.join("target/bench-peers/models").join(format!("{name}{suffix}")),
            name,
            precision,
            shape: input.shape.with_symbols(1),
            outputs: graph.outputs.iter().map(|&o| graph.value(o).name.clone()).collect(),
        };
        subject.write(&graph)?;
        Ok(subject)
    }

    /// Writes the files unless they are there already; what was made of another graph goes.
    fn write(&self, graph: &Graph) -> Result<(), String> {
        let bytes = onnx::to_bytes(graph).map_err(|e| e.to_string())?;
        if std::fs::read(self.onnx()).is_ok_and(|old| old == bytes) {
            return Ok(());
        }
        let place = |e: std::io::Error| format!("{}: {e}", self.folder.display());
        let _ = std::fs::remove_dir_all(&self.folder);
        std::fs::create_dir_all(&self.folder).map_err(place)?;
        let input = random_inputs(graph, 1, 1).remove(0);
        let values = input.f32s().map_err(|e| e.to_string())?;
        let values: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        std::fs::write(self.input(), values).map_err(place)?;
        if let Err(error) = tflite::export(graph, &self.tflite()) {
            eprintln!("{}: no TensorFlow Lite file: {error}", self.name);
        }
        // Last: its presence says that the others are complete.
        std::fs::write(self.onnx(), bytes).map_err(place)
    }

    pub fn onnx(&self) -> PathBuf {
        self.folder.join("model.onnx")
    }

    /// There only where TensorFlow Lite can hold the model.
    pub fn tflite(&self) -> PathBuf {
        self.folder.join("model.tflite")
    }

    /// Elements of the input: float32, little-endian.
    pub fn input(&self) -> PathBuf {
        self.folder.join("input.bin")
    }

    /// Where the worker `name` writes its outputs.
    pub fn output(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.bin"))
    }

    /// `1x3x224x224`
    pub fn extents(&self) -> String {
        let dims: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        dims.join("x")
    }

    /// The file that `xtask/peers/bench_convert.py` makes of the ONNX file for `kind`.
    pub fn converted(&self, kind: &str, tools: &Tools) -> Result<PathBuf, String> {
        let target = self.folder.join(format!("model.{kind}"));
        // ncnn has two files; its second comes last.
        let written =
            if kind == "ncnn" { target.with_extension("ncnn.bin") } else { target.clone() };
        if !written.exists() {
            let mut command: Command = tools.python("bench_convert.py");
            command.arg(kind).arg(self.onnx()).arg(self.extents()).arg(&target);
            convert(command)?;
        }
        Ok(target)
    }

    /// The packed model that edgecut's `worker` makes of the ONNX file, made anew each time: what
    /// is in it depends on the build.
    pub fn packed(&self, mut worker: Command) -> Result<PathBuf, String> {
        let precision = self.precision.name();
        let target = self.folder.join(format!("model-{precision}.ecut"));
        worker.arg("pack").arg(self.onnx()).arg(&target).arg(precision);
        convert(worker)?;
        Ok(target)
    }

    /// What ONNX Runtime computes in float32 (or in the integers of an int8 model); `None` without
    /// ONNX Runtime.
    pub fn reference(&self, tools: &Tools) -> Result<Option<Vec<f32>>, String> {
        let path = self.output("reference");
        if !path.exists() {
            let Some(command) = tools.reference(self) else { return Ok(None) };
            Worker::start(command, path.clone())
                .and_then(Worker::finish)
                .map_err(|e| format!("{}: ONNX Runtime: {e}", self.name))?;
        }
        let bytes = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Some(floats(&bytes)))
    }
}

/// Runs a converter; its last words are the error.
fn convert(mut command: Command) -> Result<(), String> {
    let done = command.output().map_err(|e| e.to_string())?;
    if done.status.success() {
        return Ok(());
    }
    let error = String::from_utf8_lossy(&done.stderr);
    let last = error.lines().rev().find(|l| !l.trim().is_empty());
    Err(format!("failed: conversion: {}", last.unwrap_or("it said nothing")))
}

/// The model with its open extents fixed: as given, or 1.
fn graph(spec: &str) -> Result<Graph, String> {
    let text = |e: edgecut_graph::GraphError| e.to_string();
    let (path, shape) = match spec.rsplit_once('@') {
        Some((path, shape)) => (path, Some(shape)),
        None => (spec, None),
    };
    let template = match Path::new(path).extension() {
        Some(extension) if extension == "onnx" => onnx::Template::open(Path::new(path)),
        _ => {
            let built = edgecut_zoo::build(path, &edgecut_zoo::Options::default());
            let built = built.map_err(|e| format!("{e}; a file must be named .onnx"))?;
            onnx::Template::from_bytes(path, &onnx::to_bytes(&built).map_err(text)?)
        }
    };
    let template = template.map_err(text)?;
    let shapes = template.inputs().iter().map(|input| match shape {
        Some(given) => {
            let extents: Result<Vec<usize>, _> = given.split('x').map(str::parse).collect();
            Ok((input.name.as_str(), extents.map_err(|_| format!("'{given}' is no shape"))?))
        }
        None => Ok((input.name.as_str(), input.shape.with_symbols(1))),
    });
    template.graph(&shapes.collect::<Result<Vec<_>, String>>()?).map_err(text)
}

/// The int8 model of edgecut's own quantiser, calibrated on noise: its answers mean nothing, its
/// speed does.
fn quantised(graph: &Graph) -> Result<Graph, String> {
    const BATCHES: u64 = 4;
    let &[input] = graph.inputs.as_slice() else { return Err("needs one input".into()) };
    let shape = graph.value(input).shape.with_symbols(1);
    let images = (0..BATCHES).map(|seed| random_tensor(&shape, seed));
    let pool = Arc::new(Pool::for_this_machine());
    let calibration = calibrate(graph, images, &pool).map_err(|e| e.to_string())?;
    let quantised = quantize(graph, &calibration, &every_operator());
    Ok(quantised.map_err(|e| e.to_string())?.graph)
}

/// As other runtimes need it to compute in integers.
fn every_operator() -> QuantizeConfig {
    QuantizeConfig { placement: Placement::EveryOperator, ..QuantizeConfig::default() }
}
