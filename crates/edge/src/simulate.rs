//! The policy on a recorded link, in virtual time: the same decisions and the same request machine as
//! in earnest, beside plans that never change and a clairvoyant one.
//!
//! Requests come at a fixed rate, one at a time. The link carries what the trace says from the moment
//! that something is sent; what is cancelled no longer uses it.

use edgecut_collab::Trace;
use edgecut_collab::partition::Placement;

use crate::clock::{SECOND, Time};
use crate::estimate::{Link, Load};
use crate::policy::{Candidate, Policy, Reserve, Situation};
use crate::request::{Event, Mark, Request};

/// How often the round trip is measured by a message without content.
const PING_NS: Time = 5 * SECOND;

/// How requests come.
#[derive(Clone, Copy, Debug)]
pub struct Arrivals {
    /// Time between them.
    pub period_ns: Time,
    /// Time that each has.
    pub deadline_ns: Time,
}

/// What became of them.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Of every request, in their order.
    pub latencies: Vec<Time>,
    /// How many were answered so: local, split, cloud, late.
    pub marks: [usize; 4],
    /// Changes of plan.
    pub changes: usize,
}

impl Outcome {
    /// Mean latency in milliseconds.
    pub fn mean_ms(&self) -> f64 {
        self.latencies.iter().map(|&ns| ns as f64 / 1e6).sum::<f64>()
            / self.latencies.len().max(1) as f64
    }

    /// The latency in milliseconds that a share of all requests does not exceed.
    pub fn quantile_ms(&self, share: f64) -> f64 {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let at = (share * sorted.len() as f64) as usize;
        sorted.get(at.min(sorted.len().saturating_sub(1))).map_or(0.0, |&ns| ns as f64 / 1e6)
    }
}

/// When an answer from a server is back, if the device begins with `plan` at `start`.
pub fn remote_ns(plan: &Candidate, trace: &Trace, start: Time) -> Time {
    let sent = start + plan.own_ns;
    let there = trace.send_ns(sent, plan.bytes);
    plan.own_ns.saturating_add(trace.rtt_ns(sent)).saturating_add(there) + plan.server_ns
}

fn starts(trace: &Trace, arrivals: &Arrivals) -> impl Iterator<Item = Time> {
    (0..trace.duration_ns()).step_by(arrivals.period_ns.max(1) as usize)
}

/// A plan that never changes and has no reserve.
pub fn fixed(plan: &Candidate, trace: &Trace, arrivals: &Arrivals) -> Outcome {
    let latency = |start| match plan.placement {
        Placement::Local => plan.own_ns,
        _ => remote_ns(plan, trace, start),
    };
    Outcome { latencies: starts(trace, arrivals).map(latency).collect(), ..Outcome::default() }
}

/// The best plan of every request, known beforehand.
pub fn oracle(plans: &[Candidate], trace: &Trace, arrivals: &Arrivals) -> Outcome {
    let least = |start| {
        let latency = |plan: &Candidate| match plan.placement {
            Placement::Local => plan.own_ns,
            _ => remote_ns(plan, trace, start),
        };
        plans.iter().map(latency).min().unwrap_or(Time::MAX)
    };
    Outcome { latencies: starts(trace, arrivals).map(least).collect(), ..Outcome::default() }
}

/// The policy.
pub fn policy(policy: &mut Policy, trace: &Trace, arrivals: &Arrivals) -> Outcome {
    let (mut link, load) = (Link::default(), Load::default());
    let (mut outcome, mut pinged, mut last) = (Outcome::default(), None, None);
    let file = policy.candidates().iter().find(|plan| plan.placement == Placement::Picture);
    let picture = file.map(|plan| plan.bytes);
    for start in starts(trace, arrivals) {
        if pinged.is_none_or(|at| start >= at + PING_NS) {
            link.exchanged(start, 0, trace.rtt_ns(start));
            pinged = Some(start);
        }
        let left_ns = arrivals.deadline_ns;
        let server = Some((&link, &load));
        let situation = Situation { now: start, left_ns, wait_ns: 0, server, picture, without: 0 };
        let choice = policy.choose(&situation);
        outcome.changes += usize::from(last.is_some_and(|last| last != choice.candidate));
        last = Some(choice.candidate);
        let plan = policy.candidates()[choice.candidate];
        let reserve_at = start.saturating_add(choice.reserve_ns.unwrap_or(0));
        let (mark, latency) =
            one(&plan, choice.reserve, reserve_at, trace, start, left_ns, &mut link);
        if plan.placement != Placement::Local {
            policy.ended(matches!(mark, Mark::Local | Mark::Late));
        }
        outcome.latencies.push(latency);
        outcome.marks[mark as usize] += 1;
    }
    outcome
}

/// One request, event by event. The link learns from it.
fn one(
    plan: &Candidate,
    reserve: Reserve,
    reserve_at: Time,
    trace: &Trace,
    start: Time,
    left_ns: Time,
    link: &mut Link,
) -> (Mark, Time) {
    let (mut request, first) = Request::new(start + left_ns, plan.placement, reserve, reserve_at);
    let sent = start + plan.own_ns;
    let remote = start.saturating_add(remote_ns(plan, trace, start));
    let mut local = first.start_local.then_some(sent);
    let sends = plan.placement != Placement::Local;
    let mut events = vec![];
    if sends {
        events.extend([(sent, Event::Sent), (remote, Event::Remote)]);
    }
    loop {
        let wake = request.wake().map(|at| (at, Event::Tick));
        let done = local.map(|at| (at, Event::Local));
        let next = events.iter().copied().chain(wake).chain(done).min_by_key(|(at, _)| *at);
        let Some((now, event)) = next else { return (Mark::Late, left_ns) };
        events.retain(|known| *known != (now, event));
        let step = request.on(now, event);
        if step.start_local {
            local = Some(now.max(sent) + plan.rest_ns);
        }
        let Some(mark) = step.answer else { continue };
        if step.cancel_remote && now > sent {
            let waited = (now - sent).saturating_sub(plan.server_ns);
            link.given_up(now, plan.bytes, waited);
        } else if event == Event::Remote {
            link.exchanged(now, plan.bytes, now - sent - plan.server_ns);
        }
        return (mark, now - start);
    }
}
