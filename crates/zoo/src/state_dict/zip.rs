//! Entries of a ZIP archive in memory as torch writes it: stored, so that their content is a range of the
//! file. Checksums are not compared: torch can be told not to compute them.

use std::ops::Range;

use rawzip::{CompressionMethod, ZipArchive, ZipArchiveEntryWayfinder, ZipSliceArchive};

use super::error::{Fault, malformed, shown};

/// Bytes of an entry in the list before its name (APPNOTE 6.3.9, section 4.3.12).
const BEFORE_NAME: u64 = 46;

/// The entries of an archive, sorted by name.
pub(super) struct Archive<'a> {
    file: ZipSliceArchive<&'a [u8]>,
    entries: Vec<Entry<'a>>,
}

struct Entry<'a> {
    name: &'a [u8],
    stored: bool,
    place: ZipArchiveEntryWayfinder,
}

impl<'a> Archive<'a> {
    /// Reads the list of entries.
    pub fn new(bytes: &'a [u8]) -> Result<Archive<'a>, Fault> {
        let file = match ZipArchive::from_slice(bytes) {
            Ok(file) => file,
            Err(e) => {
                let problem = "begins like a ZIP archive and has no end of one";
                return malformed(format!("{problem}; it is cut off or damaged: {e}"));
            }
        };
        let mut entries = Vec::new();
        let (mut list, count) = (file.entries(), file.entries_hint());
        while let Ok(Some(entry)) = list.next_entry() {
            let length = entry.file_path().as_bytes().len() as u64;
            let start = entry.central_directory_offset() + BEFORE_NAME;
            let Some(name) = bytes.get(start as usize..(start + length) as usize) else { break };
            let stored = entry.compression_method() == CompressionMethod::STORE;
            entries.push(Entry { name, stored, place: entry.wayfinder() });
        }
        if entries.len() as u64 != count {
            return malformed(format!("its list of {count} entries is damaged"));
        }
        entries.sort_by_key(|e| e.name);
        Ok(Archive { file, entries })
    }

    /// The one name that ends in `suffix`, without it.
    pub fn prefix(&self, suffix: &[u8]) -> Option<&'a [u8]> {
        self.entries.iter().find_map(|e| e.name.strip_suffix(suffix))
    }

    /// Where in the file the content of an entry is; `None` where there is no such entry.
    pub fn find(&self, name: &[u8]) -> Result<Option<Range<usize>>, Fault> {
        let Ok(index) = self.entries.binary_search_by_key(&name, |e| e.name) else {
            return Ok(None);
        };
        let Entry { stored, place, .. } = &self.entries[index];
        let name = || shown(&String::from_utf8_lossy(name));
        if !stored || place.uncompressed_size_hint() != place.compressed_size_hint() {
            return malformed(format!("entry '{}' is compressed; torch never does that", name()));
        }
        match self.file.get_entry(*place) {
            Ok(content) => {
                let (start, end) = content.compressed_data_range();
                Ok(Some(start as usize..end as usize))
            }
            Err(_) => malformed(format!("entry '{}' lies outside the file", name())),
        }
    }
}
