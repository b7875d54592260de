//! What each plan takes beside the link, as measured, and what one who knows the link would take.

use std::time::Duration;

use edgecut_collab::Trace;
use edgecut_collab::partition::Placement;
use edgecut_edge::plans::Plan;
use edgecut_edge::policy::Candidate;
use edgecut_edge::simulate::remote_ns;
use serde::Serialize;

use super::ask::Seen;

/// A plan as it was measured on a link that hardly counts.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// What it is called.
    pub plan: String,
    /// Mean latency without what the link takes, in milliseconds.
    pub ms: f64,
    /// The device's part of it, before anything is sent.
    pub own_ms: f64,
    /// Bytes on the uplink for each picture, with everything that the protocols add.
    pub bytes: Vec<u64>,
    #[serde(skip)]
    placement: Placement,
}

impl Measured {
    /// Of `seen`, requests one by one behind `warm` that do not count, over an uplink of `bits` per
    /// second. `slowdown` is how many times what was planned the device takes.
    pub fn of(plan: &Plan, seen: &Seen, warm: usize, bits: f64, slowdown: f64) -> Measured {
        let counted = || seen.requests.iter().skip(warm);
        let pictures = counted().map(|one| one.picture + 1).max().unwrap_or(0);
        let local = plan.times.placement == Placement::Local;
        let bytes = |picture: usize| {
            // What is not of the request, such as a probe, only adds.
            let all = counted().filter(|one| one.picture == picture).map(|one| one.bytes);
            if local { 0 } else { all.min().unwrap_or(0) }
        };
        let bytes: Vec<u64> = (0..pictures).map(bytes).collect();
        let link = |picture: usize| bytes[picture] as f64 * 8e3 / bits;
        let alone: Vec<f64> = counted().map(|one| one.ms - link(one.picture)).collect();
        let ms = alone.iter().sum::<f64>() / alone.len().max(1) as f64;
        let own_ms = match plan.times.placement {
            // Requests bring the file.
            Placement::Picture | Placement::Raw => 0.0,
            Placement::Local => ms,
            Placement::Split => (plan.times.own_ns as f64 * slowdown / 1e6).min(ms),
        };
        Measured { plan: plan.word(), ms, own_ms, bytes, placement: plan.times.placement }
    }

    /// Latency in milliseconds of a request about `picture` that comes at `time` of the trace.
    pub fn on(&self, trace: &Trace, time: Duration, picture: usize) -> f64 {
        if self.placement == Placement::Local {
            return self.ms;
        }
        let ns = |ms: f64| (ms.max(0.0) * 1e6) as u64;
        let candidate = Candidate {
            placement: self.placement,
            own_ns: ns(self.own_ms),
            bytes: self.bytes.get(picture).copied().unwrap_or(0),
            server_ns: ns(self.ms - self.own_ms),
            rest_ns: 0,
        };
        remote_ns(&candidate, trace, time.as_nanos() as u64) as f64 / 1e6
    }
}

/// Whatever begins when and is about which picture.
pub type Asked = (Duration, usize);

/// The latency of each request under its best plan, with the number of the plan.
pub fn oracle(plans: &[Measured], trace: &Trace, asked: &[Asked]) -> Vec<(f64, usize)> {
    let best = |&(time, picture): &Asked| {
        let latencies = plans.iter().map(|plan| plan.on(trace, time, picture)).zip(0..);
        latencies.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((f64::INFINITY, 0))
    };
    asked.iter().map(best).collect()
}

/// The cut of the least mean latency on a known trace, where there is any.
pub fn best_cut<'a>(
    plans: &'a [Measured],
    trace: &Trace,
    asked: &[Asked],
    deadline_ms: f64,
) -> Option<&'a Measured> {
    let sum = |plan: &Measured| -> f64 {
        let latencies = asked.iter().map(|&(time, picture)| plan.on(trace, time, picture));
        latencies.map(|ms| ms.min(deadline_ms)).sum()
    };
    let cuts = plans.iter().filter(|plan| plan.placement == Placement::Split);
    cuts.min_by(|a, b| sum(a).total_cmp(&sum(b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::policies::ask::One;

    fn plan(placement: Placement, cut: Option<u32>) -> Plan {
        let times = Candidate { placement, own_ns: 2_000_000, bytes: 0, server_ns: 0, rest_ns: 0 };
        Plan { cut, sends: vec![], times, digest: None }
    }

    fn seen(requests: &[(f64, u64)]) -> Seen {
        let one = |(number, &(ms, bytes)): (usize, &(f64, u64))| One {
            at_ms: 0.0,
            ms,
            mark: "cloud".into(),
            picture: number % 2,
            bytes,
        };
        Seen { requests: requests.iter().enumerate().map(one).collect(), ..Seen::default() }
    }

    #[test]
    fn the_best_plan_follows_the_link() {
        // Two that warm up, then both pictures twice, over 8 Mbit/s: a millisecond a kilobyte.
        let requests = [
            (900.0, 1),
            (900.0, 1),
            (15.0, 10_000),
            (25.0, 20_000),
            (17.0, 12_000),
            (23.0, 20_000),
        ];
        let picture = Measured::of(&plan(Placement::Picture, None), &seen(&requests), 2, 8e6, 1.0);
        assert_eq!((picture.bytes.as_slice(), picture.ms), (&[10_000, 20_000][..], 5.0));
        let requests = [(40.0, 77), (40.0, 0)];
        let local = Measured::of(&plan(Placement::Local, None), &seen(&requests), 0, 8e6, 1.0);
        let requests = [(30.0, 1_000), (30.0, 1_000)];
        let cut = Measured::of(&plan(Placement::Split, Some(3)), &seen(&requests), 0, 8e6, 4.0);
        assert_eq!((cut.plan.as_str(), cut.ms, cut.own_ms), ("cut-3", 29.0, 8.0));
        // A second at 8 Mbit/s, one at 0.8, one at 0.08, without a round trip.
        let row = |kbps| format!(r#"{{"duration_ms": 1000, "bandwidth_kbps": {kbps}}}"#);
        let rows = [8000, 800, 80].map(row).join(",");
        let trace = Trace::parse(format!("[{rows}]").as_bytes()).unwrap();
        let asked: Vec<Asked> = (0..3).map(|s| (Duration::from_secs(s), 0)).collect();
        let plans = [local, picture, cut];
        let best = oracle(&plans, &trace, &asked);
        assert_eq!(best, [(15.0, 1), (39.0, 2), (40.0, 0)]);
        assert_eq!(best_cut(&plans, &trace, &asked, 100.0).unwrap().plan, "cut-3");
        assert!(best_cut(&plans[..2], &trace, &asked, 100.0).is_none());
    }
}
