//! The networks that a device is measured with.

use edgecut_device::{Subject, chosen, subjects};

use crate::errors::{Failure, Result};

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
