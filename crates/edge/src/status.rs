//! What a live page shows of the device's half.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use crate::balance::Server;
use crate::cascade::Seen;
use crate::clock::{SECOND, Time};
use crate::edge::{Edge, lock};
use crate::request::Mark;

/// Shares of answers that are faster than a latency which is shown.
const QUANTILES: [usize; 3] = [50, 90, 99];

/// Seconds that are remembered.
const SECONDS: usize = 120;

/// The last minutes, a point a second.
#[derive(Default)]
pub(crate) struct History {
    points: VecDeque<Point>,
    /// When the last point was made, and the answers until then.
    at: Time,
    answers: [u64; Mark::ALL.len()],
}

struct Point {
    /// Answers per second by mark.
    answers: [f64; Mark::ALL.len()],
    /// Estimated rate of each server's link, where one is known.
    rates: Vec<Option<f64>>,
}

impl Edge {
    /// Makes a point of history, once a second; whether it did now.
    pub(crate) fn remember(&self) -> bool {
        let at = self.engine_time();
        let mut history = lock(&self.history);
        let elapsed = at.saturating_sub(history.at);
        if elapsed < SECOND {
            return false;
        }
        let answers = Mark::ALL.map(|mark| self.metrics.answers(mark));
        let pairs = answers.iter().zip(history.answers);
        let per_second = pairs.map(|(now, before)| (now - before) as f64 * 1e9 / elapsed as f64);
        let mut point = Point { answers: [0.0; Mark::ALL.len()], rates: vec![] };
        point.answers.iter_mut().zip(per_second).for_each(|(rate, value)| *rate = value);
        let (now, state) = self.state();
        point.rates = (0..self.remotes.len()).map(|i| rate(state.servers.get(i), now)).collect();
        drop(state);
        (history.at, history.answers) = (at, answers);
        if history.points.len() == SECONDS {
            history.points.pop_front();
        }
        history.points.push_back(point);
        true
    }

    /// Everything that is counted, in the text form of Prometheus.
    pub fn metrics_text(&self) -> String {
        let mut gauges = vec![
            ("open", String::new(), self.open() as f64),
            ("backlog_seconds", String::new(), self.engine.backlog_ns() as f64 / 1e9),
        ];
        if let Some(kept) = &self.kept {
            gauges.extend([
                ("store_waiting", String::new(), kept.waiting() as f64),
                ("store_aside", String::new(), kept.aside() as f64),
                ("store_bytes", String::new(), kept.bytes() as f64),
            ]);
        }
        if let Some(seen) = self.cascade.as_ref().map(|cascade| cascade.seen()) {
            let [audited, differing] = seen.audited;
            gauges.extend([
                ("cascade_alarm", String::new(), f64::from(u8::from(seen.alarmed))),
                ("cascade_audited", String::new(), audited as f64),
                ("cascade_differing", String::new(), differing as f64),
            ]);
        }
        let (now, state) = self.state();
        let inertia = &state.policy.inertia;
        gauges.extend([
            ("plan_changes", String::new(), f64::from(inertia.changes())),
            ("switch_seconds", String::new(), inertia.switch_ns() as f64 / 1e9),
        ]);
        for (index, remote) in self.remotes.iter().enumerate() {
            let server = state.servers.get(index);
            let label = format!("{{server=\"{}\"}}", remote.url().replace(['"', '\\', '\n'], "_"));
            let rate = server.link.rate(now).at(0.0);
            gauges.extend([
                ("server_up", label.clone(), f64::from(u8::from(server.breaker.is_closed()))),
                ("uplink_bits_per_second", label.clone(), rate),
                ("round_trip_seconds", label.clone(), server.link.rtt_or(0) as f64 / 1e9),
                ("queue_seconds", label, server.load.queue_ns(now) as f64 / 1e9),
            ]);
        }
        self.metrics.text(&gauges)
    }

