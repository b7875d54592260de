//! The networks that a device is measured with.

use std::sync::Arc;
use std::time::Duration;

use edgecut_device::{DeviceProfile, Subject, chosen, subjects};
use edgecut_kernels::Pool;

use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::interrupt;
use crate::progress::Counter;

/// Those whose name has one of `parts` in it; all of them where there is no part.
pub fn named(parts: &[&str]) -> Result<Vec<Subject>> {
    let nets = chosen(parts);
    if !nets.is_empty() {
        return Ok(nets);
    }
    let all: Vec<String> = subjects().into_iter().map(|net| net.name).collect();
    let problem = format!("no network has '{}' in its name", parts.join(", "));
    Err(Failure::input(problem).hint(format!("there are {}", all.join(", "))))
}

/// Measures `nets` on this machine, `each` for so many seconds, under a bar.
pub fn measure(
    nets: &[Subject],
    each: f64,
    global: &Global,
    pool: &Arc<Pool>,
) -> Result<DeviceProfile> {
    let mut told = Told(Counter::new(global, "measure", nets.len() as u64));
    Ok(edgecut_device::measure(nets, pool, Duration::from_secs_f64(each), &mut told)?)
}

/// Shows which network is measured, and stops where Ctrl-C asked for it.
struct Told(Counter);

impl edgecut_device::Progress for Told {
    fn net(&mut self, index: usize, _: usize, name: &str) -> edgecut_device::Result<()> {
        if interrupt::asked() {
            return Err(edgecut_device::DeviceError::Stopped);
        }
        self.0.set(index as u64, || name.into());
        Ok(())
    }
}
