//! What a policy did on a trace, in figures.

use serde::Serialize;

use super::ask::Seen;
use super::oracle::{Asked, Measured};

/// What is aimed at: mean over the oracle's, and 95th percentile over the better of local and picture.
pub const MEAN: f64 = 1.10;
pub const P95: f64 = 1.05;

/// Ways of an answer, as requests are marked.
pub const MARKS: [&str; 5] = ["local", "split", "cloud", "late", "dropped"];

/// A policy on a trace.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub policy: String,
    pub mean_ms: f64,
    /// 50th, 95th and 99th percentile.
    pub quantiles_ms: [f64; 3],
    /// Requests without an answer by the deadline.
    pub missed: usize,
    /// Requests by mark, in the order of [`MARKS`]; none where nothing was asked.
    pub marks: Option<[usize; 5]>,
    /// Bytes on the uplink a request.
    pub bytes: f64,
    #[serde(skip)]
    pub latencies: Vec<f64>,
}

/// What edgecut's policy is judged by.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// Mean over the oracle's.
    pub mean_ratio: f64,
    /// 95th percentile over the better of local and picture.
    pub p95_ratio: f64,
    /// Deadlines missed that the device alone kept.
    pub missed_needlessly: usize,
    pub dropped: usize,
    pub changes: f64,
    pub switch_ms: f64,
}

/// A trace under all policies.
#[derive(Debug, Serialize)]
pub struct OnTrace {
    pub trace: String,
    /// Mean rate meanwhile in megabits per second, and the mean round trip in milliseconds.
    pub link: [f64; 2],
    pub deadline_ms: f64,
    pub rows: Vec<Row>,
    pub verdict: Verdict,
    /// Requests of each policy that asked, in the order of the rows.
    pub seen: Vec<Seen>,
    /// Rate in megabits per second at the moment of each request.
    pub rates: Vec<f64>,
}

/// A model under all policies on all traces.
#[derive(Debug, Serialize)]
pub struct OfModel {
    pub model: String,
    pub plans: Vec<Measured>,
    pub traces: Vec<OnTrace>,
}

