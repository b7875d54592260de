//! The quantisers, and what each needs to run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use super::finish;
use super::options::Options;
use super::score::Row;
use super::subject::{Files, Subject};

/// A quantiser with its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// `edgecut quantize`, for its own runtime and for ONNX Runtime.
    Edgecut,
    OrtMinMax,
    OrtPercentile,
    OrtEntropy,
    NncfFast,
    NncfFull,
    NeuralCompressor,
    Aimet,
    AimetCle,
}

impl Contender {
    pub const ALL: [Contender; 9] = [
        Contender::Edgecut,
        Contender::OrtMinMax,
        Contender::OrtPercentile,
        Contender::OrtEntropy,
        Contender::NncfFast,
        Contender::NncfFull,
        Contender::NeuralCompressor,
        Contender::Aimet,
        Contender::AimetCle,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Contender::Edgecut => "edgecut",
            Contender::OrtMinMax => "ort-minmax",
            Contender::OrtPercentile => "ort-percentile",
            Contender::OrtEntropy => "ort-entropy",
            Contender::NncfFast => "nncf-fast",
            Contender::NncfFull => "nncf-full",
            Contender::NeuralCompressor => "neural-compressor",
            Contender::Aimet => "aimet",
            Contender::AimetCle => "aimet-cle",
        }
    }

    /// Quantises; what went wrong stands in the row.
    pub fn rows(self, tools: &Tools, subject: &Subject, files: &Files) -> Vec<Row> {
        if self != Contender::Edgecut {
            let version = tools.version(self);
            let command = || Ok(tools.peer(self, files));
            return vec![row(self.name(), version, subject, files, command)];
        }
        let version = || Ok(env!("CARGO_PKG_VERSION").to_string());
        let quantise = |target: &str, name: &str| {
            row(name, version(), subject, files, || tools.own(target, files))
        };
        let own = quantise("edgecut", "edgecut");
        let on_own = tools.run_own(&files.folder.join("edgecut.onnx"), files, "edgecut-runtime");
        let mut beside = Row { file: own.file.clone(), ..own.clone() };
        beside.quantiser = "edgecut, own runtime".into();
        match on_own {
            _ if own.file.is_none() => {}
            Ok(path) => beside.file = Some(path),
            Err(error) => (beside.file, beside.note) = (None, Some(error)),
        }
        vec![own, beside, quantise("onnxruntime", "edgecut-for-ort")]
    }
}

/// Runs a quantiser that writes NAME.onnx.
fn row(
    name: &str,
    version: Result<String, String>,
    subject: &Subject,
    files: &Files,
    command: impl FnOnce() -> Result<Command, String>,
) -> Row {
    let mut row = Row::new(subject.name, name);
    let out = files.folder.join(format!("{name}.onnx"));
    row.version = match version {
        Ok(version) => Some(version),
        Err(reason) => return row.failed(reason),
    };
    // A peer's model is made once; edgecut's changes with the build.
    if out.exists() && !name.starts_with("edgecut") {
        return row.with_file(out);
    }
    let began = Instant::now();
    let done = command().and_then(|mut command| {
        command.arg(&out);
        finish(command)
    });
    match done {
        Ok(()) => {
            row.seconds = Some(began.elapsed().as_secs_f64());
            row.with_file(out)
        }
        Err(error) => row.failed(format!("failed: {error}")),
    }
}

/// The programs that a duel needs.
pub struct Tools {
    pub root: PathBuf,
    /// EDGECUT_DATA
    pub data: PathBuf,
    /// Where everything is written.
    pub work: PathBuf,
    python: String,
    edgecut: Result<PathBuf, String>,
}

impl Tools {
    pub fn find(root: &Path, options: &Options) -> Result<Tools, String> {
        let data = std::env::var_os("EDGECUT_DATA").map(PathBuf::from);
        let edgecut = crate::program(root, options.edgecut.as_deref());
        Ok(Tools {
            root: root.into(),
            data: data.unwrap_or_else(|| root.join("../shared/data")),
            work: root.join("target/duel-quantize"),
            python: std::env::var("EDGECUT_PYTHON").unwrap_or_else(|_| "python3".into()),
            edgecut,
        })
    }

    /// Python with a script of `xtask/peers`.
    pub fn python(&self, script: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(self.root.join("xtask/peers").join(script));
        command
    }

    /// The program without its arguments.
    pub fn edgecut(&self) -> Result<Command, String> {
        Ok(Command::new(self.edgecut.as_ref().map_err(Clone::clone)?))
    }

    fn own(&self, target: &str, files: &Files) -> Result<Command, String> {
        let mut command = self.edgecut()?;
        command.arg("quantize").arg(&files.float).arg("--data").arg(files.pictures());
        command.arg("--preprocess").arg(&files.preprocess);
        command.args(["--images", &files.images.to_string(), "--for", target, "--out"]);
        Ok(command)
    }

    fn peer(&self, contender: Contender, files: &Files) -> Command {
        let mut command = self.peer_python(contender);
        command.arg(&files.float).arg(files.calibration());
        command
    }

    /// Two of them exclude what the others need, and may have a Python of their own.
    fn peer_python(&self, contender: Contender) -> Command {
        let variable = match contender {
            Contender::NeuralCompressor => "EDGECUT_PYTHON_NEURAL_COMPRESSOR",
            Contender::Aimet | Contender::AimetCle => "EDGECUT_PYTHON_AIMET",
            _ => "EDGECUT_PYTHON",
        };
        let python = std::env::var(variable).unwrap_or_else(|_| self.python.clone());
        let mut command = Command::new(python);
        command.arg(self.root.join("xtask/peers/duel_quantize.py")).arg(contender.name());
        command
    }

    fn version(&self, contender: Contender) -> Result<String, String> {
        let output = self.peer_python(contender).arg("version").output();
        let output = output.ok().filter(|o| o.status.success());
        let output = output.ok_or("skipped: needs its Python package (--help)")?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_string())
    }

    /// edgecut's runtime on an int8 model: a file with its outputs.
    fn run_own(&self, model: &Path, files: &Files, name: &str) -> Result<PathBuf, String> {
        let out = files.folder.join(format!("{name}.bin"));
        super::own::run(model, &files.evaluation(), &out)?;
        Ok(out)
    }
}
