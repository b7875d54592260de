//! The delay of the link: packets of two tunnels wait in user space, since a kernel need not have netem.
//!
//! A tunnel's packets come and go as datagrams on a Unix socket, which crosses network namespaces.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use edgecut_graph::rng::Rng;

/// Packets on their way in one direction; the link drops more, as a router does.
const MOST: usize = 10_000;

/// Larger than any packet of a tunnel.
const PACKET: usize = 1 << 16;

/// How often a thread that waits looks whether it should end.
const LOOK: Duration = Duration::from_millis(100);

/// What the link does now; changed while packets flow.
#[derive(Debug, Default)]
pub struct Weather {
    /// One way, in nanoseconds.
    pub delay_ns: AtomicU64,
    /// Most that is added to a packet's delay, even between 0 and this.
    pub jitter_ns: AtomicU64,
    /// Packets vanish: nobody learns that the link is dead.
    pub dead: AtomicBool,
    over: AtomicBool,
}

/// Carries packets both ways until it is dropped.
pub struct Relay {
    pub weather: Arc<Weather>,
    threads: Vec<JoinHandle<()>>,
}

/// A tunnel's end: where the relay listens, and where the tunnel does.
pub struct Ends {
    pub relay: PathBuf,
    pub tunnel: PathBuf,
}

impl Ends {
    /// Both in `folder`.
    pub fn new(folder: &Path, name: &str) -> Ends {
        Ends {
            relay: folder.join(format!("{name}.relay")),
            tunnel: folder.join(format!("{name}.tunnel")),
        }
    }
}

impl Relay {
    /// Begins to carry packets between `a` and `b`. Jitter is a function of the seed.
    pub fn start(a: &Ends, b: &Ends, seed: u64) -> Result<Relay, String> {
        let weather = Arc::new(Weather::default());
        let bind = |ends: &Ends| -> Result<Arc<UnixDatagram>, String> {
            let socket = UnixDatagram::bind(&ends.relay);
            let socket = socket.map_err(|e| format!("{}: {e}", ends.relay.display()))?;
            socket.set_read_timeout(Some(LOOK)).map_err(|e| e.to_string())?;
            Ok(Arc::new(socket))
        };
        let sockets = [bind(a)?, bind(b)?];
        let mut threads = vec![];
        for (from, to, ends) in [(0, 1, b), (1, 0, a)] {
            let (queue, packets) = sync_channel(MOST);
            let (source, sink) = (Arc::clone(&sockets[from]), Arc::clone(&sockets[to]));
            let (sky, rng) = (Arc::clone(&weather), Rng::keyed(&[seed, from as u64]));
            threads.push(std::thread::spawn(move || receive(&source, &sky, rng, &queue)));
            let tunnel = ends.tunnel.clone();
            threads.push(std::thread::spawn(move || deliver(&packets, &sink, &tunnel)));
        }
        Ok(Relay { weather, threads })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.weather.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A packet and when it is to arrive.
type Due = (Instant, Vec<u8>);

/// Reads packets and says when they arrive: never before one that was sent earlier.
fn receive(socket: &UnixDatagram, weather: &Weather, mut rng: Rng, queue: &SyncSender<Due>) {
    let mut buffer = vec![0; PACKET];
    let mut last = Instant::now();
    while !weather.over.load(Ordering::Relaxed) {
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(_) => return,
        };
        let jitter = weather.jitter_ns.load(Ordering::Relaxed) as f64 * f64::from(rng.uniform());
        let delay = weather.delay_ns.load(Ordering::Relaxed) + jitter as u64;
        last = last.max(Instant::now() + Duration::from_nanos(delay));
        if !weather.dead.load(Ordering::Relaxed) {
            let _ = queue.try_send((last, buffer[..length].to_vec()));
        }
    }
}

/// Hands packets over when they are due.
fn deliver(packets: &Receiver<Due>, socket: &UnixDatagram, tunnel: &Path) {
    while let Ok((due, packet)) = packets.recv() {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        // A tunnel that is gone loses packets, and so does a link.
        let _ = socket.send_to(&packet, tunnel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_arrive_late_in_order_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let ends = ["a", "b"].map(|name| Ends::new(folder.path(), name));
        let relay = Relay::start(&ends[0], &ends[1], 1).unwrap();
        let tunnels = ends.each_ref().map(|ends| UnixDatagram::bind(&ends.tunnel).unwrap());
        tunnels[1].set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        relay.weather.delay_ns.store(20_000_000, Ordering::Relaxed);
        relay.weather.jitter_ns.store(5_000_000, Ordering::Relaxed);
        let began = Instant::now();
        for index in 0..50u8 {
            tunnels[0].send_to(&[index], &ends[0].relay).unwrap();
        }
        let mut packet = [0; 8];
        for index in 0..50u8 {
            assert_eq!((tunnels[1].recv(&mut packet).unwrap(), packet[0]), (1, index));
        }
        assert!(began.elapsed() >= Duration::from_millis(20));
        relay.weather.dead.store(true, Ordering::Relaxed);
        tunnels[0].send_to(&[77], &ends[0].relay).unwrap();
        // The one behind it is the first that arrives.
        std::thread::sleep(Duration::from_millis(50));
        relay.weather.dead.store(false, Ordering::Relaxed);
        tunnels[0].send_to(&[78], &ends[0].relay).unwrap();
        assert_eq!((tunnels[1].recv(&mut packet).unwrap(), packet[0]), (1, 78));
    }
}
