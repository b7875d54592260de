//! Writing packed models.

use std::path::Path;
use std::sync::Arc;

use edgecut_graph::file::Draft;
use edgecut_kernels::blob::{Written, write_with};

use super::header::Header;
use super::{Facts, MAX_PACKED_PLANS, PackedError, Preface};
use crate::{Plan, Result, RuntimeError};

/// How the arrays of a packed model are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// As they are, used where the file is mapped.
    #[default]
    Plain,
    /// Entropy-coded, where that is smaller: opening decodes them into memory.
    #[cfg(feature = "coded")]
    Coded,
}

impl Storage {
    /// The data section for `written`, and the bytes that it decodes to where it is coded.
    fn section(self, written: Written) -> (Vec<u8>, Option<usize>) {
        #[cfg(feature = "coded")]
        if self == Storage::Coded
            && let Some(coded) = super::coded::encode(&written)
        {
            return (coded, Some(written.bytes.len()));
        }
        (written.bytes, None)
    }
}

/// Writes `plans`, compiled from one model for different input shapes, to `path`: whole or not at
/// all. Arrays that are equal are written once.
///
/// # Errors
/// Where there is no plan or more than [`MAX_PACKED_PLANS`], two plans are for the same shapes or
/// different instruction sets, or a node that runs in the interpreter cannot be written as ONNX;
/// and where the file cannot be written.
pub fn pack(plans: &[Arc<Plan>], facts: &Facts, storage: Storage, path: &Path) -> Result<()> {
    let source = |source| RuntimeError::Packed { path: path.to_path_buf(), source };
    let sections = Sections::of(plans, facts, storage).map_err(source)?;
    let draft = Draft::new(path, |out| {
        out.write_all(&sections.header)?;
        out.write_all(&sections.metadata)?;
        out.write_all(&vec![0; sections.gap])?;
        out.write_all(&sections.data)
    })?;
    Ok(draft.publish()?)
}

/// Bytes of the file that [`pack`] would write.
///
/// # Errors
/// As [`pack`], but for those of the file.
pub fn packed_bytes(
    plans: &[Arc<Plan>],
    facts: &Facts,
    storage: Storage,
) -> std::result::Result<usize, PackedError> {
    let Sections { header, metadata, gap, data } = Sections::of(plans, facts, storage)?;
    Ok(header.len() + metadata.len() + gap + data.len())
}

/// What a file consists of, in order; between metadata and data are `gap` zeros.
struct Sections {
    header: Vec<u8>,
    metadata: Vec<u8>,
    gap: usize,
    data: Vec<u8>,
}

impl Sections {
    fn of(
        plans: &[Arc<Plan>],
        facts: &Facts,
        storage: Storage,
    ) -> std::result::Result<Sections, PackedError> {
        let invalid = |problem: String| PackedError::Invalid { problem };
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
        let (data, decoded) = storage.section(data);
        let (header, gap) = Header::of(&metadata, &data, decoded, first.isa());
        Ok(Sections { header: header.to_vec(), metadata, gap, data })
    }
}
