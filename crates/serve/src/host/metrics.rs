//! Counts and times of requests, in Prometheus' text form.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::front::Kind;

/// Upper bounds of times, in microseconds, three a decade.
const BOUNDS: [u64; 16] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
    1_000_000, 2_000_000, 5_000_000, 10_000_000,
];

/// How many times lay below each bound.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [AtomicU64; BOUNDS.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    /// Takes in a time.
    pub fn add(&self, time: Duration) {
        let us = time.as_micros() as u64;
        let place = BOUNDS.partition_point(|&bound| bound < us);
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// An upper bound of the share `q` of the times, in milliseconds: linear within a bound's
    /// range.
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        let counts: Vec<u64> = self.counts.iter().map(|c| c.load(Ordering::Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        let (wanted, mut before) = (q * total as f64, 0.0);
        for (place, &count) in counts.iter().enumerate() {
            let after = before + count as f64;
            if count > 0 && after >= wanted {
                let low = if place == 0 { 0 } else { BOUNDS[place - 1] } as f64;
                let high = *BOUNDS.get(place).unwrap_or(&BOUNDS[BOUNDS.len() - 1]) as f64;
                let share = (wanted - before) / count as f64;
                return Some((low + share.clamp(0.0, 1.0) * (high - low).max(0.0)) / 1e3);
            }
            before = after;
        }
        None
    }

    fn write(&self, out: &mut String, name: &str, labels: &str) {
        let mut below = 0;
        for (place, count) in self.counts.iter().enumerate() {
            below += count.load(Ordering::Relaxed);
            let bound =
                BOUNDS.get(place).map_or("+Inf".into(), |us| (*us as f64 / 1e6).to_string());
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {below}");
        }
        let sum = self.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(out, "{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {below}");
    }
}

/// Figures of a version of a model. They outlive it: a reloaded model goes on counting.
#[derive(Debug, Default)]
pub struct Figures {
    /// Requests that were answered.
    pub answered: AtomicU64,
    /// Requests that were refused, by kind.
    pub refused: [AtomicU64; Kind::ALL.len()],
    /// Requests whose client went away before the answer.
    pub cancelled: AtomicU64,
    /// Requests that are here now.
    pub in_flight: AtomicU64,
    /// Time in the queue.
    pub queue: Histogram,
    /// Time of the batch that a request was part of.
    pub compute: Histogram,
    /// From the request to the answer.
    pub total: Histogram,
    /// Batches, and rows in them.
    pub batches: AtomicU64,
    /// Rows of all batches.
    pub rows: AtomicU64,
}

/// Figures of all models that were ever served.
#[derive(Debug, Default)]
pub struct Metrics(RwLock<BTreeMap<(String, String), Arc<Figures>>>);

impl Metrics {
    /// The figures of a version of a model.
    pub fn of(&self, name: &str, version: &str) -> Arc<Figures> {
        let key = (name.to_string(), version.to_string());
        if let Some(found) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Arc::clone(found);
        }
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(key).or_default())
    }

    /// Requests that are here now, of models that have gone, too.
    pub fn in_flight(&self) -> u64 {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.values().map(|figures| figures.in_flight.load(Ordering::SeqCst)).sum()
    }

    /// In Prometheus' text form; `depth` says how many wait for a model.
    pub fn write(&self, depth: impl Fn(&str, &str) -> Option<usize>) -> String {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        let labels =
            |(name, version): &(String, String)| format!("model=\"{name}\",version=\"{version}\"");
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        head(&mut out, "edgecut_requests_total", "counter", "Requests by outcome.");
        for (key, figures) in &*all {
            let refused = Kind::ALL.iter().map(|k| k.name()).zip(figures.refused.iter().map(load));
            let outcomes =
                [("ok", load(&figures.answered)), ("cancelled", load(&figures.cancelled))];
            for (outcome, count) in outcomes.into_iter().chain(refused) {
                let labels = labels(key);
                let _ = writeln!(
                    out,
                    "edgecut_requests_total{{{labels},outcome=\"{outcome}\"}} {count}"
                );
            }
        }
        type Part = fn(&Figures) -> &Histogram;
        let times: [(&str, &str, Part); 3] = [
            ("edgecut_queue_seconds", "Time in the queue.", |f| &f.queue),
            ("edgecut_compute_seconds", "Time of the batch that a request was part of.", |f| {
                &f.compute
            }),
            ("edgecut_request_seconds", "From the request to the answer.", |f| &f.total),
        ];
        for (name, help, part) in times {
            head(&mut out, name, "histogram", help);
            all.iter().for_each(|(key, figures)| part(figures).write(&mut out, name, &labels(key)));
        }
        type Count = fn(&Figures) -> &AtomicU64;
        let counts: [(&str, &str, Count); 2] = [
            ("edgecut_batches_total", "Batches that were computed.", |f| &f.batches),
            ("edgecut_batch_rows_total", "Rows of all batches.", |f| &f.rows),
        ];
        for (name, help, part) in counts {
            head(&mut out, name, "counter", help);
            for (key, figures) in &*all {
                let _ = writeln!(out, "{name}{{{}}} {}", labels(key), load(part(figures)));
            }
        }
        head(&mut out, "edgecut_in_flight", "gauge", "Requests that are here now.");
        for (key, figures) in &*all {
            let _ =
                writeln!(out, "edgecut_in_flight{{{}}} {}", labels(key), load(&figures.in_flight));
        }
        head(&mut out, "edgecut_queue_depth", "gauge", "Requests that wait.");
        for key in all.keys() {
            if let Some(depth) = depth(&key.0, &key.1) {
                let _ = writeln!(out, "edgecut_queue_depth{{{}}} {depth}", labels(key));
            }
        }
        out
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_within_their_bounds() {
        let histogram = Histogram::default();
        assert_eq!(histogram.quantile_ms(0.5), None);
        for ms in [1, 1, 1, 3, 40] {
            histogram.add(Duration::from_millis(ms));
        }
        let median = histogram.quantile_ms(0.5).unwrap();
        assert!((0.5..=1.0).contains(&median), "{median}");
        let high = histogram.quantile_ms(0.99).unwrap();
        assert!((20.0..=50.0).contains(&high), "{high}");
        let mut text = String::new();
        histogram.write(&mut text, "t", "a=\"b\"");
        assert!(text.contains("t_bucket{a=\"b\",le=\"0.001\"} 3\n"), "{text}");
        assert!(text.ends_with("t_sum{a=\"b\"} 0.046\nt_count{a=\"b\"} 5\n"), "{text}");
    }
}
