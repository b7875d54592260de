//! Energy: counted by the processor where it does, else by a model with stated constants.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Work;

/// Picojoules of operations. The default is a 45 nm process at 0.9 V (Horowitz, "Computing's Energy
/// Problem", ISSCC 2014, figure 1.1.9): a model that ranks networks, not a measurement of a device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnergyModel {
    /// A float32 multiply-add: 3.7 for the product, 0.9 for the sum.
    pub pj_f32_mac: f64,
    /// An 8-bit multiply-add into 32 bits: 0.2 for the product, 0.1 for the sum.
    pub pj_int8_mac: f64,
    /// A byte of a 1 MiB cache: 100 for eight.
    pub pj_near_byte: f64,
    /// A byte of DRAM: 1300 to 2600 for eight; the lower end.
    pub pj_far_byte: f64,
}

impl Default for EnergyModel {
    fn default() -> EnergyModel {
        EnergyModel {
            pj_f32_mac: 3.7 + 0.9,
            pj_int8_mac: 0.2 + 0.1,
            pj_near_byte: 100.0 / 8.0,
            pj_far_byte: 1300.0 / 8.0,
        }
    }
}

impl EnergyModel {
    /// Joules of a step. Weights come from DRAM unless the whole plan fits into the caches.
    pub fn joules(&self, work: &Work, resident: bool) -> f64 {
        let mac = if work.kind.ends_with("int8") { self.pj_int8_mac } else { self.pj_f32_mac };
        let weight = if resident { self.pj_near_byte } else { self.pj_far_byte };
        let activations = (work.bytes - work.weight_bytes) as f64 * self.pj_near_byte;
        let picojoules = work.macs as f64 * mac + activations + work.weight_bytes as f64 * weight;
        picojoules * 1e-12
    }
}

/// The energy counters of the processor packages (Intel SDM volume 3, "Running Average Power Limit";
/// Linux's powercap).
#[derive(Debug)]
pub struct Rapl {
    packages: Vec<Package>,
}

#[derive(Debug)]
struct Package {
    counter: PathBuf,
    /// Microjoules after which the counter starts again.
    range: u64,
}

impl Rapl {
    /// The counters, where this machine has them and lets this process read them.
    pub fn open() -> Option<Rapl> {
        let folders = fs::read_dir("/sys/class/powercap").ok()?;
        let package = |folder: fs::DirEntry| {
            // Packages are intel-rapl:N; their parts, intel-rapl:N:M, would count twice.
            let name = folder.file_name().into_string().ok()?;
            (name.starts_with("intel-rapl:") && name.matches(':').count() == 1).then_some(())?;
            let counter = folder.path().join("energy_uj");
            let range = number(&folder.path().join("max_energy_range_uj"))?;
            number(&counter).map(|_| Package { counter, range })
        };
        let packages: Vec<Package> = folders.flatten().filter_map(package).collect();
        (!packages.is_empty()).then_some(Rapl { packages })
    }

    /// What the counters say now.
    pub fn read(&self) -> Option<Vec<u64>> {
        self.packages.iter().map(|package| number(&package.counter)).collect()
    }

    /// Joules from one reading to another, which must not be so far apart that a counter starts
    /// again twice (about an hour at 70 W).
    pub fn joules(&self, before: &[u64], after: &[u64]) -> f64 {
        let each = self.packages.iter().zip(before.iter().zip(after));
        let microjoules = each.map(|(package, (&b, &a))| match a >= b {
            true => a - b,
            false => package.range.saturating_sub(b) + a,
        });
        microjoules.sum::<u64>() as f64 * 1e-6
    }
}

fn number(path: &std::path::Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_starts_again_goes_on() {
        let package = Package { counter: PathBuf::new(), range: 1_000_000 };
        let rapl = Rapl { packages: vec![package] };
        assert_eq!(rapl.joules(&[200_000], &[700_000]), 0.5);
        assert!((rapl.joules(&[900_000], &[100_000]) - 0.2).abs() < 1e-12);
    }

    #[test]
    fn integers_and_caches_are_cheaper() {
        let work = |kind: &str| Work {
            kind: kind.into(),
            shape: vec![1, 8, 4, 4],
            form: String::new(),
            macs: 1_000_000,
            bytes: 1_000,
            weight_bytes: 200,
        };
        let model = EnergyModel::default();
        let (float, int8) = (work("pointwise"), work("pointwise.int8"));
        assert!(model.joules(&int8, true) < model.joules(&float, true));
        // 4.6 uJ of products, 800 x 12.5 pJ and 200 x 162.5 pJ of bytes.
        assert!((model.joules(&float, false) - 4.6425e-6).abs() < 1e-12);
    }
}