    /// Where requests went, how fast answers came, and what is known of servers and samples.
    pub fn status(&self) -> Value {
        let of_marks = |value: &dyn Fn(Mark) -> Value| -> Map<String, Value> {
            Mark::ALL.iter().map(|&mark| (mark.word().to_string(), value(mark))).collect()
        };
        let mut latencies = of_marks(&|mark| quantiles(&self.metrics.recent(Some(mark))));
        latencies.insert("all".into(), quantiles(&self.metrics.recent(None)));
        let metrics = &self.metrics;
        let store = self.kept.as_ref().zip(self.settings.store.as_ref()).map(|(kept, keep)| {
            json!({
                "waiting": kept.waiting(),
                "aside": kept.aside(),
                "bytes": kept.bytes(),
                "most_bytes": keep.most_bytes,
                "stored": metrics.stored.get(),
                "forwarded": metrics.forwarded.get(),
                "overflowed": metrics.overflowed.get(),
            })
        });
        let open = self.open();
        let history = lock(&self.history);
        let past =
            of_marks(&|mark| history.points.iter().map(|p| p.answers[mark as usize]).collect());
        let rates = |index: usize| history.points.iter().map(|p| p.rates[index]).collect::<Value>();
        let (now, state) = self.state();
        let servers = self.remotes.iter().enumerate();
        let servers = servers.map(|(index, remote)| {
            let skewed = state.skewed_of(now, index);
            let mut shown = server(state.servers.get(index), remote.url(), now, skewed);
            shown["past"] = rates(index);
            shown
        });
        json!({
            "model": self.name(),
            "seconds": self.engine_time() as f64 / 1e9,
            "open": open,
            "backlog_ms": ms(self.engine.backlog_ns()),
            "answers": of_marks(&|mark| metrics.answers(mark).into()),
            "past": past,
            "latency_ms": latencies,
            "plans": self.plans(),
            "plan": state.policy.inertia.current(),
            "counts": {
                "sent": metrics.sent.get(),
                "failed": metrics.failed.get(),
                "another version": metrics.skewed.get(),
                "cut off": metrics.truncated.get(),
                "repeated": metrics.repeated.get(),
                "refused": metrics.refused.get(),
                "invalid": metrics.invalid.get(),
            },
            "servers": servers.collect::<Vec<Value>>(),
            "store": store,
            "cascade": self.cascade.as_ref().map(|cascade| shown(&cascade.seen())),
        })
    }
}

fn shown(seen: &Seen) -> Value {
    let (certificate, [audited, differing]) = (&seen.certificate, seen.audited);
    json!({
        "thresholds": certificate.thresholds,
        "score": certificate.score,
        "risk": certificate.goal.risk,
        "epsilon": certificate.goal.epsilon,
        "delta": certificate.goal.delta,
        "share": certificate.audit.share,
        "limit": certificate.audit.limit,
        "alpha": certificate.audit.alpha,
        "alarmed": seen.alarmed,
        "audited": audited,
        "differing": differing,
        "evidence": seen.evidence,
    })
}

fn server(server: &Server, url: &str, now: Time, skewed: usize) -> Value {
    let (link, load) = (&server.link, &server.load);
    let rtt = Some(link.rtt_or(Time::MAX)).filter(|&rtt| rtt < Time::MAX);
    json!({
        "url": url,
        "breaker": server.breaker.word(),
        "opened": server.breaker.opened(),
        "ejected": server.is_ejected(now),
        "skewed_plans": skewed,
        "under_way": server.outstanding(),
        "bits_per_second": rate(server, now),
        "round_trip_ms": rtt.map(ms),
        "queue_ms": ms(load.queue_ns(now)),
        "slowdown": load.loaded_ns(1_000_000) as f64 / 1e6,
    })
}

/// Bits per second to `server`, where that was measured.
fn rate(server: &Server, now: Time) -> Option<f64> {
    server.link.seen().map(|_| server.link.rate(now).at(0.0))
}

/// By nearest rank.
fn quantiles(latencies: &[Time]) -> Value {
    let rank = |percent: usize| (latencies.len() * percent).div_ceil(100).saturating_sub(1);
    QUANTILES.iter().map(|&percent| latencies.get(rank(percent)).copied().map(ms)).collect()
}

fn ms(ns: Time) -> f64 {
    ns as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_latencies_that_were_there() {
        assert_eq!(quantiles(&[]), json!([null, null, null]));
        assert_eq!(quantiles(&[3_000_000]), json!([3.0, 3.0, 3.0]));
        let all: Vec<Time> = (1..=200).map(|i| i * 1_000_000).collect();
        assert_eq!(quantiles(&all), json!([100.0, 180.0, 198.0]));
    }
}
