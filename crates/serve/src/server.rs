//! A server from start to the last answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::error::{Result, ServeError};
use crate::front::{Front, FrontOptions};
use crate::host::{Host, HostOptions};
use crate::models::Change;

/// How often a server that waits looks around.
const TICK: Duration = Duration::from_millis(50);

/// All that a server needs to know.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Models and their requests.
    pub host: HostOptions,
    /// Ports, certificates, tokens, limits.
    pub front: FrontOptions,
    /// How often the models' files are looked at; none loads them once.
    pub poll: Option<Duration>,
    /// How long requests may take to finish when the server stops.
    pub drain: Duration,
}

/// A running server.
pub struct Server {
    host: Arc<Host>,
    front: Front,
    runtime: Runtime,
    poll: Option<Duration>,
    drain: Duration,
}

impl Server {
    /// Loads the models, then begins to listen; `told` hears what was loaded.
    ///
    /// # Errors
    /// Where a model that was named cannot be loaded, none is there, or the server cannot listen.
    /// A broken version in a folder is told and left out.
    pub fn start(options: ServerOptions, told: &mut dyn FnMut(&Change)) -> Result<Server> {
        let named = matches!(options.host.source, crate::models::Source::Files(_));
        let host = Arc::new(Host::new(options.host)?);
        for change in host.look()? {
            match change {
                Change::Broken { error, .. } if named => return Err(error),
                change => told(&change),
            }
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("edgecut-front")
            .enable_all()
            .build()
            .map_err(ServeError::Threads)?;
        let front = {
            let _inside = runtime.enter();
            Front::start(Arc::clone(&host), &options.front)?
        };
        Ok(Server { host, front, runtime, poll: options.poll, drain: options.drain })
    }

    /// The models.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Where REST listens.
    pub fn http(&self) -> Option<SocketAddr> {
        self.front.http()
    }

    /// Where gRPC listens.
    pub fn grpc(&self) -> Option<SocketAddr> {
        self.front.grpc()
    }

    /// Serves until `stop` says so; `told` hears what becomes of models. Then the server is not
    /// ready, finishes what is under way within its time, and ends.
    pub fn run(self, stop: &dyn Fn() -> bool, told: &mut dyn FnMut(&Change)) {
        let mut looked = Instant::now();
        while !stop() {
            std::thread::sleep(TICK);
            if self.poll.is_some_and(|poll| looked.elapsed() >= poll) {
                // A folder that cannot be read for a moment changes nothing.
                self.host.look().unwrap_or_default().iter().for_each(&mut *told);
                looked = Instant::now();
            }
        }
        self.stop();
    }

    /// Stops: not ready, what is under way is finished within the server's time, and then the end.
    pub fn stop(self) {
        let end = Instant::now() + self.drain;
        self.host.drain();
        while self.host.in_flight() > 0 && Instant::now() < end {
            std::thread::sleep(TICK);
        }
        // An answer may still be on its way to its socket.
        let left = end.saturating_duration_since(Instant::now()).max(TICK);
        self.runtime.block_on(self.front.stop(left));
        self.runtime.shutdown_timeout(TICK);
    }
}
