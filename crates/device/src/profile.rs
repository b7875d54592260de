//! The file that a device is known by.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::energy::EnergyModel;
use crate::{DeviceError, Fit, Machine, Result, Roofs, Work};

/// Form of the file; another one is refused.
const FORMAT: u32 = 1;

/// Largest file that is read.
const MAX_BYTES: u64 = 64 << 20;

/// What was measured on a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceProfile {
    /// Form of the file.
    pub format: u32,
    /// The device.
    pub machine: Machine,
    /// What it can do at most.
    pub roofs: Roofs,
    /// Energy by model.
    pub energy: EnergyModel,
    /// What the sum of steps is worth in a whole run.
    pub fit: Fit,
    /// Runs of whole networks.
    pub nets: Vec<Whole>,
    /// Steps.
    pub entries: Vec<Entry>,
}

/// One step that was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its network, an index of [`DeviceProfile::nets`].
    pub net: usize,
    /// What it had to do.
    #[serde(flatten)]
    pub work: Work,
    /// Median microseconds.
    pub us: f64,
}

/// A network that was run as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Whole {
    /// Its name.
    pub name: String,
    /// Whether everything fits into the cores' own caches.
    pub resident: bool,
    /// Steps.
    pub steps: usize,
    /// Microseconds of a run; one in ten was faster.
    pub us: f64,
    /// Microseconds predicted from the steps of all other networks, before the fit; none where one
    /// of its kinds of steps occurs in no other.
    pub predicted_us: Option<f64>,
}

impl DeviceProfile {
    /// Puts the measurements together: predicts each network from the others, and fits.
    pub fn new(
        machine: Machine,
        roofs: Roofs,
        nets: Vec<Whole>,
        entries: Vec<Entry>,
    ) -> DeviceProfile {
        let (energy, fit) = (EnergyModel::default(), Fit::default());
        let mut profile =
            DeviceProfile { format: FORMAT, machine, roofs, energy, fit, nets, entries };
        let predicted: Vec<Option<f64>> =
            (0..profile.nets.len()).map(|index| profile.leave_out(index)).collect();
        for (net, predicted) in profile.nets.iter_mut().zip(predicted) {
            net.predicted_us = predicted;
        }
        profile.fit = Fit::of(&profile.nets);
        profile
    }

    /// The sum of the steps of network `index` from what was measured on the others.
    fn leave_out(&self, index: usize) -> Option<f64> {
        let resident = self.nets[index].resident;
        let steps = self.entries.iter().filter(|entry| entry.net == index);
        steps.map(|entry| self.step_us(&entry.work, resident, Some(index))).sum()
    }

    /// Reads a profile.
    ///
    /// # Errors
    /// Where the file cannot be read, is of another form, or has numbers that no device has.
    pub fn read(path: &Path) -> Result<DeviceProfile> {
        let fail = |problem: String| DeviceError::File { path: path.into(), problem };
        let size = std::fs::metadata(path).map_err(|e| fail(e.to_string()))?.len();
        if size > MAX_BYTES {
            return Err(fail(format!("{size} bytes; a profile has at most {MAX_BYTES}")));
        }
        let text = std::fs::read(path).map_err(|e| fail(e.to_string()))?;
        let profile: DeviceProfile = serde_json::from_slice(&text)
            .map_err(|e| fail(format!("is no device profile: {e}")))?;
        profile.check().map_err(fail)?;
        Ok(profile)
    }

    /// Says which number no device has, for a profile that came from elsewhere.
    ///
    /// # Errors
    /// The field and what is expected of it.
    pub fn check(&self) -> std::result::Result<(), String> {
        if self.format != FORMAT {
            let (found, hint) = (self.format, "measure it again: edgecut device measure");
            return Err(format!("has form {found}, this version reads {FORMAT}; {hint}"));
        }
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let r = &self.roofs;
        if ![r.f32_gmacs, r.int8_gmacs, r.near_gb, r.far_gb].into_iter().all(positive) {
            return Err("roofs: every rate must be above 0".into());
        }
        let spread = self.fit.spread;
        if !(positive(self.fit.factor) && positive(spread) && spread >= 1.0) {
            return Err("fit: the factor must be above 0 and the spread at least 1".into());
        }
        let wrong = |e: &Entry| !positive(e.us) || e.work.weight_bytes > e.work.bytes;
        match self.entries.iter().position(wrong) {
            Some(at) => {
                Err(format!("entries[{at}]: needs a time above 0 and weights within bytes"))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(net: usize, macs: u64, us: f64) -> Entry {
        let work = Work {
            kind: "pointwise".into(),
            shape: vec![1, 16, 8, 8],
            form: String::new(),
            macs,
            bytes: 1_000,
            weight_bytes: 100,
        };
        Entry { net, work, us }
    }

    fn profile() -> DeviceProfile {
        let net = |us: f64| Whole {
            name: "net".into(),
            resident: true,
            steps: 1,
            us,
            predicted_us: None,
        };
        // At 100 GMAC/s half of the roof is 20 us for a million multiply-adds.
        let entries = vec![entry(0, 1_000_000, 20.0), entry(1, 2_000_000, 40.0)];
        let roofs = crate::roof::tests::roofs();
        DeviceProfile::new(Machine::this(1), roofs, vec![net(22.0), net(44.0)], entries)
    }

    #[test]
    fn networks_are_predicted_from_the_others() {
        let profile = profile();
        let predicted: Vec<f64> = profile.nets.iter().filter_map(|n| n.predicted_us).collect();
        assert!((predicted[0] - 20.0).abs() < 1e-9 && (predicted[1] - 40.0).abs() < 1e-9);
        assert!((profile.fit.factor - 1.1).abs() < 1e-9 && profile.fit.spread >= 1.0);
        let other = Work { kind: "depthwise".into(), ..entry(0, 1, 1.0).work };
        assert_eq!(profile.step_us(&other, true, None), None, "nothing of its kind");
    }

    #[test]
    fn what_is_written_is_read_and_nonsense_is_refused() {
        let folder = std::env::temp_dir().join(format!("edgecut-device-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("device.json");
        let read = |profile: &DeviceProfile| {
            std::fs::write(&path, serde_json::to_vec(profile).unwrap()).unwrap();
            DeviceProfile::read(&path).map_err(|e| e.to_string())
        };
        assert_eq!(read(&profile()), Ok(profile()));
        let other = DeviceProfile { format: 2, ..profile() };
        assert!(read(&other).unwrap_err().contains("has form 2"));
        let mut still = profile();
        still.roofs.far_gb = 0.0;
        assert!(read(&still).unwrap_err().contains("roofs"));
        let mut backwards = profile();
        backwards.entries[1].us = -1.0;
        assert!(read(&backwards).unwrap_err().contains("entries[1]"));
        std::fs::write(&path, b"{}").unwrap();
        assert!(DeviceProfile::read(&path).unwrap_err().to_string().contains("no device profile"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
