//! The servers that are measured.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use edgecut_oip::grpc::{InferenceClient, ModelReadyRequest};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use super::options::Options;
use crate::cli::Owned;

/// A server that takes longer to start has failed.
const START: Duration = Duration::from_secs(120);

/// A running server.
pub struct Server {
    /// What the table calls it.
    pub name: &'static str,
    url: String,
    child: Owned,
    _folder: TempDir,
}

impl Server {
    /// Starts `edgecut serve`.
    pub fn edgecut(program: &Path, options: &Options) -> Result<Server, String> {
        let grpc = format!("127.0.0.1:{}", free_port()?);
        let mut command = Command::new(program);
        command.arg("serve").arg(format!("model={}", options.model.display()));
        command.args(["--http", "none", "--grpc", &grpc, "--poll", "0"]);
        command.args(["--threads", &options.threads.to_string()]);
        command.args(["--max-wait", &options.deadline.to_string()]);
        Server::start("edgecut", command, &grpc)
    }

    /// Starts a server of Python.
    pub fn peer(name: &'static str, python: &Path, options: &Options) -> Result<Server, String> {
        let (http, grpc, metrics) = (free_port()?, free_port()?, free_port()?);
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let write = |file: &str, text: &str| {
            std::fs::write(folder.path().join(file), text).map_err(|e| e.to_string())
        };
        let mut command = Command::new(python);
        if name == "mlserver" {
            let settings = serde_json::json!({
                "host": "127.0.0.1", "http_port": http, "grpc_port": grpc,
                "metrics_port": metrics, "parallel_workers": 0, "debug": false,
                "grpc_max_message_length": 64 << 20,
            });
            write("settings.json", &settings.to_string())?;
            write("model-settings.json", r#"{"name":"model","implementation":"model.Onnx"}"#)?;
            write("model.py", include_str!("mlserver.py"))?;
            command.args(["-m", "mlserver.cli", "start", "."]);
        } else {
            write("model.py", include_str!("kserve.py"))?;
            command.arg("model.py");
        }
        let model = std::path::absolute(&options.model).map_err(|e| e.to_string())?;
        command.env("EDGECUT_MODEL", model).env("EDGECUT_THREADS", options.threads.to_string());
        command.env("EDGECUT_HTTP", http.to_string()).env("EDGECUT_GRPC", grpc.to_string());
        Server::start_in(name, command, &format!("127.0.0.1:{grpc}"), folder)
    }

    fn start(name: &'static str, command: Command, grpc: &str) -> Result<Server, String> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        Server::start_in(name, command, grpc, folder)
    }

    fn start_in(
        name: &'static str,
        mut command: Command,
        grpc: &str,
        folder: TempDir,
    ) -> Result<Server, String> {
        let log = File::create(folder.path().join("log")).map_err(|e| e.to_string())?;
        let errors = log.try_clone().map_err(|e| e.to_string())?;
        if name != "edgecut" {
            command.current_dir(folder.path());
        }
        let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn();
        let child = child.map_err(|e| format!("{name}: {e}"))?;
        Ok(Server { name, url: format!("http://{grpc}"), child: Owned(child), _folder: folder })
    }

    /// A connection of its own.
    pub async fn connect(&self) -> Result<InferenceClient, String> {
        let endpoint = Endpoint::from_shared(self.url.clone()).map_err(|e| e.to_string())?;
        let channel: Channel = endpoint.connect().await.map_err(|e| e.to_string())?;
        Ok(InferenceClient::new(channel))
    }

    /// Waits until it takes requests.
    pub async fn ready(&mut self) -> Result<(), String> {
        let end = Instant::now() + START;
        while Instant::now() < end {
            if let Ok(Some(status)) = self.child.0.try_wait() {
                let log = std::fs::read_to_string(self.log()).unwrap_or_default();
                return Err(format!("{} ended with {status}: {log}", self.name));
            }
            if let Ok(mut client) = self.connect().await {
                let ask = ModelReadyRequest { name: "model".into(), version: String::new() };
                if client.model_ready(ask).await.is_ok_and(|answer| answer.into_inner().ready) {
                    return Ok(());
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Err(format!("{} was not ready after {} s", self.name, START.as_secs()))
    }

    fn log(&self) -> PathBuf {
        self._folder.path().join("log")
    }
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    Ok(listener.local_addr().map_err(|e| e.to_string())?.port())
}
