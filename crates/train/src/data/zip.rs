//! The part of ZIP that NumPy's `.npz` uses: a central directory, entries stored or deflated, ZIP64
//! sizes (APPNOTE 6.3.9, sections 4.3 and 4.5.3).
//!
//! Own code because a hostile archive must end in an error naming the file: every offset is checked
//! against the file's length, every size against what DEFLATE could produce from the entry.

use super::limits::{MAX_ARCHIVE_ENTRIES, MAX_DEFLATE_RATIO, MAX_SET_BYTES};
use super::read::{open_file, read_at_most};
use super::{DataError, Result};
use flate2::read::DeflateDecoder;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

const END: [u8; 4] = *b"PK\x05\x06";
const END64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR64: [u8; 4] = *b"PK\x06\x07";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const LOCAL: [u8; 4] = *b"PK\x03\x04";

/// The end record is 22 bytes before a comment of at most 65,535.
const END_LEN: u64 = 22;
const MAX_TAIL: u64 = END_LEN + 65_535;

/// Most bytes of central directory read: 4,096 entries with generous names.
const MAX_DIRECTORY: u64 = 16 << 20;

/// One file of an archive.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub name: String,
    method: u16,
    crc: u32,
    compressed: u64,
    size: u64,
    offset: u64,
}

/// An open archive.
pub(crate) struct Archive {
    path: PathBuf,
    file: File,
    size: u64,
    pub entries: Vec<Entry>,
}

impl Archive {
    pub fn open(path: &Path) -> Result<Archive> {
        let (file, size) = open_file(path)?;
        let mut archive = Archive { path: path.to_path_buf(), file, size, entries: Vec::new() };
        let (count, length, offset) = archive.directory()?;
        if count > MAX_ARCHIVE_ENTRIES as u64 || length > MAX_DIRECTORY {
            return Err(archive
                .broken(format!("{count} entries; at most {MAX_ARCHIVE_ENTRIES} are supported")));
        }
        let directory = archive.bytes(offset, length, "the list of entries")?;
        let mut rest = &directory[..];
        for _ in 0..count {
            let (entry, after) =
                central(rest).ok_or_else(|| archive.broken("its list of entries is broken"))?;
            archive.entries.push(entry);
            rest = after;
        }
        Ok(archive)
    }

    /// The uncompressed content of an entry, its CRC verified.
    pub fn read(&mut self, entry: &Entry) -> Result<Vec<u8>> {
        let plausible = match entry.method {
            0 => entry.size == entry.compressed,
            8 => entry.size <= entry.compressed.saturating_mul(MAX_DEFLATE_RATIO),
            other => {
                return Err(self.broken(format!(
                    "entry {}: compression {other} is not supported",
                    entry.name
                )));
            }
        };
        if !plausible || entry.compressed > self.size || entry.size > MAX_SET_BYTES {
            return Err(self.broken(format!(
                "entry {} declares {} bytes, which it cannot hold",
                entry.name, entry.size
            )));
        }
        let local = self.bytes(entry.offset, 30, &entry.name)?;
        if local[..4] != LOCAL {
            return Err(self.broken(format!("entry {} is not where the list says", entry.name)));
        }
        let skip = u64::from(u16_at(&local, 26)) + u64::from(u16_at(&local, 28));
        let start = entry.offset + 30 + skip; // No overflow: `bytes` has bounded the offset by the file size.
        self.file.seek(SeekFrom::Start(start)).map_err(|e| DataError::io(&self.path, e))?;
        let stored = BufReader::new((&mut self.file).take(entry.compressed));
        let read = match entry.method {
            0 => read_at_most(&mut { stored }, entry.size),
            _ => read_at_most(&mut DeflateDecoder::new(stored), entry.size),
        };
        let bytes = read.map_err(|error| self.broken(format!("entry {}: {error}", entry.name)))?;
        if bytes.len() as u64 != entry.size || crc32fast::hash(&bytes) != entry.crc {
            return Err(self.broken(format!("entry {}: size or checksum is wrong", entry.name)));
        }
        Ok(bytes)
    }