/// The latency that a share of all does not exceed.
pub fn quantile(latencies: &[f64], share: f64) -> f64 {
    let mut sorted = latencies.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

impl Row {
    fn new(policy: String, latencies: Vec<f64>, deadline_ms: f64) -> Row {
        Row {
            policy,
            mean_ms: latencies.iter().sum::<f64>() / latencies.len().max(1) as f64,
            quantiles_ms: [0.5, 0.95, 0.99].map(|share| quantile(&latencies, share)),
            missed: latencies.iter().filter(|&&ms| ms > deadline_ms).count(),
            marks: None,
            bytes: 0.0,
            latencies,
        }
    }

    /// Of what was asked and seen.
    pub fn seen(policy: &str, seen: &Seen, deadline_ms: f64) -> Row {
        let latencies = seen.requests.iter().map(|one| one.ms).collect();
        let count = |mark: &str| seen.requests.iter().filter(|one| one.mark == mark).count();
        let row = Row::new(policy.into(), latencies, deadline_ms);
        let late = |one: &&super::ask::One| one.ms > deadline_ms || missed(one);
        Row {
            missed: seen.requests.iter().filter(late).count(),
            marks: Some(MARKS.map(count)),
            bytes: seen.bytes as f64 / seen.requests.len().max(1) as f64,
            ..row
        }
    }

    /// Of the oracle: its latencies and plans.
    pub fn oracle(
        best: &[(f64, usize)],
        plans: &[Measured],
        asked: &[Asked],
        deadline_ms: f64,
    ) -> Row {
        let bytes = best.iter().zip(asked).map(|(&(_, plan), &(_, picture))| {
            plans[plan].bytes.get(picture).copied().unwrap_or(0) as f64
        });
        let bytes = bytes.sum::<f64>() / best.len().max(1) as f64;
        let latencies = best.iter().map(|&(ms, _)| ms).collect();
        Row { bytes, ..Row::new("oracle".into(), latencies, deadline_ms) }
    }
}

fn missed(one: &super::ask::One) -> bool {
    one.mark == "late" || one.mark == "dropped"
}

impl Verdict {
    /// Of `ours`, beside what the device alone has seen and the rows.
    pub fn of(ours: &Seen, local: &Seen, rows: &[Row], deadline_ms: f64) -> Verdict {
        let row = |policy: &str| rows.iter().find(|row| row.policy == policy);
        let figure = |policy, of: fn(&Row) -> f64| row(policy).map_or(f64::NAN, of);
        let p95 = |policy| figure(policy, |row| row.quantiles_ms[1]);
        let kept = |one: &super::ask::One| !missed(one) && one.ms <= deadline_ms;
        let pairs = || ours.requests.iter().zip(&local.requests);
        Verdict {
            mean_ratio: figure("edgecut", |row| row.mean_ms) / figure("oracle", |row| row.mean_ms),
            p95_ratio: p95("edgecut") / p95("local").min(p95("picture")),
            missed_needlessly: pairs().filter(|(own, alone)| !kept(own) && kept(alone)).count(),
            dropped: ours.requests.iter().filter(|one| one.mark == "dropped").count(),
            changes: ours.changes,
            switch_ms: ours.switch_ms,
        }
    }

    /// Whether all of it is as aimed at.
    pub fn is_kept(&self) -> bool {
        let ratios = self.mean_ratio <= MEAN && self.p95_ratio <= P95;
        ratios && self.missed_needlessly == 0 && self.dropped == 0 && self.switch_ms <= 1.0
    }
}

impl OfModel {
    /// A table in Markdown, with what is aimed at below each trace.
    pub fn print(&self) {
        println!("\n## {}\n", self.model);
        for plan in &self.plans {
            let bytes = plan.bytes.iter().sum::<u64>() / plan.bytes.len().max(1) as u64;
            println!("{}: {:.1} ms beside the link, {bytes} bytes", plan.plan, plan.ms);
        }
        println!(
            "\n| trace | policy | mean, ms | p50 | p95 | p99 | missed | local/split/cloud/late/dropped \
             | bytes |\n| --- | --- | ---: | ---: | ---: | ---: | ---: | --- | ---: |"
        );
        for on in &self.traces {
            for row in &on.rows {
                let marks =
                    row.marks.map_or("-".into(), |marks| marks.map(|n| n.to_string()).join("/"));
                let [p50, p95, p99] = row.quantiles_ms;
                println!(
                    "| {} | {} | {:.1} | {p50:.1} | {p95:.1} | {p99:.1} | {} | {marks} | {:.0} |",
                    on.trace, row.policy, row.mean_ms, row.missed, row.bytes
                );
            }
        }
        println!(
            "\nmean over the oracle's (at most {MEAN}), p95 over the better of local and picture (at"
        );
        println!(
            "most {P95}), misses that local keeps (0), dropped (0), changes of plan, one in ms:\n"
        );
        for on in &self.traces {
            let verdict = &on.verdict;
            println!(
                "{:34} {:5.1} Mbit/s {:4.0} ms: {:.3} {:.3} {} {} {} {:.2} {}",
                on.trace,
                on.link[0],
                on.link[1],
                verdict.mean_ratio,
                verdict.p95_ratio,
                verdict.missed_needlessly,
                verdict.dropped,
                verdict.changes,
                verdict.switch_ms,
                if verdict.is_kept() { "kept" } else { "missed" }
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::policies::ask::One;

    fn seen(requests: &[(f64, &str)]) -> Seen {
        let one = |&(ms, mark): &(f64, &str)| One {
            at_ms: 0.0,
            ms,
            mark: mark.into(),
            picture: 0,
            bytes: 0,
        };
        Seen { requests: requests.iter().map(one).collect(), bytes: 300, ..Seen::default() }
    }

    #[test]
    fn what_is_missed_needlessly_is_found() {
        let ours = seen(&[(20.0, "split"), (50.0, "late"), (50.0, "late"), (30.0, "cloud")]);
        let local = seen(&[(40.0, "local"), (40.0, "local"), (50.0, "late"), (40.0, "local")]);
        let picture = seen(&[(30.0, "cloud"), (30.0, "cloud"), (99.0, "cloud"), (50.0, "late")]);
        let mut rows = vec![];
        for (policy, seen) in [("local", &local), ("picture", &picture), ("edgecut", &ours)] {
            rows.push(Row::seen(policy, seen, 49.0));
        }
        rows.push(Row::oracle(&[(25.0, 0)], &[], &[], 49.0));
        assert_eq!((rows[1].missed, rows[2].missed), (2, 2));
        assert_eq!(rows[2].marks, Some([0, 1, 1, 2, 0]));
        let verdict = Verdict::of(&ours, &local, &rows, 49.0);
        assert_eq!((verdict.missed_needlessly, verdict.dropped), (1, 0));
        assert_eq!((verdict.mean_ratio, verdict.p95_ratio), (1.5, 1.0));
        assert!(!verdict.is_kept());
    }

    #[test]
    fn quantiles_are_values_that_were_seen() {
        let latencies: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(
            [0.5, 0.95, 0.99, 1.0].map(|q| quantile(&latencies, q)),
            [50.0, 95.0, 99.0, 100.0]
        );
        assert_eq!(quantile(&[7.0], 0.5), 7.0);
    }
}
