//! The least time that a machine needs for a step (Williams, Waterman and Patterson, "Roofline", CACM
//! 2009).

use edgecut_kernels::roofline::Peaks;
use serde::{Deserialize, Serialize};

use crate::Work;

/// Peak rates of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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

/// What limits a step from below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Multiply-adds.
    Compute,
    /// Bytes.
    Memory,
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

    /// The higher of both in each figure.
    pub(crate) fn highest(self, other: Roofs) -> Roofs {
        Roofs {
            f32_gmacs: self.f32_gmacs.max(other.f32_gmacs),
            int8_gmacs: self.int8_gmacs.max(other.int8_gmacs),
            near_gb: self.near_gb.max(other.near_gb),
            far_gb: self.far_gb.max(other.far_gb),
            ..self
        }
    }

    /// Multiply-adds a second, in units of 10^9, of a step of this kind.
    pub fn gmacs(&self, kind: &str) -> f64 {
        if kind.ends_with("int8") { self.int8_gmacs } else { self.f32_gmacs }
    }

    /// The least microseconds for `work`, and what they are made of. `resident`: all of the plan's
    /// weights and activations fit into the cores' own caches.
    pub fn least_us(&self, work: &Work, resident: bool) -> (f64, Bound) {
        let compute = work.macs as f64 / self.gmacs(&work.kind) / 1e3;
        let memory = self.memory_us(work, resident);
        let bound = if compute >= memory { Bound::Compute } else { Bound::Memory };
        (compute.max(memory), bound)
    }

    /// The least time for the bytes of a step. What it reads and writes between steps comes from the
    /// cores' own caches where all of it fits there, else from beyond. Its weights come from beyond,
    /// because everything else has passed through the caches since the last run, unless the whole
    /// plan fits.
    fn memory_us(&self, work: &Work, resident: bool) -> f64 {
        let weights = work.weight_bytes.min(work.bytes);
        let activations = work.bytes - weights;
        let rate = |near: bool| if near { self.near_gb } else { self.far_gb };
        let between = activations as f64 / rate(activations <= self.near_bytes as u64) / 1e3;
        between + weights as f64 / rate(resident) / 1e3
    }
}

#[cfg(test)]
pub(crate) mod tests {
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

    fn work(bytes: u64, weight_bytes: u64) -> Work {
        let (kind, form) = ("conv".into(), String::new());
        Work { kind, shape: vec![1, 8, 4, 4], form, macs: 0, bytes, weight_bytes }
    }

    #[test]
    fn bytes_come_from_where_they_fit() {
        let roofs = roofs();
        // 150 kB from L2 take 1 us, 30 kB of weights from beyond another one.
        assert!((roofs.memory_us(&work(180_000, 30_000), false) - 2.0).abs() < 1e-9);
        assert!((roofs.memory_us(&work(180_000, 30_000), true) - 1.2).abs() < 1e-9);
        // 3 MB fit into no L2 of 1 MiB.
        assert!((roofs.memory_us(&work(3_000_000, 0), true) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn integers_have_their_own_roof() {
        assert_eq!(roofs().gmacs("conv.int8"), 400.0);
        assert_eq!(roofs().gmacs("conv"), 100.0);
        let step = Work { macs: 1_000_000, ..work(1_000, 0) };
        assert_eq!(roofs().least_us(&step, true), (10.0, Bound::Compute));
    }
}
