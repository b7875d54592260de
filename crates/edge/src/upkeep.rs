//! What goes on beside requests: servers are asked whether they are ready.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::clock::Time;
use crate::edge::Edge;
use crate::samples;

/// How often servers are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Longest time to a server's word that it is ready.
const READY: Duration = Duration::from_secs(1);

/// Begins to watch; ends when the last one else lets `edge` go.
pub(crate) fn begin(edge: &Arc<Edge>) {
    tokio::spawn(watch(Arc::downgrade(edge)));
    if edge.kept.is_some() && !edge.remotes.is_empty() {
        tokio::spawn(samples::forward(Arc::downgrade(edge)));
    }
}

async fn watch(edge: Weak<Edge>) {
    loop {
        {
            let Some(edge) = edge.upgrade() else { return };
            let (now, mut state) = edge.state();
            for server in state.servers.probes(now) {
                tokio::spawn(probe(Arc::downgrade(&edge), server));
            }
            drop(state);
            let second = edge.remember();
            let cascade = edge.cascade.as_ref().filter(|_| second);
            if let Some(news) = cascade.and_then(|cascade| cascade.look()) {
                (edge.settings.tell)(&news);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn probe(edge: Weak<Edge>, server: usize) {
    let Some(remote) = edge.upgrade().map(|edge| edge.remotes[server].clone()) else { return };
    let began = std::time::Instant::now();
    let ready = remote.is_ready(READY).await;
    let elapsed = began.elapsed().as_nanos() as Time;
    let Some(edge) = edge.upgrade() else { return };
    let (now, mut state) = edge.state();
    if ready {
        state.servers.heard(now, server);
        let known = state.servers.get_mut(server);
        known.link.exchanged(now, 0, elapsed);
        known.breaker.succeeded();
    } else {
        state.servers.get_mut(server).breaker.failed(now);
        edge.metrics.probes_failed.add();
    }
}
