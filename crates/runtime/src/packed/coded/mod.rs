//! Weights in as many bits as they carry: the data of a packed model, entropy-coded.
//!
//! Quantised weights are bell-shaped: a byte of int8 codes holds some 6.5 bits of information, two
//! int4 codes rather less than 8. Each array is coded with the histogram of its own bytes, or with
//! that of an array before where its table would cost more than it gains, by asymmetric numeral
//! systems (Duda 2013, arXiv:1311.2540; rANS of the crate `constriction`). Elements of several
//! bytes are taken apart: signs and exponents of floats are predictable, mantissas are not, and
//! what does not pay is stored as it is.
//!
//! | bytes | hold |
//! | --- | --- |
//! | 0..4 | bytes of the directory |
//! | then | the [`Directory`], as postcard writes it |
//! | then | what the planes hold, in order: coded words of 32 bits, or the bytes themselves |
//!
//! A long plane is [`LANES`] streams side by side, which one core decodes in the time of two: each
//! symbol waits for the one before it in its stream.

mod encode;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use constriction::stream::Decode;
use constriction::stream::stack::DefaultAnsCoder;
use edgecut_kernels::blob::{Blob, Mapping};
use serde::{Deserialize, Serialize};

use super::MAX_EXPANSION;
use table::{Frequencies, Table};

#[cfg(feature = "compile")]
pub use encode::coded_bytes;
#[cfg(feature = "compile")]
pub(super) use encode::encode;

/// Streams of a long plane.
const LANES: usize = 4;
/// Bytes of an element at most.
const MAX_WIDTH: usize = 8;
/// Tables of a file at most: each takes 17 KiB of memory while arrays are decoded.
const MAX_TABLES: usize = 1 << 10;

/// What the data holds.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Directory {
    tables: Vec<Frequencies>,
    arrays: Vec<Array>,
}

/// An array of the data.
#[derive(Debug, Serialize, Deserialize)]
struct Array {
    /// Zeros between it and the array before.
    gap: u64,
    /// Its elements.
    len: u64,
    /// The first, second ... bytes of its elements.
    planes: Vec<Plane>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Plane {
    /// As it is.
    Raw,
    /// With the table at this position, in streams of so many words.
    Coded { table: u32, words: Vec<u32> },
}

/// The data of `bytes` bytes that `coded` stands for, or what is wrong with it.
pub(super) fn decode(coded: &[u8], bytes: usize) -> Result<Arc<Mapping>, String> {
    if bytes / MAX_EXPANSION > coded.len() {
        return Err(format!("{bytes} bytes in {} coded ones", coded.len()));
    }
    let (size, rest) = coded.split_first_chunk().ok_or("no directory")?;
    let size = u32::from_le_bytes(*size) as usize;
    let (directory, content) = rest.split_at_checked(size).ok_or("a directory that is cut off")?;
    let directory: Directory =
        postcard::from_bytes(directory).map_err(|e| format!("coded arrays: {e}"))?;
    let tables = directory.tables.iter().take(MAX_TABLES + 1).map(Table::new);
    let tables = tables.collect::<Option<Vec<Table>>>().ok_or("frequencies that do not add up")?;
    if tables.len() > MAX_TABLES {
        return Err(format!("more than {MAX_TABLES} tables"));
    }
    let mut memory = Blob::zeros(bytes);
    let mut out = memory.to_mut();
    let mut source = Source { content, tables: &tables, plane: vec![] };
    for (index, array) in directory.arrays.iter().enumerate() {
        let wrong = |problem: &str| format!("coded array {index} {problem}");
        let (target, rest) = array.target(out).ok_or_else(|| wrong("lies outside"))?;
        source.array(array, target).ok_or_else(|| wrong("is damaged"))?;
        out = rest;
    }
    if !out.is_empty() || !source.content.is_empty() {
        return Err("bytes that belong to no coded array".into());
    }
    Ok(Mapping::memory(memory))
}

impl Array {
    /// Splits off its bytes from all that are left.
    fn target<'a>(&self, out: &'a mut [u8]) -> Option<(&'a mut [u8], &'a mut [u8])> {
        let gap = usize::try_from(self.gap).ok()?;
        let bytes = usize::try_from(self.len).ok()?.checked_mul(self.planes.len())?;
        if self.planes.is_empty() || self.planes.len() > MAX_WIDTH {
            return None;
        }
        let (_, out) = out.split_at_mut_checked(gap)?;
        out.split_at_mut_checked(bytes)
    }
}

