//! Samples that wait on a NATS server instead of the device's disk.

use std::io;

use edgecut_edge::queue::Queue;
use edgecut_search::SearchError;
use edgecut_search_nats::{NatsSamples, Server};

use crate::errors::Result;

/// How long a server that is away is waited for, before a sample counts as one that there was no room
/// for.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// A queue on a server.
pub struct OnServer {
    /// There until it is dropped.
    samples: Option<NatsSamples>,
    most_bytes: u64,
}

impl OnServer {
    /// The queue called `name` on the server at `url`, which takes new records up to `most_bytes` in all.
    pub fn open(url: &str, name: &str, most_bytes: u64) -> Result<OnServer> {
        let server = Server { patience: PATIENCE, ..Server::from_environment(url) };
        let samples = NatsSamples::open(server.connect()?, name)?;
        Ok(OnServer { samples: Some(samples), most_bytes })
    }

    fn with<T>(
        &mut self,
        work: impl FnOnce(&mut NatsSamples) -> std::result::Result<T, SearchError>,
    ) -> io::Result<T> {
        let samples = self.samples.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        work(samples).map_err(io::Error::other)
    }

    fn seen(&self) -> [(u64, u64); 2] {
        self.samples.as_ref().map(NatsSamples::seen).unwrap_or_default()
    }
}

impl Queue for OnServer {
    fn push(&mut self, record: &[u8]) -> io::Result<bool> {
        if self.bytes().saturating_add(record.len() as u64) > self.most_bytes {
            return Ok(false);
        }
        self.with(|samples| samples.push(record)).map(|()| true)
    }

    fn first(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.with(NatsSamples::first)
    }

    fn forget(&mut self, _: &[u8]) -> io::Result<()> {
        self.with(NatsSamples::forget_first)
    }

    fn set_aside(&mut self, record: &[u8]) -> io::Result<()> {
        self.with(|samples| samples.set_aside(record))
    }

    fn waiting(&self) -> usize {
        self.seen()[0].0 as usize
    }

    fn aside(&self) -> usize {
        self.seen()[1].0 as usize
    }

    fn bytes(&self) -> u64 {
        self.seen().iter().map(|(_, bytes)| bytes).sum()
    }
}

impl Drop for OnServer {
    fn drop(&mut self) {
        // A connection has threads of its own, and must not end on one that serves others.
        if let Some(samples) = self.samples.take() {
            std::thread::spawn(move || drop(samples));
        }
    }
}
