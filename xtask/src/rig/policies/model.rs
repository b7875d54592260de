//! One model: its plans measured, then all policies on all traces.

use std::path::{Path, PathBuf};
use std::time::Duration;

use edgecut_collab::Trace;
use edgecut_collab::partition::Placement;
use edgecut_edge::plans::Plans;

use super::Recorded;
use super::ask::{Seen, Task};
use super::hosts::Hosts;
use super::options::Options;
use super::oracle::{Asked, Measured, best_cut, oracle};
use super::rows::{OfModel, OnTrace, Row, Verdict};
use crate::rig::options::Link;

/// Requests of a measurement that come before those that count, and rounds of pictures that do.
const WARM: usize = 6;
const ROUNDS: usize = 2;

/// Uplink of measurements beside which the link hardly counts, in bits per second.
const WIDE: u64 = 100_000_000;

/// Time of a request in a measurement.
const LONG: Duration = Duration::from_secs(10);

/// A model with its plans, and how requests about it come.
struct Model<'a> {
    hosts: &'a Hosts<'a>,
    folder: &'a Path,
    name: String,
    pictures: &'a [PathBuf],
    measured: Vec<Measured>,
    /// None asks one by one.
    period: Option<Duration>,
    deadline: Duration,
}

/// Serves the plans in `folder`, and asks.
pub fn run(
    hosts: &Hosts,
    folder: &Path,
    pictures: &[PathBuf],
    traces: &[Recorded],
) -> Result<OfModel, String> {
    let plans = Plans::read(folder).map_err(|e| e.to_string())?;
    let _server = hosts.serve(folder)?;
    let (name, deadline, measured) = (plans.name.clone(), LONG, vec![]);
    let mut model = Model { hosts, folder, name, pictures, measured, period: None, deadline };
    model.measure(&plans)?;
    let options = hosts.options;
    let local = model.measured.iter().find(|plan| plan.plan == "local");
    let local_ms = local.ok_or("no plan is local-only")?.ms;
    model.deadline = options.deadline.unwrap_or(Duration::from_secs_f64(2.0 * local_ms / 1e3));
    let period = options.period.unwrap_or(model.deadline.max(Duration::from_millis(250)));
    model.period = Some(period);
    let count = (options.seconds.as_secs_f64() / period.as_secs_f64()).ceil() as usize;
    let asked = |number: usize| (options.from + period * number as u32, number % pictures.len());
    let asked: Vec<Asked> = (0..count).map(asked).collect();
    let traces =
        traces.iter().map(|recorded| model.on(recorded, &asked)).collect::<Result<_, _>>()?;
    Ok(OfModel { model: model.name, plans: model.measured, traces })
}

impl Model<'_> {
    /// What each plan takes beside the link.
    fn measure(&mut self, plans: &Plans) -> Result<(), String> {
        let row = format!(r#"[{{"duration_ms":1000,"bandwidth_kbps":{}}}]"#, WIDE / 1000);
        let wide = link(self.hosts.options, &Trace::parse(row.as_bytes())?);
        let requests = WARM + ROUNDS * self.pictures.len();
        let mut slowdown = 1.0;
        // Decoded pictures are never better than their files. Local-only comes first, and says how fast
        // the device is.
        let plans = plans.plans.iter().filter(|plan| plan.times.placement != Placement::Raw);
        for plan in plans {
            let word = plan.word();
            let seen = self.ask(&word, Some(&word), &wide, Duration::ZERO, requests)?;
            let failed = |mark: &str| mark == "late" || mark == "dropped";
            if seen.requests.iter().any(|one| failed(&one.mark)) {
                return Err(format!("{word}: not every request has an answer on a wide link"));
            }
            let found = Measured::of(plan, &seen, WARM, WIDE as f64, slowdown);
            if plan.times.placement == Placement::Local {
                slowdown = found.ms * 1e6 / plan.times.own_ns.max(1) as f64;
            }
            self.measured.push(found);
        }
        Ok(())
    }

    /// All policies on a trace.
    fn on(&self, recorded: &Recorded, asked: &[Asked]) -> Result<OnTrace, String> {
        let options = self.hosts.options;
        let deadline_ms = self.deadline.as_secs_f64() * 1e3;
        let cut = best_cut(&self.measured, &recorded.trace, asked, deadline_ms);
        let plan = |word: &str| self.measured.iter().find(|plan| plan.plan == word);
        let fixed = [plan("local"), plan("picture"), cut].into_iter().flatten();
        let mut policies: Vec<_> =
            fixed.map(|p| (p.plan.as_str(), Some(p.plan.as_str()))).collect();
        policies.push(("edgecut", None));
        let link = link(options, &recorded.trace);
        let (mut rows, mut all) = (vec![], vec![]);
        for (name, only) in policies {
            let what = format!("{} by {name}", recorded.name);
            let seen = self.ask(&what, only, &link, options.from, asked.len())?;
            rows.push(Row::seen(name, &seen, deadline_ms));
            all.push(seen);
        }
        // No link changes what the device alone takes: its time is that of this very run.
        let mut known = self.measured.clone();
        for plan in known.iter_mut().filter(|plan| plan.plan == "local") {
            plan.ms = rows[0].mean_ms;
        }
        let best = oracle(&known, &recorded.trace, asked);
        rows.push(Row::oracle(&best, &known, asked, deadline_ms));
        let verdict = Verdict::of(&all[all.len() - 1], &all[0], &rows, deadline_ms);
        let trace = &recorded.trace;
        let rate = |&(time, _): &Asked| trace.bits_per_second(time.as_nanos() as u64) as f64 / 1e6;
        let rates: Vec<f64> = asked.iter().map(rate).collect();
        let mean = rates.iter().sum::<f64>() / rates.len().max(1) as f64;
        Ok(OnTrace {
            trace: recorded.name.clone(),
            link: [mean, trace.typical().rtt_ns as f64 / 1e6],
            deadline_ms,
            rows,
            verdict,
            rates,
            seen: all,
        })
    }

    fn ask(
        &self,
        what: &str,
        only: Option<&str>,
        link: &Link,
        from: Duration,
        requests: usize,
    ) -> Result<Seen, String> {
        eprintln!("{}: {what}", self.name);
        let task = Task {
            grpc: String::new(),
            http: String::new(),
            model: self.name.clone(),
            pictures: self.pictures.to_vec(),
            requests,
            period: self.period,
            deadline: self.deadline,
        };
        let seen = self.hosts.ask(self.folder, only, link, from, task)?;
        if let Some(problem) = &seen.problem {
            eprintln!("{}: {what}: {problem}", self.name);
        }
        Ok(seen)
    }
}

fn link(options: &Options, trace: &Trace) -> Link {
    let trace = trace.clone();
    Link { trace, down_bits: options.down_bits(), jitter: Duration::ZERO, loss: 0.0 }
}
