//! The runtimes: where each comes from, what it needs, and how its worker is started.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Precision;
use super::quantiser::Quantiser;
use super::subject::Subject;

/// A program that runs models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    Edgecut,
    /// The same from a packed model, which takes less to load.
    EdgecutPacked,
    /// Beside int8: the float model.
    EdgecutFloat,
    Ort,
    OpenVino,
    /// Beside int8: the model of ONNX Runtime's quantiser in place of NNCF's.
    OpenVinoQdq,
    LiteRt,
    Ncnn,
    Mnn,
    Tract,
    Rten,
}

impl Runtime {
    pub const ALL: [Runtime; 11] = [
        Runtime::Edgecut,
        Runtime::EdgecutPacked,
        Runtime::EdgecutFloat,
        Runtime::Ort,
        Runtime::OpenVino,
        Runtime::OpenVinoQdq,
        Runtime::LiteRt,
        Runtime::Ncnn,
        Runtime::Mnn,
        Runtime::Tract,
        Runtime::Rten,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Runtime::Edgecut => "edgecut",
            Runtime::EdgecutPacked => "edgecut-packed",
            Runtime::EdgecutFloat => "edgecut-float",
            Runtime::Ort => "onnxruntime",
            Runtime::OpenVino => "openvino",
            Runtime::OpenVinoQdq => "openvino-qdq",
            Runtime::LiteRt => "litert",
            Runtime::Ncnn => "ncnn",
            Runtime::Mnn => "mnn",
            Runtime::Tract => "tract",
            Runtime::Rten => "rten",
        }
    }

    /// Whether it is edgecut, and no peer of it.
    pub fn is_edgecut(self) -> bool {
        matches!(self, Runtime::Edgecut | Runtime::EdgecutPacked | Runtime::EdgecutFloat)
    }

    /// Whether it has a row in a table of this precision.
    pub fn applies(self, precision: Precision) -> bool {
        let beside_int8 = matches!(self, Runtime::EdgecutFloat | Runtime::OpenVinoQdq);
        !beside_int8 || precision == Precision::Int8
    }

    /// The runtimes whose worker is a program of `xtask/peers/rust`.
    fn is_rust_peer(self) -> bool {
        matches!(self, Runtime::Tract | Runtime::Rten)
    }

    /// The Python package; its name is also the worker's.
    fn package(self) -> &'static str {
        match self {
            Runtime::OpenVinoQdq => Runtime::OpenVino.name(),
            _ => self.name(),
        }
    }

    /// Who makes the int8 model that a peer runs: what its documentation recommends.
    fn quantiser(self) -> Option<Quantiser> {
        match self {
            Runtime::Edgecut | Runtime::EdgecutPacked | Runtime::EdgecutFloat => None,
            Runtime::Ort | Runtime::OpenVinoQdq | Runtime::Tract => Some(Quantiser::Ort),
            Runtime::OpenVino => Some(Quantiser::Nncf),
            Runtime::LiteRt => Some(Quantiser::LiteRt),
            Runtime::Ncnn => Some(Quantiser::Ncnn),
            Runtime::Mnn => Some(Quantiser::Mnn),
            Runtime::Rten => Some(Quantiser::OrtDynamic),
        }
    }

    /// Why a precision is not measured.
    fn lacks(self, precision: Precision) -> Option<&'static str> {
        match (precision, self) {
            (Precision::F32 | Precision::Int8, _) => None,
            (Precision::Bf16, Runtime::OpenVino | Runtime::Ncnn) => None,
            (Precision::Bf16, _) if self.is_edgecut() => None,
            (Precision::Bf16, _) => Some("skipped: needs a bf16 mode for this processor"),
        }
    }
}

/// The programs that workers need.
pub struct Tools {
    root: PathBuf,
    python: String,
    /// Versions of the Python packages that are installed, or what is wrong with Python.
    packages: Result<BTreeMap<String, String>, String>,
    /// Folder of the Rust peers' workers.
    rust_peers: Result<PathBuf, String>,
    /// Their versions, from the lock file of `xtask/peers/rust`.
    locked: BTreeMap<String, String>,
    /// This program as a release build.
    edgecut: Result<PathBuf, String>,
}

