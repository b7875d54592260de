//! Where the time of a run goes, step by step, and how far each step is from what this machine can
//! do at most (`edgecut bench --profile`).

mod icicle;
mod page;
mod scatter;

use edgecut_device::Work;
use edgecut_runtime::{Plan, Profile, StepProfile};
use serde::Serialize;

use crate::term;

pub use edgecut_device::{Bound, Roofs};
pub use page::{Head, page};

/// One step of a profile.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Name of its (first) node.
    pub name: String,
    /// What it computes.
    pub kind: String,
    /// Extents of its result in ONNX order.
    pub shape: Vec<usize>,
    /// Median over the profiled runs, microseconds.
    pub median_us: f64,
    /// Share of the sum of all steps, percent.
    pub share: f64,
    /// Multiply-adds.
    pub macs: u64,
    /// Bytes read and written, weights included.
    pub bytes: u64,
    /// Of them, weights.
    pub weight_bytes: u64,
    /// Multiply-adds a byte.
    pub intensity: f64,
    /// The least time that this machine needs for these multiply-adds and bytes, microseconds.
    pub roof_us: f64,
    /// `roof_us` over `median_us`, percent.
    pub roofline: f64,
    /// What the roof is made of.
    pub bound: Bound,
}

/// The profile of one model.
#[derive(Clone, Debug, Serialize)]
pub struct Profiled {
    /// Number of profiled runs.
    pub runs: usize,
    /// Sum of the steps' medians, microseconds.
    pub steps_us: f64,
    /// Sum of the steps' least times, microseconds.
    pub roof_us: f64,
    /// `roof_us` over `steps_us`, percent.
    pub roofline: f64,
    /// In execution order.
    pub steps: Vec<Step>,
}

impl Profiled {
    /// Relates the times of `profile` to the roofs of this machine.
    pub fn new(plan: &Plan, profile: Profile, roofs: &Roofs) -> Profiled {
        let resident = plan.arena_bytes() + plan.weight_bytes() <= roofs.near_bytes;
        let step = |(s, work): (StepProfile, Work)| {
            let median_us = s.ns as f64 / 1e3;
            let (roof_us, bound) = roofs.least_us(&work, resident);
            Step {
                name: s.info.name,
                median_us,
                share: 100.0 * s.share,
                intensity: work.macs as f64 / work.bytes.max(1) as f64,
                roof_us,
                roofline: percent(roof_us, median_us),
                bound,
                kind: work.kind,
                shape: work.shape,
                macs: work.macs,
                bytes: work.bytes,
                weight_bytes: work.weight_bytes,
            }
        };
        let steps: Vec<Step> = profile.steps.into_iter().zip(Work::of(plan)).map(step).collect();
        let sum = |of: fn(&Step) -> f64| steps.iter().map(of).sum::<f64>();
        let (steps_us, roof_us) = (sum(|s| s.median_us), sum(|s| s.roof_us));
        let roofline = percent(roof_us, steps_us);
        Profiled { runs: profile.runs, steps_us, roof_us, roofline, steps }
    }

    /// For the terminal.
    pub fn table(&self, roofs: &Roofs) -> String {
        let row = |s: &Step| {
            let some = |n: u64, text: String| if n == 0 { String::new() } else { text };
            let rate = s.macs as f64 / s.median_us.max(1e-9) / 1e3;
            vec![
                s.name.clone(),
                s.kind.clone(),
                format!("{:.1}", s.median_us),
                format!("{:.1}", s.share),
                some(s.macs, term::short_count(s.macs)),
                some(s.macs, format!("{rate:.1}")),
                term::bytes(s.bytes),
                some(s.macs, term::number(s.intensity)),
                format!("{:.0} %", s.roofline),
                match s.bound {
                    Bound::Compute => "compute".into(),
                    Bound::Memory => "memory".into(),
                },
            ]
        };
        let header =
            ["step", "kind", "µs", "%", "MACs", "GMAC/s", "bytes", "MAC/B", "roofline", "bound"];
        let rows: Vec<Vec<String>> = self.steps.iter().map(row).collect();
        format!(
            "{}\n{} steps, sum of medians {}, at the roofs {}: {:.0} %\nroofs of {}: {}",
            term::table(&header, &[2, 3, 4, 5, 6, 7, 8], &rows),
            self.steps.len(),
            term::milliseconds(self.steps_us / 1e3),
            term::milliseconds(self.roof_us / 1e3),
            self.roofline,
            if roofs.threads == 1 {
                "1 thread".into()
            } else {
                format!("{} threads", roofs.threads)
            },
            describe(roofs),
        )
    }
}

/// The roofs in a line.
pub fn describe(roofs: &Roofs) -> String {
    format!(
        "{:.0} GMAC/s float32, {:.0} GMAC/s int8, {:.0} GB/s from {} of L2, {:.0} GB/s from beyond",
        roofs.f32_gmacs,
        roofs.int8_gmacs,
        roofs.near_gb,
        term::bytes(roofs.near_bytes as u64),
        roofs.far_gb
    )
}

fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { 100.0 * part / whole } else { 0.0 }
}