    /// Number of entries, length and offset of the central directory.
    fn directory(&mut self) -> Result<(u64, u64, u64)> {
        let tail_len = self.size.min(MAX_TAIL);
        let tail_at = self.size - tail_len;
        let tail = self.bytes(tail_at, tail_len, "the end of the archive")?;
        let end = (0..tail.len().saturating_sub(END_LEN as usize - 1))
            .rev()
            .find(|&i| tail[i..].starts_with(&END))
            .ok_or_else(|| self.broken("is not a ZIP archive, or is cut off"))?;
        let record = &tail[end..];
        let short = (
            u64::from(u16_at(record, 10)),
            u64::from(u32_at(record, 12)),
            u64::from(u32_at(record, 16)),
        );
        if short.0 != 0xffff && short.1 != 0xffff_ffff && short.2 != 0xffff_ffff {
            return Ok(short);
        }
        let locator_at = (tail_at + end as u64).checked_sub(20);
        let locator = match locator_at {
            Some(at) => self.bytes(at, 20, "the ZIP64 locator")?,
            None => return Ok(short),
        };
        if locator[..4] != LOCATOR64 {
            return Ok(short);
        }
        let record = self.bytes(u64_at(&locator, 8), 56, "the ZIP64 record")?;
        if record[..4] != END64 {
            return Err(self.broken("its ZIP64 record is broken"));
        }
        Ok((u64_at(&record, 32), u64_at(&record, 40), u64_at(&record, 48)))
    }

    /// `len` bytes at `offset`, checked against the file first.
    fn bytes(&mut self, offset: u64, len: u64, what: &str) -> Result<Vec<u8>> {
        if offset.checked_add(len).is_none_or(|end| end > self.size) {
            return Err(self.broken(format!(
                "{what} lies outside the file; the archive is cut off or broken"
            )));
        }
        let mut bytes = vec![0; len as usize];
        self.file
            .seek(SeekFrom::Start(offset))
            .and_then(|_| self.file.read_exact(&mut bytes))
            .map_err(|e| DataError::io(&self.path, e))?;
        Ok(bytes)
    }

    fn broken(&self, problem: impl Into<String>) -> DataError {
        DataError::format(&self.path, problem)
    }
}

/// One entry of the central directory and what follows it.
fn central(bytes: &[u8]) -> Option<(Entry, &[u8])> {
    if bytes.len() < 46 || bytes[..4] != CENTRAL {
        return None;
    }
    let (name_len, extra_len, comment_len) = (
        usize::from(u16_at(bytes, 28)),
        usize::from(u16_at(bytes, 30)),
        usize::from(u16_at(bytes, 32)),
    );
    let name = bytes.get(46..46 + name_len)?;
    let extra = bytes.get(46 + name_len..46 + name_len + extra_len)?;
    let rest = bytes.get(46 + name_len + extra_len + comment_len..)?;
    let mut entry = Entry {
        name: String::from_utf8_lossy(name).into_owned(),
        method: u16_at(bytes, 10),
        crc: u32_at(bytes, 16),
        compressed: u64::from(u32_at(bytes, 20)),
        size: u64::from(u32_at(bytes, 24)),
        offset: u64::from(u32_at(bytes, 42)),
    };
    zip64(extra, &mut entry)?;
    Some((entry, rest))
}

/// Replaces sizes that do not fit 32 bits (all ones) by those of the ZIP64 field, in its order.
fn zip64(mut extra: &[u8], entry: &mut Entry) -> Option<()> {
    const FULL: u64 = 0xffff_ffff;
    while extra.len() >= 4 {
        let (id, len) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let mut field = extra.get(4..4 + len)?;
        extra = &extra[4 + len..];
        if id != 1 {
            continue;
        }
        for value in [&mut entry.size, &mut entry.compressed, &mut entry.offset] {
            if *value == FULL {
                *value = u64_at(field.get(..8)?, 0);
                field = &field[8..];
            }
        }
    }
    Some(())
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