impl Tools {
    /// Builds what `runtimes` need and asks Python what it has.
    pub fn find(root: &Path, runtimes: &[Runtime]) -> Result<Tools, String> {
        let not_asked = || Err("skipped: was not built".to_string());
        let edgecut = match runtimes.iter().any(|r| r.is_edgecut()) {
            true => release_build(root),
            false => not_asked(),
        };
        let rust_peers = match runtimes.iter().any(|r| r.is_rust_peer()) {
            true => rust_peers(root),
            false => not_asked(),
        };
        let python = std::env::var("EDGECUT_PYTHON").unwrap_or_else(|_| "python3".into());
        let lock = root.join("xtask/peers/rust/Cargo.lock");
        let lock =
            std::fs::read_to_string(&lock).map_err(|e| format!("{}: {e}", lock.display()))?;
        let mut tools = Tools {
            root: root.into(),
            python,
            packages: Ok(BTreeMap::new()),
            rust_peers,
            locked: ["tract-onnx", "rten"]
                .into_iter()
                .filter_map(|name| Some((name.to_string(), locked_version(&lock, name)?)))
                .collect(),
            edgecut,
        };
        tools.packages = tools.installed();
        Ok(tools)
    }

    /// The version that a row names, with that of the quantiser where it comes by itself.
    pub fn version(&self, runtime: Runtime, precision: Precision) -> Option<String> {
        let own = match runtime {
            _ if runtime.is_edgecut() => Some(env!("CARGO_PKG_VERSION")),
            Runtime::Tract => self.locked.get("tract-onnx").map(String::as_str),
            Runtime::Rten => self.locked.get("rten").map(String::as_str),
            _ => self.package(runtime.package()).ok(),
        }?;
        let quantiser = match (precision, runtime) {
            (Precision::Int8, Runtime::OpenVino) => Some("nncf"),
            (Precision::Int8, Runtime::LiteRt) => Some("ai-edge-quantizer"),
            (Precision::Int8, Runtime::OpenVinoQdq | Runtime::Tract | Runtime::Rten) => {
                Some("onnxruntime")
            }
            _ => None,
        };
        let quantiser = quantiser.and_then(|name| Some((name, self.package(name).ok()?)));
        Some(match quantiser {
            Some((name, version)) => format!("{own}, {name} {version}"),
            None => own.into(),
        })
    }

    /// Starts the worker; an error is what the row says instead of figures.
    pub fn command(
        &self,
        runtime: Runtime,
        subject: &Subject,
        threads: usize,
    ) -> Result<Command, String> {
        if let Some(reason) = runtime.lacks(subject.precision) {
            return Err(reason.into());
        }
        let output = subject.output(runtime.name());
        let model = self.model(runtime, subject)?;
        let mut command = match runtime {
            _ if runtime.is_edgecut() => self.worker()?,
            Runtime::Tract | Runtime::Rten => self.rust_peer(runtime)?,
            _ => return Ok(self.python_worker(runtime, &model, subject, &output, threads)),
        };
        with_job(&mut command, &model, subject, &output, threads);
        Ok(command)
    }

    /// The file that `runtime` runs, converted or quantised where it is not there yet.
    fn model(&self, runtime: Runtime, subject: &Subject) -> Result<PathBuf, String> {
        match runtime {
            Runtime::Edgecut => return subject.own(self.worker()?),
            Runtime::EdgecutPacked => {
                let own = subject.own(self.worker()?)?;
                return subject.packed(&own, self.worker()?);
            }
            Runtime::EdgecutFloat => return Ok(subject.float()),
            Runtime::Tract | Runtime::Rten => drop(self.rust_peer(runtime)?),
            _ => drop(self.package(runtime.package())?),
        }
        if runtime == Runtime::LiteRt && !subject.tflite().exists() {
            return Err("skipped: needs a model that TensorFlow Lite can hold".into());
        }
        if runtime == Runtime::Ncnn {
            self.package("pnnx")?;
        }
        let float = match runtime {
            Runtime::LiteRt => subject.tflite(),
            Runtime::Ncnn => subject.converted("ncnn", self)?,
            Runtime::Mnn => subject.converted("mnn", self)?,
            _ => subject.float(),
        };
        match runtime.quantiser().filter(|_| subject.precision == Precision::Int8) {
            Some(quantiser) => {
                for package in quantiser.packages() {
                    self.package(package)?;
                }
                subject.quantised(quantiser, &float, self)
            }
            None => Ok(float),
        }
    }

    /// ONNX Runtime on the float model as the judge of `subject`'s outputs, which come to lie in
    /// `output`; `None` where it is not installed.
    pub fn reference(&self, subject: &Subject, output: &Path) -> Option<Command> {
        self.package(Runtime::Ort.name()).ok()?;
        Some(self.python_worker(Runtime::Ort, &subject.float(), subject, output, 1))
    }

