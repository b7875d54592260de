//! The header of a stream.

use crate::{CollabError, Result};

const MAGIC: u8 = 0xEC;
const VERSION: u8 = 2;

/// Header and chunks.
pub(super) fn write(id: u64, chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![MAGIC, VERSION];
    out.extend(stated_id(id).to_le_bytes());
    for chunk in chunks {
        let mut len = chunk.len() as u32;
        while len >= 0x80 {
            out.push(len as u8 | 0x80);
            len >>= 7;
        }
        out.push(len as u8);
        out.extend((crc32fast::hash(chunk) as u16).to_le_bytes());
    }
    let crc = crc32fast::hash(&out);
    out.extend(crc.to_le_bytes());
    chunks.iter().for_each(|chunk| out.extend(chunk));
    out
}

/// The chunks, of which there are `count` in a whole stream, that are there in full.
pub(super) fn read(id: u64, count: usize, bytes: &[u8]) -> Result<Vec<&[u8]>> {
    let wrong = |problem: &str| CollabError::Coded(problem.into());
    let short = || wrong("the header is cut off");
    let (&start, rest) = bytes.split_first_chunk::<6>().ok_or_else(short)?;
    let [magic, version, stated @ ..] = start;
    if magic != MAGIC {
        return Err(wrong("this is none"));
    }
    if version != VERSION {
        return Err(CollabError::Coded(format!(
            "version {version}, this program reads {VERSION}: use the same edgecut on both sides"
        )));
    }
    let mut rest = rest;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let len = length(&mut rest).ok_or_else(short)?;
        let (crc, after) = rest.split_first_chunk().ok_or_else(short)?;
        entries.push((len, u16::from_le_bytes(*crc)));
        rest = after;
    }
    let header = &bytes[..bytes.len() - rest.len()];
    let (crc, mut rest) = rest.split_first_chunk().ok_or_else(short)?;
    if crc32fast::hash(header) != u32::from_le_bytes(*crc) {
        // Of another calibration the number of chunks may differ, and with it where the checksum is.
        return Err(match u32::from_le_bytes(stated) == stated_id(id) {
            true => wrong("the header's checksum is wrong"),
            false => other(stated, id),
        });
    }
    if u32::from_le_bytes(stated) != stated_id(id) {
        return Err(other(stated, id));
    }
    let mut chunks = Vec::with_capacity(count);
    for (index, (len, crc)) in entries.into_iter().enumerate() {
        let Some((chunk, after)) = rest.split_at_checked(len as usize) else { return Ok(chunks) };
        if crc32fast::hash(chunk) as u16 != crc {
            return Err(CollabError::Coded(format!("the checksum of chunk {index} is wrong")));
        }
        chunks.push(chunk);
        rest = after;
    }
    match rest {
        [] => Ok(chunks),
        _ => Err(CollabError::Coded(format!("{} bytes follow the last chunk", rest.len()))),
    }
}

/// What of an id a stream states: enough to notice a mistake.
fn stated_id(id: u64) -> u32 {
    (id >> 32) as u32
}

fn other(stated: [u8; 4], id: u64) -> CollabError {
    CollabError::Coded(format!(
        "made by calibration {:08x}, this is {:08x}: both halves need the same codec",
        u32::from_le_bytes(stated),
        stated_id(id)
    ))
}

/// Takes a length from the beginning of `bytes`.
fn length(bytes: &mut &[u8]) -> Option<u32> {
    let mut value = 0u32;
    for shift in (0..32).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u32::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
