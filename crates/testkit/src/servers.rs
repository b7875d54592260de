//! Other servers of the Open Inference Protocol, each behind the wrapper that `deploy/tail` has for it.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::workspace_root;

/// Names of the servers, and of their folders in `deploy/tail` and in what `EDGECUT_SERVERS` names.
pub const OTHER_SERVERS: [&str; 4] = ["triton", "mlserver", "kserve", "ray"];

/// How long a server may take to end by itself.
const ENDING: Duration = Duration::from_secs(5);

/// What another server is to serve.
#[derive(Clone, Debug)]
pub struct Served<'a> {
    /// Folder `NAME/VERSION/model.onnx`.
    pub models: &'a Path,
    /// REST of an `edgecut serve` that decodes; without it nothing may come coded.
    pub packed: Option<SocketAddr>,
    /// Requests that are computed at the same time.
    pub threads: usize,
}

/// A server on loopback; it and all that it has started end with this value.
#[derive(Debug)]
pub struct OtherServer {
    /// Which it is.
    pub name: &'static str,
    /// REST; Ray Serve has none of this protocol.
    pub http: Option<SocketAddr>,
    /// gRPC.
    pub grpc: SocketAddr,
    child: Child,
    folder: TempDir,
}

impl OtherServer {
    /// Starts it, without waiting until it is ready. `None`, after saying that the test is skipped, where
    /// the folder that `EDGECUT_SERVERS` names has no virtual environment for it.
    ///
    /// # Errors
    /// Where its files cannot be written or it cannot be started.
    pub fn start(name: &'static str, served: &Served) -> io::Result<Option<OtherServer>> {
        let Some(servers) = std::env::var_os("EDGECUT_SERVERS").map(PathBuf::from) else {
            crate::skip(&format!("{name} (cargo xtask servers; set EDGECUT_SERVERS)"));
            return Ok(None);
        };
        let environment = workspace_root().join(servers).join(name);
        if !environment.join("bin/python").is_file() {
            crate::skip(&format!("{name} (in the folder that EDGECUT_SERVERS names)"));
            return Ok(None);
        }
        let folder = tempfile::tempdir()?;
        let [http, grpc, metrics] = [free_address()?, free_address()?, free_address()?];
        let at = Place { environment: &environment, folder: folder.path(), served };
        let mut command = match name {
            "triton" => at.triton(http, grpc)?,
            "mlserver" => at.mlserver(http, grpc, metrics)?,
            "kserve" => at.python("tail_kserve.py", "kserve", http, grpc),
            _ => at.ray(http, grpc)?,
        };
        let log = File::create(folder.path().join("log"))?;
        command.current_dir(folder.path()).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log).process_group(0);
        let child = command.spawn()?;
        let http = (name != "ray").then_some(http);
        Ok(Some(OtherServer { name, http, grpc, child, folder }))
    }

    /// What it has written, if it has ended.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(format!("{} ended with {status}: {}", self.name, self.log()))
    }

    /// What it has written.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn signal(&self, signal: &str) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args([signal, "--", &group]).stderr(Stdio::null()).status();
    }
}

impl Drop for OtherServer {
    fn drop(&mut self) {
        // Ray has processes beyond its group, which it ends itself if it is asked.
        self.signal("-INT");
        let end = Instant::now() + ENDING;
        while Instant::now() < end && self.child.try_wait().is_ok_and(|status| status.is_none()) {
            std::thread::sleep(Duration::from_millis(50));
        }
        self.signal("-KILL");
        let _ = self.child.wait();
    }
}

/// Where a server is started.
struct Place<'a> {
    environment: &'a Path,
    folder: &'a Path,
    served: &'a Served<'a>,
}

