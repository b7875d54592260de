//! The models that are measured, as files.

use std::path::{Path, PathBuf};
use std::process::Command;

use edgecut_graph::{DType, Graph, Tensor, onnx, tflite};
use edgecut_testkit::{random_inputs, random_tensor};

use super::Precision;
use super::quantiser::Quantiser;
use super::runtime::Tools;
use super::worker::{Worker, floats};

/// Enough that ranges of noise no longer move: each image has tens of thousands of values a tensor.
const CALIBRATION_IMAGES: u64 = 16;

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
    /// `FILE@1x3x320x320`) for one image, as ONNX and, where that can hold it, TensorFlow Lite, and
    /// inputs for those who calibrate. Every runtime gets files made of this float model.
    pub fn prepare(root: &Path, spec: &str, precision: Precision) -> Result<Subject, String> {
        let graph = graph(spec).map_err(|e| format!("{spec}: {e}"))?;
        let &[input] = graph.inputs.as_slice() else {
            return Err(format!("{spec}: has {} inputs, must have one", graph.inputs.len()));
        };
        let input = graph.value(input);
        if input.dtype != DType::F32 {
            return Err(format!("{spec}: its input is {}, must be float32", input.dtype));
        }
        let name = Path::new(spec).file_name().unwrap_or_default().to_string_lossy();
        let name = name.replace(".onnx", "");
        let subject = Subject {
            folder: root.join("target/bench-peers/models").join(&name),
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
        let current = std::fs::read(self.float()).is_ok_and(|old| old == bytes);
        if current && self.calibration().exists() {
            return Ok(());
        }
        let place = |e: std::io::Error| format!("{}: {e}", self.folder.display());
        let _ = std::fs::remove_dir_all(&self.folder);
        std::fs::create_dir_all(&self.folder).map_err(place)?;
        let input = random_inputs(graph, 1, 1).remove(0);
        std::fs::write(self.input(), bytes_of(&input)?).map_err(place)?;
        let images = (0..CALIBRATION_IMAGES).map(|seed| random_tensor(&self.shape, seed));
        let images: Result<Vec<Vec<u8>>, String> = images.map(|image| bytes_of(&image)).collect();
        std::fs::write(self.calibration(), images?.concat()).map_err(place)?;
        if let Err(error) = tflite::export(graph, &self.tflite()) {
            eprintln!("{}: no TensorFlow Lite file: {error}", self.name);
        }
        // Last: its presence says that the others are complete.
        std::fs::write(self.float(), bytes).map_err(place)
    }

    /// The float model.
    pub fn float(&self) -> PathBuf {
        self.folder.join("model.onnx")
    }

    /// The float model; there only where TensorFlow Lite can hold it.
    pub fn tflite(&self) -> PathBuf {
        self.folder.join("model.tflite")
    }

    /// Elements of the input: float32, little-endian.
    pub fn input(&self) -> PathBuf {
        self.folder.join("input.bin")
    }

    /// Inputs that quantisers calibrate with, one after the other. They are noise: the answers of
    /// the int8 models mean nothing, their speed does.
    pub fn calibration(&self) -> PathBuf {
        self.folder.join("calibration.bin")
    }

    /// Where the worker `name` writes its outputs.
    pub fn output(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}-{}.bin", self.precision.name()))
    }

    /// `1x3x224x224`
    pub fn extents(&self) -> String {
        let dims: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        dims.join("x")
    }

    /// The file that `xtask/peers/bench_convert.py` makes of the float model for `kind`.
    pub fn converted(&self, kind: &str, tools: &Tools) -> Result<PathBuf, String> {
        let target = self.folder.join(format!("model.{kind}"));
        // ncnn has two files; its second comes last.
        let written =
            if kind == "ncnn" { target.with_extension("ncnn.bin") } else { target.clone() };
        if !written.exists() {
            let mut command: Command = tools.python("bench_convert.py");
            command.arg(kind).arg(self.float()).arg(self.extents()).arg(&target);
            convert(command)?;
        }
        Ok(target)
    }

    /// The int8 model that `xtask/peers/bench_quantize.py` makes of `float` with the quantiser
    /// `kind`.
    pub fn quantised(
        &self,
        kind: Quantiser,
        float: &Path,
        tools: &Tools,
    ) -> Result<PathBuf, String> {
        let target = self.folder.join(kind.file());
        let written =
            if kind == Quantiser::Ncnn { with_suffix(&target, ".bin") } else { target.clone() };
        if !written.exists() {
            let mut command: Command = tools.python("bench_quantize.py");
            command.arg(kind.name()).arg(float).arg(self.calibration());
            command.arg(self.extents()).arg(&target);
            convert(command)?;
        }
        Ok(target)
    }

    /// What edgecut runs: the float model, or the int8 model that its `worker` makes of it. That is
    /// made anew each time: what is in it depends on the build.
    pub fn own(&self, mut worker: Command) -> Result<PathBuf, String> {
        if self.precision != Precision::Int8 {
            return Ok(self.float());
        }
        let target = self.folder.join("edgecut-int8.onnx");
        worker.arg("quantize").arg(self.float()).arg(self.calibration()).arg(&target);
        convert(worker)?;
        Ok(target)
    }

    /// The packed model that edgecut's `worker` makes of `model`, made anew each time too.
    pub fn packed(&self, model: &Path, mut worker: Command) -> Result<PathBuf, String> {
        let precision = self.precision.name();
        let target = self.folder.join(format!("model-{precision}.ecut"));
        worker.arg("pack").arg(model).arg(&target).arg(precision);
        convert(worker)?;
        Ok(target)
    }

    /// What ONNX Runtime computes in float32; `None` without ONNX Runtime.
    pub fn reference(&self, tools: &Tools) -> Result<Option<Vec<f32>>, String> {
        let path = self.folder.join("reference.bin");
        if !path.exists() {
            let Some(command) = tools.reference(self, &path) else { return Ok(None) };
            Worker::start(command, path.clone())
                .and_then(Worker::finish)
                .map_err(|e| format!("{}: ONNX Runtime: {e}", self.name))?;
        }
        let bytes = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Some(floats(&bytes)))
    }
}

/// float32, little-endian.
fn bytes_of(tensor: &Tensor) -> Result<Vec<u8>, String> {
    let values = tensor.f32s().map_err(|e| e.to_string())?;
    Ok(values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
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
