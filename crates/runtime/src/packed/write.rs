//! Writing packed models.

use std::path::Path;
use std::sync::Arc;

use edgecut_graph::file::Draft;
use edgecut_kernels::blob::write_with;

use super::header::Header;
use super::{Facts, MAX_PACKED_PLANS, PackedError, Preface};
use crate::{Plan, Result, RuntimeError};

/// Writes `plans`, compiled from one model for different input shapes, to `path`: whole or not at
/// all. Arrays that are equal are written once.
///
/// # Errors
/// Where there is no plan or more than [`MAX_PACKED_PLANS`], two plans are for the same shapes or
/// different instruction sets, or a node that runs in the interpreter cannot be written as ONNX;
/// and where the file cannot be written.
pub fn pack(plans: &[Arc<Plan>], facts: &Facts, path: &Path) -> Result<()> {
    let invalid = |problem: String| RuntimeError::Packed {
        path: path.to_path_buf(),
        source: PackedError::Invalid { problem },
    };
    let first = plans.first().filter(|_| plans.len() <= MAX_PACKED_PLANS);
    let first = first.ok_or_else(|| {
        invalid(format!("{} plans, there may be 1 to {MAX_PACKED_PLANS}", plans.len()))
    })?;
    for (i, plan) in plans.iter().enumerate() {
        let shapes = plan.input_shapes();
        if plans[..i].iter().any(|other| other.takes(&shapes)) {
            return Err(invalid(format!("two plans for the shapes {shapes:?}")));
        }
        if plan.isa() != first.isa() {
            return Err(invalid("plans for different instruction sets".into()));
        }
    }
    let steps = plans.iter().flat_map(|plan| plan.steps());
    let mut interpreted: Vec<String> =
        steps.filter(|step| step.kind == "reference").map(|step| step.name.clone()).collect();
    interpreted.sort();
    interpreted.dedup();
    let preface = Preface { facts: facts.clone(), interpreted };
    let (metadata, data) = write_with(|| {
        let mut bytes = postcard::to_stdvec(&preface)?;
        bytes.extend(postcard::to_stdvec(plans)?);
        Ok(bytes)
    });
    let metadata = metadata.map_err(|e: postcard::Error| invalid(e.to_string()))?;
    let (header, gap) = Header::of(&metadata, &data, first.isa());
    let draft = Draft::new(path, |out| {
        out.write_all(&header)?;
        out.write_all(&metadata)?;
        out.write_all(&vec![0; gap])?;
        out.write_all(&data)
    })?;
    Ok(draft.publish()?)
}
