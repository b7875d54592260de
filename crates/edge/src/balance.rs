//! Several servers: which one gets the next request.

use edgecut_graph::rng::Rng;

use crate::breaker::Breaker;
use crate::clock::{SECOND, Time};
use crate::estimate::{Link, Load};

/// A server is an outlier where it takes so many times as long as the median of all, over so many
/// requests.
const OUTLIER: f64 = 3.0;
const REQUESTS: u32 = 5;

/// How long an outlier is left out.
const EJECTED_NS: Time = 5 * SECOND;

/// How often a server is asked whether it is ready, where no request tells.
const PROBE_NS: Time = SECOND;

/// What is known of one server.
#[derive(Clone, Debug)]
pub struct Server {
    /// The way there.
    pub link: Link,
    /// Its load.
    pub load: Load,
    /// Whether it works.
    pub breaker: Breaker,
    outstanding: u32,
    /// Running mean of time taken over time expected, and of how many.
    slowness: f64,
    requests: u32,
    ejected_until: Time,
    heard: Option<Time>,
}

impl Server {
    /// Requests on their way to it.
    pub fn outstanding(&self) -> u32 {
        self.outstanding
    }

    /// Whether it is left out at `now`, as far slower than the others.
    pub fn is_ejected(&self, now: Time) -> bool {
        now < self.ejected_until
    }
}

/// All servers.
#[derive(Clone, Debug)]
pub struct Servers {
    servers: Vec<Server>,
    rng: Rng,
}

impl Servers {
    /// `count` servers of which nothing is known.
    pub fn new(count: usize, seed: u64) -> Servers {
        let server = |index| Server {
            link: Link::default(),
            load: Load::default(),
            breaker: Breaker::new(Rng::keyed(&[seed, index as u64]).next_u64()),
            outstanding: 0,
            slowness: 1.0,
            requests: 0,
            ejected_until: 0,
            heard: None,
        };
        let servers = (0..count).map(server).collect();
        Servers { servers, rng: Rng::keyed(&[seed, 0x6261_6c61_6e63_6500]) }
    }

    /// Server `index`.
    pub fn get(&self, index: usize) -> &Server {
        &self.servers[index]
    }

    /// Server `index`, to be changed.
    pub fn get_mut(&mut self, index: usize) -> &mut Server {
        &mut self.servers[index]
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.servers.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// The one for the next request: of two that are drawn, the one with fewer requests under way
    /// (Mitzenmacher 2001). None where all are left alone.
    pub fn pick(&mut self, now: Time) -> Option<usize> {
        self.pick_of(now, |_| true)
    }

    /// As [`Servers::pick`], of those that `may` get it.
    pub fn pick_of(&mut self, now: Time, may: impl Fn(usize) -> bool) -> Option<usize> {
        let usable = |server: &Server| server.breaker.is_closed() && !server.is_ejected(now);
        let usable: Vec<usize> =
            (0..self.servers.len()).filter(|&i| may(i) && usable(&self.servers[i])).collect();
        let first = *usable.get(self.rng.below(usable.len()))?;
        let second = usable[self.rng.below(usable.len())];
        let busy = |index: usize| self.servers[index].outstanding;
        Some(if busy(second) < busy(first) { second } else { first })
    }

    /// A request is on its way to `index`.
    pub fn begun(&mut self, index: usize) {
        self.servers[index].outstanding += 1;
    }

    /// It has ended, somehow.
    pub fn ended(&mut self, index: usize) {
        let server = &mut self.servers[index];
        server.outstanding = server.outstanding.saturating_sub(1);
    }

    /// Server `index` answered; it took `elapsed_ns` where `expected_ns` were expected of a healthy one.
    pub fn answered(&mut self, now: Time, index: usize, elapsed_ns: Time, expected_ns: Time) {
        let server = &mut self.servers[index];
        server.heard = Some(now);
        server.breaker.succeeded();
        let ratio = (elapsed_ns as f64 / expected_ns.max(1) as f64).clamp(0.01, 1000.0);
        server.requests += 1;
        let weight = 1.0 / f64::from(server.requests.min(REQUESTS));
        server.slowness += weight * (ratio - server.slowness);
        self.eject(now, index);
    }

    /// Something came from server `index` that is no answer to a request.
    pub fn heard(&mut self, now: Time, index: usize) {
        self.servers[index].heard = Some(now);
    }

    /// Servers that are to be asked now whether they are ready.
    pub fn probes(&mut self, now: Time) -> Vec<usize> {
        let due = |server: &mut Server| {
            let quiet = server.heard.is_none_or(|heard| now.saturating_sub(heard) >= PROBE_NS);
            let closed = server.breaker.is_closed();
            let due = if closed { quiet } else { server.breaker.try_now(now) };
            if due {
                server.heard = Some(now);
            }
            due
        };
        let servers = self.servers.iter_mut().enumerate();
        servers.filter_map(|(index, server)| due(server).then_some(index)).collect()
    }

    /// Leaves server `index` out for a while where it is far slower than the others. Half of the
    /// servers always stay.
    fn eject(&mut self, now: Time, index: usize) {
        let out = self.servers.iter().filter(|s| s.is_ejected(now)).count();
        let own = &self.servers[index];
        if self.servers.len() < 2 || (out + 1) * 2 > self.servers.len() || own.requests < REQUESTS {
            return;
        }
        let others = self.servers.iter().enumerate().filter(|(i, s)| *i != index && s.requests > 0);
        let mut others: Vec<f64> = others.map(|(_, server)| server.slowness).collect();
        others.sort_by(f64::total_cmp);
        if others.get(others.len() / 2).is_some_and(|median| own.slowness > OUTLIER * median) {
            let server = &mut self.servers[index];
            server.ejected_until = now.saturating_add(EJECTED_NS);
            (server.slowness, server.requests) = (1.0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_spread_evenly() {
        let mut servers = Servers::new(4, 1);
        for _ in 0..400 {
            let index = servers.pick(0).unwrap();
            servers.begun(index);
        }
        let counts: Vec<u32> = (0..4).map(|i| servers.get(i).outstanding).collect();
        assert!(counts.iter().all(|count| (95..=105).contains(count)), "{counts:?}");
    }

    #[test]
    fn broken_servers_get_nothing_but_probes() {
        let mut servers = Servers::new(2, 1);
        (0..3).for_each(|_| servers.get_mut(0).breaker.failed(0));
        assert!((0..50).all(|_| servers.pick(0) == Some(1)));
        assert_eq!(servers.probes(0), [1], "the other one has just failed");
        assert_eq!(servers.probes(SECOND / 2), [0]);
        (0..3).for_each(|_| servers.get_mut(1).breaker.failed(0));
        assert_eq!(servers.pick(0), None);
    }

    #[test]
    fn an_outlier_is_left_out_for_a_while() {
        let mut servers = Servers::new(3, 1);
        for _ in 0..REQUESTS {
            (0..3).for_each(|i| servers.answered(0, i, if i == 2 { 50 } else { 10 }, 10));
        }
        assert!((0..50).all(|_| servers.pick(1) != Some(2)));
        assert!((0..50).any(|_| servers.pick(EJECTED_NS) == Some(2)));
        // All alike: nobody is one.
        let mut servers = Servers::new(2, 1);
        for _ in 0..20 {
            (0..2).for_each(|i| servers.answered(0, i, 90, 10));
        }
        assert!((0..2).all(|i| servers.get(i).ejected_until == 0));
    }
}
