//! Two hosts that the kernel keeps apart, and the link between them.
//!
//! Each host is a network namespace with a tunnel, whose packets pass through the [`Relay`]. Bandwidth is
//! a token bucket of the kernel (tbf) before the tunnel, loss a rule of iptables behind it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::relay::{Ends, Relay};
use crate::cli::Owned;

/// One of the two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    Edge,
    Cloud,
}

impl Host {
    const BOTH: [Host; 2] = [Host::Edge, Host::Cloud];

    fn namespace(self) -> &'static str {
        match self {
            Host::Edge => "edgecut-rig-edge",
            Host::Cloud => "edgecut-rig-cloud",
        }
    }

    /// Its address on the link.
    pub fn address(self) -> &'static str {
        match self {
            Host::Edge => "10.77.0.1",
            Host::Cloud => "10.77.0.2",
        }
    }
}

/// Name of the tunnel in either namespace.
pub const TUNNEL: &str = "rig0";

/// Bytes of the token bucket: one packet, since a fuller one would let small messages pass at once.
pub const BUCKET: u16 = 1600;

/// The least rate that tbf is set to, in bits per second: it knows no 0.
const LEAST_RATE: u64 = 8_000;

/// TCP that goes by losses, as on most devices, whatever this machine is set to. After a pause it still
/// knows what the link carries.
const TCP: [&str; 2] =
    ["net.ipv4.tcp_congestion_control=reno", "net.ipv4.tcp_slow_start_after_idle=0"];

/// How long a host may take to have its tunnel.
const PATIENCE: Duration = Duration::from_secs(10);

/// How an outage shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// Packets vanish.
    Silent,
    /// Connections are refused and reset.
    Loud,
}

/// The hosts and the link. Dropped, all of it is taken down.
pub struct Network {
    relay: Relay,
    tunnels: Vec<Owned>,
    _sockets: TempDir,
}

impl Network {
    /// Builds both hosts, with an unlimited link without delay.
    ///
    /// # Errors
    /// Where a tool is missing or refuses, which needs the rights of root.
    pub fn build(seed: u64) -> Result<Network, String> {
        remove_hosts();
        let sockets = tempfile::tempdir().map_err(|e| e.to_string())?;
        let ends = ["edge", "cloud"].map(|name| Ends::new(sockets.path(), name));
        let relay = Relay::start(&ends[0], &ends[1], seed)?;
        let mut network = Network { relay, tunnels: vec![], _sockets: sockets };
        for (host, ends) in Host::BOTH.into_iter().zip(&ends) {
            tool(&["ip", "netns", "add", host.namespace()])?;
            tool_in(host, &["ip", "link", "set", "lo", "up"])?;
            for setting in TCP {
                tool_in(host, &["sysctl", "-q", "-w", setting])?;
            }
            network.tunnels.push(Owned(tunnel(host, ends)?));
        }
        let up = |host| tool_in(host, &["ip", "route", "get", Host::Cloud.address()]).is_ok();
        let began = Instant::now();
        while !Host::BOTH.into_iter().all(up) {
            if began.elapsed() > PATIENCE {
                return Err("the tunnels do not come up: needs socat and /dev/net/tun".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(network)
    }

    /// Bandwidth of one direction in bits per second: that of what `from` sends.
    pub fn set_rate(&self, from: Host, bits: u64) -> Result<(), String> {
        let bits = bits.max(LEAST_RATE);
        // A queue of half a second, and of some packets at least.
        let queue = (bits / 16).max(32_768);
        let [rate, burst, limit] = [format!("{bits}bit"), BUCKET.to_string(), queue.to_string()];
        let bucket = ["root", "tbf", "rate", &rate, "burst", &burst, "limit", &limit];
        let mut words = vec!["tc", "qdisc", "replace", "dev", TUNNEL];
        words.extend(bucket);
        tool_in(from, &words)
    }

    /// Round-trip time, half of it each way, and the most that jitter adds to each way.
    pub fn set_delay(&self, round_trip: Duration, jitter: Duration) {
        let weather = &self.relay.weather;
        weather.delay_ns.store(round_trip.as_nanos() as u64 / 2, Ordering::Relaxed);
        weather.jitter_ns.store(jitter.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Share of packets that each direction loses, 0 to 1.
    pub fn set_loss(&self, share: f64) -> Result<(), String> {
        for host in Host::BOTH {
            tool_in(host, &["iptables-legacy", "-F", "INPUT"])?;
            if share > 0.0 {
                let share = format!("{share:.6}");
                let rule = ["-m", "statistic", "--mode", "random", "--probability", &share];
                let mut words = vec!["iptables-legacy", "-A", "INPUT", "-i", TUNNEL];
                words.extend(rule);
                words.extend(["-j", "DROP"]);
                tool_in(host, &words)?;
            }
        }
        Ok(())
    }

    /// Breaks the link, or mends it.
    pub fn set_outage(&self, outage: Option<Outage>) -> Result<(), String> {
        self.relay.weather.dead.store(outage == Some(Outage::Silent), Ordering::Relaxed);
        tool_in(Host::Edge, &["iptables-legacy", "-F", "OUTPUT"])?;
        if outage == Some(Outage::Loud) {
            let rule = ["-A", "OUTPUT", "-o", TUNNEL, "-p", "tcp", "-j", "REJECT"];
            let mut words = vec!["iptables-legacy"];
            words.extend(rule);
            words.extend(["--reject-with", "tcp-reset"]);
            tool_in(Host::Edge, &words)?;
        }
        Ok(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.tunnels.clear();
        remove_hosts();
    }
}

/// A command that runs on `host`.
pub fn on(host: Host, program: &Path) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", host.namespace()]).arg(program);
    command
}

/// The tunnel's packets as datagrams, by socat.
fn tunnel(host: Host, ends: &Ends) -> Result<Child, String> {
    let address = host.address();
    let device = format!("TUN:{address}/24,tun-name={TUNNEL},iff-no-pi,iff-up");
    let (relay, tunnel) = (ends.relay.display(), ends.tunnel.display());
    let socket = format!("UNIX-SENDTO:{relay},bind={tunnel}");
    let mut command = on(host, Path::new("socat"));
    command.args([&device, &socket]).stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().map_err(|e| format!("{command:?}: {e}"))
}

/// Also those that a killed run has left.
fn remove_hosts() {
    for host in Host::BOTH {
        let _ = tool(&["ip", "netns", "del", host.namespace()]);
    }
}

fn tool_in(host: Host, words: &[&str]) -> Result<(), String> {
    let mut all = vec!["ip", "netns", "exec", host.namespace()];
    all.extend(words);
    tool(&all)
}

fn tool(words: &[&str]) -> Result<(), String> {
    let mut command = Command::new(words[0]);
    let output = command.args(&words[1..]).stdin(Stdio::null()).output();
    let output = output.map_err(|e| format!("needs {}: {e}", words[0]))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("{}: {}", words.join(" "), said.trim()))
        }
    }
}
