//! The servers that are measured.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use edgecut_oip::grpc::{InferenceClient, ModelReadyRequest};
use edgecut_testkit::{OtherServer, Served};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use super::options::Options;
use crate::cli::Owned;

/// A server that takes longer to start has failed.
const START: Duration = Duration::from_secs(180);

/// A running server.
pub struct Server {
    /// What the table calls it.
    pub name: &'static str,
    url: String,
    process: Process,
}

enum Process {
    Edgecut(Owned, TempDir),
    Other(OtherServer),
}

impl Server {
    /// Starts `edgecut serve`.
    pub fn edgecut(program: &Path, options: &Options) -> Result<Server, String> {
        let listener = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
        let grpc = listener.map_err(|e| e.to_string())?.to_string();
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let log = File::create(folder.path().join("log")).map_err(|e| e.to_string())?;
        let mut command = Command::new(program);
        command.arg("serve").arg(format!("model={}", options.model.display()));
        command.args(["--http", "none", "--grpc", &grpc, "--poll", "0"]);
        command.args(["--threads", &options.threads.to_string()]);
        command.stdin(Stdio::null()).stderr(log.try_clone().map_err(|e| e.to_string())?);
        let child = command.stdout(log).spawn();
        let child = child.map_err(|e| format!("{}: {e}", program.display()))?;
        let process = Process::Edgecut(Owned(child), folder);
        Ok(Server { name: "edgecut", url: format!("http://{grpc}"), process })
    }

    /// Starts another server of `models`; nothing where this machine has none.
    pub fn other(
        name: &'static str,
        models: &Path,
        options: &Options,
    ) -> Result<Option<Server>, String> {
        let served = Served { models, packed: None, threads: options.threads };
        let started = OtherServer::start(name, &served).map_err(|e| format!("{name}: {e}"))?;
        Ok(started.map(|server| {
            let url = format!("http://{}", server.grpc);
            Server { name, url, process: Process::Other(server) }
        }))
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
            if let Some(log) = self.ended() {
                return Err(log);
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

    /// What it has written, if it has ended.
    fn ended(&mut self) -> Option<String> {
        match &mut self.process {
            Process::Other(server) => server.ended(),
            Process::Edgecut(child, folder) => {
                let status = child.0.try_wait().ok().flatten()?;
                let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
                Some(format!("edgecut ended with {status}: {log}"))
            }
        }
    }
}
