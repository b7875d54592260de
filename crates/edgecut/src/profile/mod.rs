//! Where the time of a run goes, step by step, and how far each step is from what this machine can
//! do at most (`edgecut bench --profile`).

mod icicle;
mod page;
mod scatter;

use edgecut_kernels::roofline::Peaks;
use edgecut_runtime::{Plan, Profile};
use serde::Serialize;

use crate::term;

pub use page::{Head, page};

/// The peak rates that shares are of.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Roofs {
    /// Threads that measured them, all together.
    pub threads: usize,
    /// float32 multiply-adds a second, in units of 10^9.
    pub f32_gmacs: f64,
    /// 8-bit multiply-adds a second, in units of 10^9.
    pub int8_gmacs: f64,
    /// Bandwidth of the cores' own caches (L2), 10^9 bytes a second.
    pub near_gb: f64,
    /// What they hold, in bytes.
    pub near_bytes: usize,
    /// Bandwidth of what lies behind them, shared cache or memory, 10^9 bytes a second.
    pub far_gb: f64,
}

impl Roofs {
    /// In units that people read.
    pub fn of(peaks: &Peaks) -> Roofs {
        Roofs {
            threads: peaks.threads,
            f32_gmacs: peaks.f32_macs / 1e9,
            int8_gmacs: peaks.int8_macs / 1e9,
            near_gb: peaks.near / 1e9,
            near_bytes: peaks.near_bytes,
            far_gb: peaks.far / 1e9,
        }
    }

    /// Multiply-adds a second, in units of 10^9, of a step of this kind.
    fn gmacs(&self, kind: &str) -> f64 {
        if kind.ends_with("int8") { self.int8_gmacs } else { self.f32_gmacs }
    }
}

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

/// What limits a step from below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Multiply-adds.
    Compute,
    /// Bytes.
    Memory,
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
        let steps: Vec<Step> = profile
            .steps
            .into_iter()
            .enumerate()
            .map(|(index, s)| {
                let weights = plan.step_weight_bytes(index) as u64;
                let (info, median_us) = (s.info, s.ns as f64 / 1e3);
                let compute = info.macs as f64 / roofs.gmacs(&info.kind) / 1e3;
                let memory = memory_us(info.bytes, weights, resident, roofs);
                let roof_us = compute.max(memory);
                Step {
                    name: info.name,
                    kind: info.kind.into(),
                    shape: info.shape,
                    median_us,
                    share: 100.0 * s.share,
                    macs: info.macs,
                    bytes: info.bytes,
                    weight_bytes: weights,
                    intensity: info.macs as f64 / info.bytes.max(1) as f64,
                    roof_us,
                    roofline: percent(roof_us, median_us),
                    bound: if compute >= memory { Bound::Compute } else { Bound::Memory },
                }
            })
            .collect();
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
            roofs.describe(),
        )
    }
}

impl Roofs {
    /// The figures in a line.
    pub fn describe(&self) -> String {
        format!(
            "{:.0} GMAC/s float32, {:.0} GMAC/s int8, {:.0} GB/s from {} of L2, {:.0} GB/s from beyond",
            self.f32_gmacs,
            self.int8_gmacs,
            self.near_gb,
            term::bytes(self.near_bytes as u64),
            self.far_gb
        )
    }
}

/// The least time for the bytes of a step. What it reads and writes between steps comes from the
/// cores' own caches where all of it fits there, else from beyond. Its weights come from beyond,
/// because everything else has passed through the caches since the last run, unless the whole plan
/// fits (`resident`).
fn memory_us(bytes: u64, weights: u64, resident: bool, roofs: &Roofs) -> f64 {
    let weights = weights.min(bytes);
    let activations = bytes - weights;
    let near = |gb: bool| if gb { roofs.near_gb } else { roofs.far_gb };
    let between = activations as f64 / near(activations <= roofs.near_bytes as u64) / 1e3;
    between + weights as f64 / near(resident) / 1e3
}

fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { 100.0 * part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn roofs() -> Roofs {
        Roofs {
            threads: 1,
            f32_gmacs: 100.0,
            int8_gmacs: 400.0,
            near_gb: 150.0,
            near_bytes: 1 << 20,
            far_gb: 30.0,
        }
    }

    #[test]
    fn bytes_come_from_where_they_fit() {
        let roofs = roofs();
        // 150 kB from L2 take 1 µs, 30 kB of weights from beyond another one.
        assert!((memory_us(180_000, 30_000, false, &roofs) - 2.0).abs() < 1e-9);
        assert!((memory_us(180_000, 30_000, true, &roofs) - 1.2).abs() < 1e-9);
        // 3 MB fit into no L2 of 1 MiB.
        assert!((memory_us(3_000_000, 0, true, &roofs) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn integers_have_their_own_roof() {
        assert_eq!(roofs().gmacs("conv.int8"), 400.0);
        assert_eq!(roofs().gmacs("conv"), 100.0);
    }
}
