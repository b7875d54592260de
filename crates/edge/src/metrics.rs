//! What is counted, in the text form of Prometheus.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Time;
use crate::edge::lock;
use crate::request::Mark;

/// Answers whose latencies are remembered one by one.
const RECENT: usize = 1000;

/// Upper ends of the buckets of latency, in milliseconds.
const BUCKETS: [u64; 13] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000];

/// A number that grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Latencies.
#[derive(Debug, Default)]
struct Histogram {
    counts: [Counter; BUCKETS.len() + 1],
    sum_ns: AtomicU64,
}

/// All counters of the device's half.
#[derive(Debug, Default)]
pub struct Metrics {
    answers: [Histogram; Mark::ALL.len()],
    recent: Mutex<VecDeque<(Mark, Time)>>,
    /// Requests whose id was under way or answered before.
    pub repeated: Counter,
    /// Requests whose picture cannot be decoded.
    pub invalid: Counter,
    /// Requests that were refused because too many were under way.
    pub refused: Counter,
    /// Requests that went to a server.
    pub sent: Counter,
    /// Of those, the ones that a server did not answer.
    pub failed: Counter,
    /// Answers of servers, or refusals, that were about another version of the model.
    pub skewed: Counter,
    /// Streams that were cut off to be in time.
    pub truncated: Counter,
    /// Samples that were stored for later.
    pub stored: Counter,
    /// Samples that there was no room for.
    pub overflowed: Counter,
    /// Stored samples that a server has taken.
    pub forwarded: Counter,
    /// Stored samples that no server took, and that stay on the device.
    pub set_aside: Counter,
    /// Audited requests that no server answered.
    pub audits_failed: Counter,
    /// Probes of servers that gave no answer.
    pub probes_failed: Counter,
}

impl Metrics {
    /// An answer after `elapsed_ns`.
    pub fn answered(&self, mark: Mark, elapsed_ns: Time) {
        let histogram = &self.answers[mark as usize];
        let bucket = BUCKETS.iter().position(|&ms| elapsed_ns <= ms * 1_000_000);
        histogram.counts[bucket.unwrap_or(BUCKETS.len())].add();
        histogram.sum_ns.fetch_add(elapsed_ns, Ordering::Relaxed);
        let mut recent = lock(&self.recent);
        if recent.len() == RECENT {
            recent.pop_front();
        }
        recent.push_back((mark, elapsed_ns));
    }

    /// Latencies of the last thousand answers that are so marked, ascending; of all where there is no mark.
    pub fn recent(&self, mark: Option<Mark>) -> Vec<Time> {
        let recent = lock(&self.recent);
        let wanted = recent.iter().filter(|(of, _)| mark.is_none_or(|mark| mark == *of));
        let mut latencies: Vec<Time> = wanted.map(|(_, elapsed)| *elapsed).collect();
        latencies.sort_unstable();
        latencies
    }

    /// Answers so marked.
    pub fn answers(&self, mark: Mark) -> u64 {
        self.answers[mark as usize].counts.iter().map(Counter::get).sum()
    }

    /// The text, with `gauges` behind it: name, labels such as `{server="a"}`, value.
    pub fn text(&self, gauges: &[(&str, String, f64)]) -> String {
        let mut text = String::new();
        text.push_str("# TYPE edgecut_edge_latency_seconds histogram\n");
        for mark in Mark::ALL {
            let (histogram, word) = (&self.answers[mark as usize], mark.word());
            let mut total = 0;
            for (index, count) in histogram.counts.iter().enumerate() {
                total += count.get();
                let end = BUCKETS
                    .get(index)
                    .map_or("+Inf".into(), |&ms| format!("{}", ms as f64 / 1000.0));
                let _ = writeln!(
                    text,
                    "edgecut_edge_latency_seconds_bucket{{mark=\"{word}\",le=\"{end}\"}} {total}"
                );
            }
            let sum = histogram.sum_ns.load(Ordering::Relaxed) as f64 / 1e9;
            let _ = writeln!(text, "edgecut_edge_latency_seconds_sum{{mark=\"{word}\"}} {sum}");
            let _ = writeln!(text, "edgecut_edge_latency_seconds_count{{mark=\"{word}\"}} {total}");
        }
        for (name, counter) in [
            ("repeated", &self.repeated),
            ("invalid", &self.invalid),
            ("refused", &self.refused),
            ("sent", &self.sent),
            ("failed", &self.failed),
            ("version_skew", &self.skewed),
            ("truncated", &self.truncated),
            ("stored", &self.stored),
            ("store_overflowed", &self.overflowed),
            ("forwarded", &self.forwarded),
            ("set_aside", &self.set_aside),
            ("audits_failed", &self.audits_failed),
            ("probes_failed", &self.probes_failed),
        ] {
            let _ = writeln!(
                text,
                "# TYPE edgecut_edge_{name}_total counter\nedgecut_edge_{name}_total {}",
                counter.get()
            );
        }
        for (name, labels, value) in gauges {
            let _ = writeln!(
                text,
                "# TYPE edgecut_edge_{name} gauge\nedgecut_edge_{name}{labels} {value}"
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up() {
        let metrics = Metrics::default();
        for ms in [1, 3, 3, 700, 99_999] {
            metrics.answered(Mark::Split, ms * 1_000_000);
        }
        assert_eq!(metrics.answers(Mark::Split), 5);
        assert_eq!(metrics.recent(None).len(), 5);
        assert_eq!(metrics.recent(Some(Mark::Split))[3], 700_000_000);
        assert!(metrics.recent(Some(Mark::Late)).is_empty());
        let text = metrics.text(&[("open", String::new(), 2.0)]);
        for line in [
            "edgecut_edge_latency_seconds_bucket{mark=\"split\",le=\"0.005\"} 3",
            "edgecut_edge_latency_seconds_bucket{mark=\"split\",le=\"+Inf\"} 5",
            "edgecut_edge_latency_seconds_count{mark=\"late\"} 0",
            "edgecut_edge_open 2",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }
}
