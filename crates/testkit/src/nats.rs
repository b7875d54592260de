//! A NATS server with JetStream for tests, on a port of its own of this machine.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take to start.
const STARTING: Duration = Duration::from_secs(20);

/// A server that ends with this value, with all that it has stored.
#[derive(Debug)]
pub struct NatsServer {
    program: PathBuf,
    folder: TempDir,
    port: Option<u16>,
    child: Child,
}

impl NatsServer {
    /// Starts the server that `EDGECUT_NATS` names, or `nats-server` of the path, of the system's folder
    /// or beside `EDGECUT_PYTHON`. `settings` are lines of its configuration file.
    /// `None`, after saying that the test is skipped, where there is none.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start(settings: &str) -> Option<NatsServer> {
        let Some(program) = find() else {
            crate::skip("nats-server (set EDGECUT_NATS)");
            return None;
        };
        let folder = tempfile::tempdir().expect("a scratch folder");
        let store = folder.path().join("store");
        let jetstream = format!("jetstream {{ store_dir: {:?} }}", store.display().to_string());
        let jetstream = if settings.contains("jetstream") { String::new() } else { jetstream };
        let text = format!("listen: \"127.0.0.1:-1\"\n{jetstream}\n{settings}\n");
        std::fs::write(folder.path().join("server.conf"), text).expect("its configuration");
        let child = launch(&program, folder.path(), None);
        let mut server = NatsServer { program, folder, port: None, child };
        server.port = Some(server.wait_for_port());
        Some(server)
    }

    /// `nats://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.unwrap_or(0))
    }

    /// Kills it as `kill -9` does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again after [`NatsServer::kill`], at the same port and with what it has stored.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn restart(&mut self) {
        self.kill();
        self.child = launch(&self.program, self.folder.path(), self.port);
        self.wait_for_port();
    }

    /// The port that the server says it listens at.
    fn wait_for_port(&mut self) -> u16 {
        let end = Instant::now() + STARTING;
        let file = self.folder.path().join(format!("nats-server_{}.ports", self.child.id()));
        while Instant::now() < end {
            // ["nats://127.0.0.1:43210"], written when it is ready.
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let at = text.split_once("127.0.0.1:").map_or("", |(_, rest)| rest);
            let digits: String = at.chars().take_while(char::is_ascii_digit).collect();
            if let (Ok(port), true) = (digits.parse(), text.contains('}')) {
                return port;
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("nats-server ended with {status}: {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("nats-server did not start: {}", self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn launch(program: &Path, folder: &Path, port: Option<u16>) -> Child {
    let mut command = Command::new(program);
    command.arg("--config").arg(folder.join("server.conf"));
    command.arg("--ports_file_dir").arg(folder).arg("--log").arg(folder.join("server.log"));
    if let Some(port) = port {
        command.args(["--port", &port.to_string()]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap_or_else(|e| panic!("{}: {e}", program.display()))
}

/// The server's program, if there is one.
fn find() -> Option<PathBuf> {
    let name = format!("nats-server{}", std::env::consts::EXE_SUFFIX);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let python = PathBuf::from(std::env::var_os("EDGECUT_PYTHON").unwrap_or_default());
    let beside = python.parent().map(|folder| folder.join(&name));
    let named = std::env::var_os("EDGECUT_NATS").map(PathBuf::from);
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(&name));
    let system = PathBuf::from("/usr/sbin").join(&name);
    named.into_iter().chain(on_path).chain(beside).chain([system]).find(|file| file.is_file())
}
