//! Model files: read within the limit.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::limits::MAX_FILE_BYTES;
use crate::{GraphError, Result};

fn io(path: &Path) -> impl Fn(std::io::Error) -> GraphError {
    let path = path.display().to_string();
    move |source| GraphError::Io { path: path.clone(), source }
}

/// Fails for sizes beyond [`MAX_FILE_BYTES`].
pub(crate) fn check_size(size: u64) -> Result<()> {
    if size <= MAX_FILE_BYTES {
        return Ok(());
    }
    let (value, limit) = (size, MAX_FILE_BYTES);
    Err(GraphError::Limit { place: "file".into(), what: "size in bytes", value, limit })
}

/// The bytes of a file. Fails where it cannot be read or is too large.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(io(path))?;
    let size = file.metadata().map_err(io(path))?.len();
    let place = path.display().to_string();
    check_size(size).map_err(|e| e.in_file(&place))?;
    let mut bytes = Vec::with_capacity(size as usize);
    // One more byte than allowed shows a file that grew, or a device without end.
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(io(path))?;
    check_size(bytes.len() as u64).map_err(|e| e.in_file(&place))?;
    Ok(bytes)
}