    /// Python with a script of `xtask/peers`.
    pub fn python(&self, script: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(self.root.join("xtask/peers").join(script));
        command
    }

    /// edgecut's worker without its arguments.
    fn worker(&self) -> Result<Command, String> {
        let mut command = Command::new(self.edgecut.as_ref().map_err(Clone::clone)?);
        command.arg("bench-worker");
        Ok(command)
    }

    fn rust_peer(&self, runtime: Runtime) -> Result<Command, String> {
        let folder = self.rust_peers.as_ref().map_err(Clone::clone)?;
        Ok(Command::new(folder.join(runtime.name())))
    }

    fn python_worker(
        &self,
        runtime: Runtime,
        model: &Path,
        subject: &Subject,
        output: &Path,
        threads: usize,
    ) -> Command {
        let mut command = self.python("bench_worker.py");
        command.arg(runtime.package());
        with_job(&mut command, model, subject, output, threads);
        command.args(&subject.outputs);
        command
    }

    fn package(&self, name: &str) -> Result<&str, String> {
        let packages = self.packages.as_ref().map_err(Clone::clone)?;
        let found = packages.get(name).map(String::as_str);
        found.ok_or_else(|| {
            format!("skipped: needs the Python package {name} (requirements-bench.txt)")
        })
    }

    fn installed(&self) -> Result<BTreeMap<String, String>, String> {
        let needs = format!("skipped: needs Python with numpy, not {:?}", self.python);
        let output = self.python("bench_worker.py").arg("versions").output();
        let output = output.ok().filter(|o| o.status.success()).ok_or(needs)?;
        serde_json::from_slice(&output.stdout).map_err(|e| format!("failed: {e}"))
    }
}

/// The arguments that all workers take.
fn with_job(command: &mut Command, model: &Path, subject: &Subject, output: &Path, threads: usize) {
    command.arg(model).arg(subject.input()).arg(subject.extents()).arg(output);
    command.arg(threads.to_string()).arg(subject.precision.name());
}

/// This program is a development build, and a worker of it would be measured as such.
fn release_build(root: &Path) -> Result<PathBuf, String> {
    let this = std::env::current_exe().map_err(|e| e.to_string())?;
    if !cfg!(debug_assertions) {
        return Ok(this);
    }
    let mut command = cargo(root);
    command.args(["build", "--release", "--quiet", "--package", "xtask"]);
    build(command)?;
    let target =
        this.parent().and_then(Path::parent).ok_or("this program is in no target folder")?;
    Ok(target.join("release").join(this.file_name().unwrap_or_default()))
}

/// Builds the workers of `xtask/peers/rust` for this processor, as their documentation advises.
fn rust_peers(root: &Path) -> Result<PathBuf, String> {
    let target = root.join("target/bench-peers/rust");
    let mut command = cargo(root);
    command.args(["build", "--release", "--locked", "--quiet", "--manifest-path"]);
    command.arg(root.join("xtask/peers/rust/Cargo.toml")).arg("--target-dir").arg(&target);
    command.env("RUSTFLAGS", "-C target-cpu=native");
    build(command)?;
    Ok(target.join("release"))
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root);
    command
}

fn build(mut command: Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("skipped: needs a build that failed: {command:?}")),
        Err(error) => Err(format!("skipped: needs cargo: {error}")),
    }
}

/// The version of `package` in the text of a Cargo.lock.
fn locked_version(lock: &str, package: &str) -> Option<String> {
    let after = lock.split(&format!("name = \"{package}\"\nversion = \"")).nth(1)?;
    Some(after.split('"').next()?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_lock_file() {
        let lock = "[[package]]\nname = \"rten-base\"\nversion = \"1.0.0\"\n\n\
                    [[package]]\nname = \"rten\"\nversion = \"0.27.0\"\n";
        assert_eq!(locked_version(lock, "rten").as_deref(), Some("0.27.0"));
        assert_eq!(locked_version(lock, "tract-onnx"), None);
    }

    #[test]
    fn float_runs_everywhere_and_what_lacks_a_precision_says_what_it_needs() {
        for runtime in Runtime::ALL {
            assert_eq!(runtime.lacks(Precision::F32), None);
            for precision in Precision::ALL {
                let reason = runtime.lacks(precision);
                assert!(reason.is_none_or(|r| r.starts_with("skipped: needs ")));
            }
        }
    }
}