/// Where planes come from.
struct Source<'a> {
    content: &'a [u8],
    tables: &'a [Table],
    /// A plane of an array of several.
    plane: Vec<u8>,
}

impl<'a> Source<'a> {
    /// Fills `out` with the elements of `array`.
    fn array(&mut self, array: &Array, out: &mut [u8]) -> Option<()> {
        if let [plane] = &array.planes[..] {
            return self.plane(plane, out);
        }
        let width = array.planes.len();
        let mut bytes = std::mem::take(&mut self.plane);
        bytes.resize(out.len() / width, 0);
        for (offset, plane) in array.planes.iter().enumerate() {
            self.plane(plane, &mut bytes)?;
            out.iter_mut().skip(offset).step_by(width).zip(&bytes).for_each(|(o, b)| *o = *b);
        }
        self.plane = bytes;
        Some(())
    }

    fn plane(&mut self, plane: &Plane, out: &mut [u8]) -> Option<()> {
        match plane {
            Plane::Raw => out.copy_from_slice(self.take(out.len())?),
            Plane::Coded { table, words } => {
                let table = self.tables.get(*table as usize)?;
                if words.len() > LANES {
                    return None;
                }
                let streams = words.iter().map(|&words| self.stream(words));
                let mut streams = streams.collect::<Option<Vec<DefaultAnsCoder>>>()?;
                match &mut streams[..] {
                    [stream] => one_stream(stream, table, out),
                    streams => side_by_side(streams.try_into().ok()?, table, out),
                }
                if !streams.iter().all(|stream| stream.is_empty()) {
                    return None;
                }
            }
        }
        Some(())
    }

    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.content.split_at_checked(bytes)?;
        self.content = rest;
        Some(taken)
    }

    fn stream(&mut self, words: u32) -> Option<DefaultAnsCoder> {
        let bytes = self.take((words as usize).checked_mul(4)?)?;
        let words = bytes.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word));
        DefaultAnsCoder::from_compressed(words.collect()).ok()
    }
}

fn one_stream(stream: &mut DefaultAnsCoder, table: &Table, out: &mut [u8]) {
    for byte in out {
        let Ok(symbol) = stream.decode_symbol(table);
        *byte = symbol;
    }
}

/// Each stream holds a quarter of the plane, the last one what remains.
fn side_by_side(streams: &mut [DefaultAnsCoder; LANES], table: &Table, out: &mut [u8]) {
    let quarter = out.len().div_ceil(LANES).max(1);
    let mut lanes: Vec<&mut [u8]> = out.chunks_mut(quarter).collect();
    let shortest = lanes.last().map_or(0, |lane| lane.len());
    if let Ok(lanes) = <&mut [&mut [u8]; LANES]>::try_from(&mut lanes[..]) {
        let together = lanes.each_mut().map(|lane| &mut lane[..shortest]);
        let [a, b, c, d] = together;
        for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
            for (byte, stream) in [a, b, c, d].into_iter().zip(streams.iter_mut()) {
                let Ok(symbol) = stream.decode_symbol(table);
                *byte = symbol;
            }
        }
        for (lane, stream) in lanes.iter_mut().zip(streams) {
            one_stream(stream, table, &mut lane[shortest..]);
        }
    } else {
        lanes.iter_mut().zip(streams).for_each(|(lane, stream)| one_stream(stream, table, lane));
    }
}
