//! Entries of a ZIP archive, stored or deflated, as NumPy's `.npz` is one.
//!
//! A hostile archive must not make this crate allocate: the size that an entry declares is checked
//! against what DEFLATE could produce from it before anything is read.

use super::limits::{MAX_ARCHIVE_ENTRIES, MAX_DEFLATE_RATIO, MAX_SET_BYTES};
use super::read::{open_file, read_at_most};
use super::{DataError, Result};
use flate2::read::DeflateDecoder;
use rawzip::{
    CompressionMethod, FileReader, RECOMMENDED_BUFFER_SIZE, ZipArchive, ZipArchiveEntryWayfinder,
};
use std::path::{Path, PathBuf};

/// One file of an archive.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub name: String,
    method: CompressionMethod,
    place: ZipArchiveEntryWayfinder,
}

/// An open archive.
pub(crate) struct Archive {
    path: PathBuf,
    file: ZipArchive<FileReader>,
    size: u64,
    pub entries: Vec<Entry>,
}

impl Archive {
    pub fn open(path: &Path) -> Result<Archive> {
        let broken = |problem: String| DataError::format(path, problem);
        let (file, size) = open_file(path)?;
        let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
        let file = ZipArchive::from_file(file, &mut buffer)
            .map_err(|e| broken(format!("is not a ZIP archive, or is cut off: {e}")))?;
        let count = file.entries_hint();
        if count > MAX_ARCHIVE_ENTRIES as u64 {
            let problem = format!("{count} entries; at most {MAX_ARCHIVE_ENTRIES} are supported");
            return Err(broken(problem));
        }
        let mut entries = Vec::new();
        let mut list = file.entries(&mut buffer);
        for _ in 0..count {
            let entry = list.next_entry().map_err(|e| e.to_string()).transpose();
            let entry = entry.unwrap_or_else(|| Err(format!("it says that it has {count}")));
            let entry = entry.map_err(|e| broken(format!("its list of entries is broken: {e}")))?;
            entries.push(Entry {
                name: String::from_utf8_lossy(entry.file_path().as_bytes()).into_owned(),
                method: entry.compression_method(),
                place: entry.wayfinder(),
            });
        }
        Ok(Archive { path: path.to_path_buf(), file, size, entries })
    }

    /// The uncompressed content of an entry, its CRC verified.
    pub fn read(&self, entry: &Entry) -> Result<Vec<u8>> {
        let Entry { name, method, place } = entry;
        let broken =
            |problem: String| DataError::format(&self.path, format!("entry {name}: {problem}"));
        let [size, compressed] = [place.uncompressed_size_hint(), place.compressed_size_hint()];
        let plausible = match *method {
            CompressionMethod::STORE => size == compressed,
            CompressionMethod::DEFLATE => size <= compressed.saturating_mul(MAX_DEFLATE_RATIO),
            other => return Err(broken(format!("compression {other} is not supported"))),
        };
        if !plausible || compressed > self.size || size > MAX_SET_BYTES {
            return Err(broken(format!("declares {size} bytes, which it cannot hold")));
        }
        let content = self.file.get_entry(*place).map_err(|e| broken(e.to_string()))?;
        let stored = content.reader();
        let read = match *method {
            CompressionMethod::STORE => read_at_most(&mut content.verifying_reader(stored), size),
            _ => {
                let inflated = DeflateDecoder::new(stored);
                read_at_most(&mut content.verifying_reader(inflated), size)
            }
        };
        let bytes = read.map_err(|e| broken(e.to_string()))?;
        // What is longer was not read to its end, where the checksum is compared.
        match bytes.len() as u64 == size {
            true => Ok(bytes),
            false => Err(broken(format!("is not of the {size} bytes that it declares"))),
        }
    }
}
