//! One line of the table.

use serde::{Deserialize, Serialize};

use super::Precision;
use super::runtime::Runtime;
use super::worker::End;

/// What was measured of one runtime on one model; what was not is `None`, and `note` says why.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    pub model: String,
    pub runtime: String,
    pub version: Option<String>,
    pub precision: String,
    pub threads: usize,
    pub min_ms: Option<f64>,
    pub median_ms: Option<f64>,
    pub p90_ms: Option<f64>,
    /// From the file to a model that is ready to run, the library already loaded.
    pub load_ms: Option<f64>,
    /// Peak resident memory of the process, in millions of bytes.
    pub rss_mb: Option<f64>,
    /// Of it, before the runtime came: the interpreter and the input.
    pub host_rss_mb: Option<f64>,
    /// Activation memory, where the runtime tells it.
    pub arena_mb: Option<f64>,
    pub runs: usize,
    /// Largest difference to ONNX Runtime's float32 outputs over their largest magnitude.
    pub relative_error: Option<f64>,
    /// Whether the outputs are those of ONNX Runtime, so that the time counts.
    pub counted: bool,
    pub note: Option<String>,
    /// Where it was measured.
    pub machine: String,
}

impl Row {
    /// A row without measurements.
    pub fn new(
        model: &str,
        runtime: Runtime,
        version: Option<&str>,
        precision: Precision,
        threads: usize,
    ) -> Row {
        Row {
            model: model.into(),
            runtime: runtime.name().into(),
            version: version.map(String::from),
            precision: precision.name().into(),
            threads,
            min_ms: None,
            median_ms: None,
            p90_ms: None,
            load_ms: None,
            rss_mb: None,
            host_rss_mb: None,
            arena_mb: None,
            runs: 0,
            relative_error: None,
            counted: false,
            note: None,
            machine: machine(),
        }
    }

    /// What identifies a measurement.
    pub fn key(&self) -> (&str, &str, &str, usize) {
        (&self.model, &self.runtime, &self.precision, self.threads)
    }

    /// Enters what a worker measured, and whether it computed what `reference` holds.
    pub fn fill(
        &mut self,
        mut times: Vec<f64>,
        end: &End,
        reference: Option<&[f32]>,
        precision: Precision,
    ) {
        times.sort_by(f64::total_cmp);
        let megabytes = |kib: u64| kib as f64 * 1024.0 / 1e6;
        self.runs = times.len();
        self.min_ms = times.first().copied();
        self.median_ms = quantile(&times, 0.5);
        self.p90_ms = quantile(&times, 0.9);
        self.load_ms = Some(end.load_ms);
        self.rss_mb = Some(megabytes(end.rss_kib));
        self.host_rss_mb = Some(megabytes(end.host_rss_kib));
        self.arena_mb = end.arena_bytes.map(|b| b as f64 / 1e6);
        let Some(reference) = reference else {
            self.note = Some("outputs not compared: needs ONNX Runtime".into());
            self.counted = true;
            return;
        };
        let error = relative_error(&end.output, reference);
        self.counted = error <= precision.tolerance();
        if !self.counted {
            self.note = Some("computes something else, not counted".into());
        }
        self.relative_error = error.is_finite().then_some(error);
    }
}

/// Nearest-rank quantile.
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// Infinite where the lengths differ or anything is not finite.
fn relative_error(found: &[f32], expected: &[f32]) -> f64 {
    if found.len() != expected.len() || found.iter().any(|v| !v.is_finite()) {
        return f64::INFINITY;
    }
    let difference = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).abs();
    let largest = found.iter().zip(expected).map(difference).fold(0.0, f64::max);
    let scale = expected.iter().map(|v| f64::from(v.abs())).fold(0.0, f64::max);
    if largest == 0.0 { 0.0 } else { largest / scale }
}

/// The processor and how many of it there are.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|l| l.strip_prefix("model name")?.split_once(':'));
    let name = name.map_or(std::env::consts::ARCH, |(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{name}, {cores} processors, {}", edgecut_kernels::Isa::detect().name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_outputs_do_not_count() {
        let end = |output: Vec<f32>| End {
            load_ms: 1.0,
            rss_kib: 1000,
            host_rss_kib: 0,
            arena_bytes: None,
            output,
        };
        let filled = |output: Vec<f32>| {
            let mut row = Row::new("m", Runtime::Tract, None, Precision::F32, 1);
            row.fill(vec![3.0, 1.0, 2.0], &end(output), Some(&[2.0, -4.0]), Precision::F32);
            row
        };
        let same = filled(vec![2.0, -4.0]);
        assert_eq!((same.counted, same.relative_error), (true, Some(0.0)));
        assert_eq!((same.min_ms, same.median_ms, same.p90_ms), (Some(1.0), Some(2.0), Some(3.0)));
        let other = filled(vec![2.0, -3.0]);
        assert_eq!((other.counted, other.relative_error), (false, Some(0.25)));
        for wrong in [vec![2.0], vec![f32::NAN, -4.0]] {
            assert!(!filled(wrong).counted);
        }
    }
}
