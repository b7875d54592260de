//! Models on disk.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::encode::Encoded;
use crate::{GraphError, Result};

fn error(path: &Path) -> impl Fn(io::Error) -> GraphError {
    let path = path.display().to_string();
    move |source| GraphError::Io { path: path.clone(), source }
}

fn invalid(path: &Path, problem: &'static str) -> GraphError {
    error(path)(io::Error::new(io::ErrorKind::InvalidInput, problem))
}

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

/// A complete file under a temporary name, removed where it is not published.
struct Draft {
    temporary: PathBuf,
    path: PathBuf,
}

impl Draft {
    fn new(path: &Path, content: impl Fn(&mut dyn Write) -> io::Result<()>) -> Result<Draft> {
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

    fn publish(self) -> Result<()> {
        std::fs::rename(&self.temporary, &self.path).map_err(error(&self.path))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Nothing to remove, and nothing to report, where it was renamed or never made.
        let _ = std::fs::remove_file(&self.temporary);
    }
}
