//! Model files: read within the limit, written whole or not at all.

use std::fs::File;
use std::io::{Read, Write};
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

/// Writes `bytes` to a temporary file in the same folder, then renames it to `path`.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let io = |source| GraphError::Io { path: path.display().to_string(), source };
    let name = path.file_name().ok_or_else(|| {
        io(std::io::Error::new(std::io::ErrorKind::InvalidInput, "is not the name of a file"))
    })?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(temporary);
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|source| {
        // Nothing to report where the temporary file was never made.
        let _ = std::fs::remove_file(&temporary);
        io(source)
    })
}
