//! Models on disk.

use std::path::Path;

use super::encode::Encoded;
use crate::Result;
use crate::file::{Draft, invalid};

/// Name of the file with the weights of the model at `path`.
pub(super) fn data_name(path: &Path) -> Result<String> {
    let name = path.file_name().ok_or_else(|| invalid(path, "is not the name of a file"))?;
    let name = name.to_str().ok_or_else(|| invalid(path, "its name must be text in UTF-8"))?;
    Ok(format!("{name}.data"))
}

/// Writes `model` to `path`, and what it keeps outside beside it. Nothing is renamed before
/// everything is on the disk.
pub(super) fn write(model: &Encoded, path: &Path) -> Result<()> {
    let data = match model.has_external() {
        true => {
            let data = path.with_file_name(data_name(path)?);
            Some(Draft::new(&data, |out| model.write_external(out))?)
        }
        false => None,
    };
    let draft = Draft::new(path, |out| model.write(out))?;
    // The model last: where it is new, so is what it refers to.
    data.map_or(Ok(()), Draft::publish)?;
    draft.publish()
}
