//! Weights stored in files beside the model.
//!
//! A model is data from somewhere else, so what it may read is narrow: regular files below the
//! model's own folder, by relative paths without `..`, also after symbolic links are followed.
//! Each file may be used for as many bytes as it has, all tensors together: otherwise a small
//! model could load the same gigabyte a thousand times. Tensors that are the same bytes share
//! their memory, and count once.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use super::proto::StringStringEntryProto;
use crate::{Data, GraphError, Result};

/// Reads external tensors relative to one folder.
pub(super) struct External {
    folder: Option<PathBuf>,
    /// Bytes of each file that may still be read.
    left: HashMap<PathBuf, u64>,
    /// What was read so far.
    known: HashMap<Place, Data>,
}

/// File, offset, bytes and element type of a tensor.
type Place = (PathBuf, u64, u64, i32);

impl External {
    /// No folder: every external tensor is refused.
    pub fn none() -> External {
        External { folder: None, left: HashMap::new(), known: HashMap::new() }
    }

    /// Files below the folder that holds `model`.
    pub fn beside(model: &Path) -> External {
        let folder = match model.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        External { folder: Some(folder.to_path_buf()), ..External::none() }
    }

    /// The elements of type `kind` in the `needs` bytes that `entries` (location, offset, length)
    /// point to, as `decode` reads them: straight from the file, and `None` where one is outside
    /// the type. `place` names the tensor in errors.
    pub fn read(
        &mut self,
        entries: &[StringStringEntryProto],
        kind: i32,
        needs: usize,
        place: &str,
        decode: impl FnOnce(&mut dyn Read) -> io::Result<Option<Data>>,
    ) -> Result<Option<Data>> {
        let malformed = |problem: String| GraphError::Malformed { place: place.into(), problem };
        let entry = |key: &str| entries.iter().find(|e| e.key() == key).map(|e| e.value());
        let number = |key: &str, default: u64| match entry(key) {
            None => Ok(default),
            Some(text) => text.parse::<u64>().map_err(|_| {
                malformed(format!("external {key} is '{text}', needs a number from 0"))
            }),
        };
        let (offset, length) = (number("offset", 0)?, number("length", needs as u64)?);
        if length != needs as u64 {
            return Err(malformed(format!("has {length} external bytes, needs {needs}")));
        }
        let location = entry("location").unwrap_or_default();
        let path = self.locate(location).map_err(malformed)?;
        let key = (path.clone(), offset, length, kind);
        if let Some(data) = self.known.get(&key) {
            return Ok(Some(data.clone()));
        }
        let io = |source| GraphError::Io { path: path.display().to_string(), source };
        let mut file = File::open(&path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        if !metadata.is_file() {
            return Err(malformed(format!("external file '{location}' is not a regular file")));
        }
        if offset.checked_add(length).is_none_or(|end| end > metadata.len()) {
            let size = metadata.len();
            return Err(malformed(format!(
                "needs bytes {offset}+{length} of '{location}', which has {size}: is it truncated?"
            )));
        }
        let left = self.left.entry(path.clone()).or_insert(metadata.len());
        *left = left.checked_sub(length).ok_or_else(|| GraphError::Limit {
            place: place.into(),
            what: "total of bytes read from an external file",
            value: metadata.len().saturating_add(length),
            limit: metadata.len(),
        })?;
        file.seek(SeekFrom::Start(offset)).map_err(io)?;
        let data = decode(&mut file.take(length)).map_err(io)?;
        if let Some(data) = &data {
            self.known.insert(key, data.clone());
        }
        Ok(data)
    }

    fn locate(&self, location: &str) -> std::result::Result<PathBuf, String> {
        let Some(folder) = &self.folder else {
            return Err("is external data: import the model from its path".into());
        };
        let relative = Path::new(location);
        let plain = |c: Component| matches!(c, Component::Normal(_) | Component::CurDir);
        if location.is_empty() || !relative.components().all(plain) {
            return Err(format!(
                "external location '{location}' must be a relative path without '..'"
            ));
        }
        let missing = |e: std::io::Error| format!("external file '{location}': {e}");
        let folder = folder.canonicalize().map_err(missing)?;
        let path = folder.join(relative).canonicalize().map_err(missing)?;
        if !path.starts_with(&folder) {
            return Err(format!("external file '{location}' links outside the model's folder"));
        }
        Ok(path)
    }
}
