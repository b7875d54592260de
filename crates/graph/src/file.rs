//! Model files: read within the limit, written whole or not at all.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::limits::MAX_FILE_BYTES;
use crate::{GraphError, Result};

fn error(path: &Path) -> impl Fn(io::Error) -> GraphError {
    let path = path.display().to_string();
    move |source| GraphError::Io { path: path.clone(), source }
}

/// The error for a path that cannot be one of a model.
pub(crate) fn invalid(path: &Path, problem: &'static str) -> GraphError {
    error(path)(io::Error::new(io::ErrorKind::InvalidInput, problem))
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
    let file = File::open(path).map_err(error(path))?;
    let size = file.metadata().map_err(error(path))?.len();
    let place = path.display().to_string();
    check_size(size).map_err(|e| e.in_file(&place))?;
    let mut bytes = Vec::with_capacity(size as usize);
    // One more byte than allowed shows a file that grew, or a device without end.
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(error(path))?;
    check_size(bytes.len() as u64).map_err(|e| e.in_file(&place))?;
    Ok(bytes)
}

/// Writes `bytes` to `path`, whole or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    Draft::new(path, |out| out.write_all(bytes))?.publish()
}

/// A complete file under a temporary name in the same folder, removed where it is not published.
pub struct Draft {
    temporary: PathBuf,
    path: PathBuf,
}

impl Draft {
    /// Writes `content` and waits until it is on the disk.
    pub fn new(
        path: &Path,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<Draft> {
        let name = path.file_name().ok_or_else(|| invalid(path, "is not the name of a file"))?;
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}.tmp", std::process::id()));
        let draft = Draft { temporary: path.with_file_name(temporary), path: path.to_path_buf() };
        let written = File::create(&draft.temporary).and_then(|file| {
            let mut out = BufWriter::with_capacity(1 << 16, file);
            content(&mut out)?;
            out.into_inner()?.sync_all()
        });
        written.map_err(error(path))?;
        Ok(draft)
    }

    /// Gives the file its name.
    pub fn publish(self) -> Result<()> {
        std::fs::rename(&self.temporary, &self.path).map_err(error(&self.path))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Nothing to remove, and nothing to report, where it was renamed or never made.
        let _ = std::fs::remove_file(&self.temporary);
    }
}
