//! The part of ZIP that torch writes: stored entries, ZIP64 sizes (APPNOTE 6.3.9, sections 4.3 and
//! 4.5.3), over a file in memory.
//!
//! Own code because a list of entries from a hostile archive must not grow beyond the file: an entry
//! is three ranges, every one checked against the file's length. Checksums are not compared: torch
//! can be told not to compute them.

use std::ops::Range;

use super::error::{Fault, malformed};

const END: &[u8] = b"PK\x05\x06";
const END64: &[u8] = b"PK\x06\x06";
const LOCATOR64: &[u8] = b"PK\x06\x07";
const CENTRAL: &[u8] = b"PK\x01\x02";
/// How every entry, and so every archive of torch's, begins.
pub(super) const LOCAL: &[u8] = b"PK\x03\x04";

/// The end record is 22 bytes before a comment of at most 65,535.
const END_LEN: usize = 22;
const MAX_TAIL: usize = END_LEN + 65_535;

/// The entries of an archive, sorted by name.
pub(super) struct Archive<'a> {
    bytes: &'a [u8],
    entries: Vec<Entry<'a>>,
}

struct Entry<'a> {
    name: &'a [u8],
    method: u16,
    compressed: u64,
    size: u64,
    offset: u64,
}

impl<'a> Archive<'a> {
    /// Reads the list of entries.
    pub fn new(bytes: &'a [u8]) -> Result<Archive<'a>, Fault> {
        let Some((count, length, offset)) = directory(bytes) else {
            return malformed("is cut off or damaged: it begins like a ZIP archive and has no end");
        };
        let Some(mut rest) = part(bytes, offset, length) else {
            return malformed(
                "its list of entries lies outside the file; it is cut off or damaged",
            );
        };
        let mut entries = Vec::new();
        for _ in 0..count {
            let Some((entry, after)) = central(rest) else {
                return malformed(format!("its list of {count} entries is damaged"));
            };
            entries.push(entry);
            rest = after;
        }
        entries.sort_by_key(|e| e.name);
        Ok(Archive { bytes, entries })
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
        let entry = &self.entries[index];
        let shown = || super::error::shown(&String::from_utf8_lossy(name));
        if entry.method != 0 || entry.size != entry.compressed {
            return malformed(format!("entry '{}' is compressed; torch never does that", shown()));
        }
        self.content(entry)
            .map(Some)
            .ok_or_else(|| Fault::Malformed(format!("entry '{}' lies outside the file", shown())))
    }

    fn content(&self, entry: &Entry) -> Option<Range<usize>> {
        let local = part(self.bytes, entry.offset, 30)?;
        if !local.starts_with(LOCAL) {
            return None;
        }
        let skip = 30 + u64::from(u16_at(local, 26)) + u64::from(u16_at(local, 28));
        let start = entry.offset.checked_add(skip)?;
        part(self.bytes, start, entry.size)?;
        Some(start as usize..(start + entry.size) as usize)
    }
}

/// Number of entries, length and offset of the central directory.
fn directory(bytes: &[u8]) -> Option<(u64, u64, u64)> {
    let tail = bytes.len().saturating_sub(MAX_TAIL);
    let last = bytes.len().checked_sub(END_LEN)?;
    let end = (tail..=last).rev().find(|&i| bytes[i..].starts_with(END))?;
    let record = &bytes[end..];
    let short = (
        u64::from(u16_at(record, 10)),
        u64::from(u32_at(record, 12)),
        u64::from(u32_at(record, 16)),
    );
    if short.0 != 0xffff && short.1 != 0xffff_ffff && short.2 != 0xffff_ffff {
        return Some(short);
    }
    let locator = &bytes[end.checked_sub(20)?..end];
    if !locator.starts_with(LOCATOR64) {
        return Some(short);
    }
    let record = part(bytes, u64_at(locator, 8), 56)?;
    record.starts_with(END64).then(|| (u64_at(record, 32), u64_at(record, 40), u64_at(record, 48)))
}

/// One entry of the central directory and what follows it.
fn central(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    if bytes.len() < 46 || !bytes.starts_with(CENTRAL) {
        return None;
    }
    let [name, extra, comment] = [28, 30, 32].map(|at| usize::from(u16_at(bytes, at)));
    let rest = bytes.get(46 + name + extra + comment..)?;
    let (name, extra) = bytes[46..46 + name + extra].split_at(name);
    let mut entry = Entry {
        name,
        method: u16_at(bytes, 10),
        compressed: u64::from(u32_at(bytes, 20)),
        size: u64::from(u32_at(bytes, 24)),
        offset: u64::from(u32_at(bytes, 42)),
    };
    zip64(extra, &mut entry)?;
    Some((entry, rest))
}

/// Replaces sizes that do not fit 32 bits (all ones) by those of the ZIP64 field, in its order.
fn zip64(mut extra: &[u8], entry: &mut Entry) -> Option<()> {
    while extra.len() >= 4 {
        let (id, len) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let mut field = extra.get(4..4 + len)?;
        extra = &extra[4 + len..];
        if id != 1 {
            continue;
        }
        for value in [&mut entry.size, &mut entry.compressed, &mut entry.offset] {
            if *value == 0xffff_ffff {
                *value = u64_at(field.get(..8)?, 0);
                field = &field[8..];
            }
        }
    }
    Some(())
}

fn part(bytes: &[u8], offset: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    bytes.get(start..start.checked_add(usize::try_from(len).ok()?)?)
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
