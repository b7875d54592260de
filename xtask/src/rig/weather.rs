//! The link over time: a trace replayed, and an outage.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::network::{Host, Network, Outage};
use super::options::Link;

/// How often it is looked whether the link has changed.
const TICK: Duration = Duration::from_millis(50);

/// Makes the network follow its trace.
pub struct Replay<'a> {
    network: &'a Network,
    link: &'a Link,
    outage: Option<(Outage, Duration, Duration)>,
    from: Duration,
    over: Arc<AtomicBool>,
}

impl<'a> Replay<'a> {
    pub fn new(
        network: &'a Network,
        link: &'a Link,
        outage: Option<(Outage, Duration, Duration)>,
    ) -> Replay<'a> {
        Replay { network, link, outage, from: Duration::ZERO, over: Arc::default() }
    }

    /// Begins so far into the trace.
    pub fn from(self, from: Duration) -> Replay<'a> {
        Replay { from, ..self }
    }

    /// Set to end [`Replay::run`].
    pub fn over(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.over)
    }

    /// Makes the link what it is so long after the beginning.
    pub fn set(&self, time: Duration) -> Result<(), String> {
        let (network, link) = (self.network, self.link);
        let time = (self.from + time).as_nanos() as u64;
        network.set_rate(Host::Cloud, link.down_bits)?;
        network.set_loss(link.loss)?;
        network.set_rate(Host::Edge, link.trace.bits_per_second(time))?;
        network.set_delay(Duration::from_nanos(link.trace.rtt_ns(time)), link.jitter);
        Ok(())
    }

    /// From the beginning until it is over.
    pub fn run(&self) -> Result<(), String> {
        self.set(Duration::ZERO)?;
        self.follow()
    }

    /// As [`Replay::run`], where the link is already what it is in the beginning.
    pub fn follow(&self) -> Result<(), String> {
        let (network, link) = (self.network, self.link);
        let began = Instant::now();
        let (mut rate, mut dead) = (None, None);
        while !self.over.load(Ordering::Relaxed) {
            let time = (self.from + began.elapsed()).as_nanos() as u64;
            let now = link.trace.bits_per_second(time);
            if rate.replace(now) != Some(now) {
                network.set_rate(Host::Edge, now)?;
            }
            network.set_delay(Duration::from_nanos(link.trace.rtt_ns(time)), link.jitter);
            let broken = self.broken(began.elapsed());
            if std::mem::replace(&mut dead, broken) != broken {
                network.set_outage(broken)?;
            }
            std::thread::sleep(TICK);
        }
        Ok(())
    }

    fn broken(&self, time: Duration) -> Option<Outage> {
        let (kind, at, length) = self.outage?;
        (time >= at && time < at + length).then_some(kind)
    }
}