impl Place<'_> {
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("EDGECUT_MODELS", self.served.models);
        command.env("EDGECUT_THREADS", self.served.threads.to_string());
        match self.served.packed {
            Some(address) => command.env("EDGECUT_SERVE", address.to_string()),
            None => command.env_remove("EDGECUT_SERVE"),
        };
        command
    }

    /// A program of the server's Python, which finds the wrapper.
    fn python(&self, script: &str, name: &str, http: SocketAddr, grpc: SocketAddr) -> Command {
        let tail = workspace_root().join("deploy/tail");
        let mut command = self.command(&self.environment.join("bin/python"));
        command.arg(tail.join(name).join(script));
        command.args(["--http_port", &http.port().to_string()]);
        command.args(["--grpc_port", &grpc.port().to_string()]);
        command.env("PYTHONPATH", self.modules(name));
        command
    }

    fn modules(&self, name: &str) -> std::ffi::OsString {
        let tail = workspace_root().join("deploy/tail");
        let folders = [self.folder.to_path_buf(), tail.join(name), tail];
        std::env::join_paths(folders).unwrap_or_default()
    }

    fn ray(&self, http: SocketAddr, grpc: SocketAddr) -> io::Result<Command> {
        let protocol = workspace_root().join("deploy/tail/ray");
        let mut compile = Command::new(self.environment.join("bin/python"));
        compile.args(["-m", "grpc_tools.protoc", "--python_out=.", "--grpc_python_out=."]);
        compile.arg("-I").arg(&protocol).arg("oip.proto");
        if !compile.current_dir(self.folder).status()?.success() {
            return Err(io::Error::other(format!("failed: {compile:?}")));
        }
        let mut command = self.python("tail_ray.py", "ray", http, grpc);
        // On a machine with other work it would end parts of itself that are not ready after 5 s.
        command.env("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "120");
        Ok(command)
    }

    fn mlserver(
        &self,
        http: SocketAddr,
        grpc: SocketAddr,
        metrics: SocketAddr,
    ) -> io::Result<Command> {
        let shipped = workspace_root().join("deploy/tail/mlserver");
        for name in self.models()? {
            let settings = fs::read_to_string(shipped.join("model-settings.json"))?;
            fs::create_dir(self.folder.join(&name))?;
            let settings = settings.replace("\"tail\"", &format!("{name:?}"));
            fs::write(self.folder.join(&name).join("model-settings.json"), settings)?;
        }
        fs::copy(shipped.join("settings.json"), self.folder.join("settings.json"))?;
        let mut command = self.command(&self.environment.join("bin/mlserver"));
        command.args(["start", "."]).env("PYTHONPATH", self.modules("mlserver"));
        command.env("MLSERVER_HOST", "127.0.0.1").env("MLSERVER_DEBUG", "false");
        let ports = [("HTTP_PORT", http), ("GRPC_PORT", grpc), ("METRICS_PORT", metrics)];
        for (name, address) in ports {
            command.env(format!("MLSERVER_{name}"), address.port().to_string());
        }
        Ok(command)
    }

    /// The server that the package nvidia-pytriton brings, without that package's own half.
    fn triton(&self, http: SocketAddr, grpc: SocketAddr) -> io::Result<Command> {
        let tail = workspace_root().join("deploy/tail");
        let (models, backend) = (self.folder.join("models"), self.folder.join("backends/python"));
        for name in self.models()? {
            let version = models.join(&name).join("1");
            fs::create_dir_all(&version)?;
            fs::copy(tail.join("triton/model.py"), version.join("model.py"))?;
            fs::copy(tail.join("edgecut_tail.py"), version.join("edgecut_tail.py"))?;
            let config = fs::read_to_string(tail.join("triton/config.pbtxt"))?;
            let count = format!("count: {}", self.served.threads);
            let config = config.replace("count: 1", &count);
            fs::write(models.join(&name).join("config.pbtxt"), config)?;
        }
        let libraries = folders(&self.environment.join("lib"))?;
        let package =
            libraries.iter().map(|folder| folder.join("site-packages/pytriton/tritonserver"));
        let server = package.into_iter().find(|folder| folder.is_dir());
        let server = server.ok_or_else(|| io::Error::other("no nvidia-pytriton"))?;
        // The backend's program is there for each version of Python, beside the backend.
        fs::create_dir_all(&backend)?;
        for file in fs::read_dir(server.join("backends/python"))? {
            let file = file?;
            if file.file_name() != "triton_python_backend_stub" {
                symlink(file.path(), backend.join(file.file_name()))?;
            }
        }
        let version = version_of(&self.environment.join("bin/python"))?;
        let stub =
            server.join("python_backend_stubs").join(version).join("triton_python_backend_stub");
        symlink(stub, backend.join("triton_python_backend_stub"))?;
        let mut command = self.command(&server.join("bin/tritonserver"));
        command.arg("--model-repository").arg(models);
        command.arg("--backend-directory").arg(self.folder.join("backends"));
        command.args(["--http-address", "127.0.0.1", "--http-port", &http.port().to_string()]);
        command.args(["--grpc-address", "127.0.0.1", "--grpc-port", &grpc.port().to_string()]);
        command.args(["--allow-metrics", "false"]);
        // The backend's Python is that of the path.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::split_paths(&path);
        let path = std::env::join_paths([self.environment.join("bin")].into_iter().chain(path));
        command.env("PATH", path.unwrap_or_default());
        command.env("LD_LIBRARY_PATH", server.join("external_libs"));
        Ok(command)
    }

    fn models(&self) -> io::Result<Vec<String>> {
        let names = folders(self.served.models)?.into_iter();
        Ok(names.filter_map(|f| Some(f.file_name()?.to_str()?.to_string())).collect())
    }
}

fn folders(of: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(of)?.collect::<io::Result<Vec<_>>>()?;
    Ok(entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_dir()).collect())
}

/// Such as `3.11`.
fn version_of(python: &Path) -> io::Result<String> {
    let script = "import sys; print('%d.%d' % sys.version_info[:2], end='')";
    let output = Command::new(python).args(["-c", script]).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// An address of loopback that nobody listened at a moment ago.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
