//! A server in a process of its own, which can be killed at any moment.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use edgecut_serve::front::FrontOptions;
use edgecut_serve::models::{LoadOptions, Source};
use edgecut_serve::{HostOptions, Server, ServerOptions};

/// Names the folder that a process serves, and its port, instead of whatever it does otherwise.
const SERVE: &str = "EDGECUT_RIG_SERVE";

/// The process.
pub struct ServerProcess {
    /// Where it listens for gRPC.
    pub address: SocketAddr,
    folder: PathBuf,
    arguments: Vec<String>,
    child: Child,
}

impl ServerProcess {
    /// Starts this program again, with `arguments`, as a server of `folder`; port 0 is any free one.
    /// Somewhere on its way it must call [`serve_if_asked`].
    pub fn start(folder: &Path, port: u16, arguments: &[&str]) -> ServerProcess {
        let program = std::env::current_exe().expect("this program has a file");
        // The cloud is another machine: what it computes does not keep the device waiting.
        let mut child = Command::new("nice")
            .args(["-n", "10"])
            .arg(program)
            .args(arguments)
            .env_remove(super::ISA)
            .env(SERVE, format!("{port} {}", folder.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("is piped")).lines();
        let address = lines.map_while(Result::ok).find_map(|line| {
            line.split_once("serving ").and_then(|(_, address)| address.trim().parse().ok())
        });
        let address = address.expect("says where it listens");
        let arguments = arguments.iter().map(|a| a.to_string()).collect();
        ServerProcess { address, folder: folder.into(), arguments, child }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Another one like this.
    pub fn again(&self) -> ServerProcess {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        ServerProcess::start(&self.folder, 0, &arguments)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Serves, where this process was started for that; it ends by being killed.
pub fn serve_if_asked() {
    let Ok(asked) = std::env::var(SERVE) else { return };
    let (port, folder) = asked.split_once(' ').expect("port and folder");
    let host = HostOptions {
        source: Source::Folder(folder.into()),
        load: LoadOptions::default(),
        max_wait: std::time::Duration::from_secs(1),
        trace: None,
    };
    let front = FrontOptions { grpc: Some(format!("127.0.0.1:{port}")), ..FrontOptions::default() };
    let drain = std::time::Duration::from_secs(1);
    let options = ServerOptions { host, front, poll: None, drain };
    let server = Server::start(options, &mut |_| {}).expect("serves");
    println!("serving {}", server.grpc().expect("listens"));
    server.run(&|| false, &mut |_| {});
}
