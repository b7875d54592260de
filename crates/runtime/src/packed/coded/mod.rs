//! Weights in as many bits as they carry: the data of a packed model, entropy-coded.
//!
//! Quantised weights are bell-shaped: a byte of int8 codes holds some 6.5 bits of information, two
//! int4 codes rather less than 8. Each array is coded with the histogram of its own bytes, or with
//! that of an array before where its table would cost more than it gains, by asymmetric numeral
//! systems (Duda 2013, arXiv:1311.2540; rANS of the crate `constriction`). Elements of several
//! bytes are taken apart: signs and exponents of floats are predictable, mantissas are not, and
//! what does not pay is stored as it is. An array of at most 256 different elements, such as clustered
//! weights, is these elements and a byte for each place; pruned weights are zeros among them, which
//! are so frequent that they cost a fraction of a bit.
//!
//! | bytes | hold |
//! | --- | --- |
//! | 0..4 | bytes of the directory |
//! | then | the [`Directory`], as postcard writes it |
//! | then | the words of the streams, one stream after the other |
//! | then | bytes of planes that are not coded, in order |
//!
//! All coded planes lie one behind the other in [`LANES`] streams, a quarter of each in every
//! stream: one core decodes four streams side by side in the time of two, as each symbol waits for
//! the one before it in its stream, and a short plane costs no stream of its own.

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
/// Different elements of an array with a palette at most: as many as a byte tells apart.
const MAX_VALUES: usize = 256;
/// Tables of a file at most: each takes 17 KiB of memory while arrays are decoded.
const MAX_TABLES: usize = 1 << 10;

/// What the data holds.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Directory {
    tables: Vec<Frequencies>,
    /// Words of each stream.
    words: [u32; LANES],
    arrays: Vec<Array>,
}

/// An array of the data.
#[derive(Debug, Serialize, Deserialize)]
struct Array {
    /// Zeros between it and the array before.
    gap: u64,
    /// Its elements.
    len: u64,
    /// The first, second ... bytes of its elements, or of those of its palette.
    planes: Vec<Plane>,
    /// Where it has few different elements.
    palette: Option<Palette>,
}

/// The different elements of an array, and which of them is at each place.
#[derive(Debug, Serialize, Deserialize)]
struct Palette {
    /// Different elements.
    len: u16,
    /// Which one, a byte for each element of the array.
    codes: Plane,
}

#[derive(Debug, Serialize, Deserialize)]
enum Plane {
    /// As it is.
    Raw,
    /// This byte everywhere.
    Same(u8),
    /// With the table at this position.
    Coded(u32),
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
    let (streams, raw) = streams(content, directory.words).ok_or("streams that are cut off")?;
    let mut memory = Blob::zeros(bytes);
    let mut out = memory.to_mut();
    let mut source = Source { streams, raw, tables: &tables };
    for (index, array) in directory.arrays.iter().enumerate() {
        let wrong = |problem: &str| format!("coded array {index} {problem}");
        let (target, rest) = array.target(out).ok_or_else(|| wrong("lies outside"))?;
        source.array(array, target).ok_or_else(|| wrong("is damaged"))?;
        out = rest;
    }
    let used = source.raw.is_empty() && source.streams.iter().all(|stream| stream.is_empty());
    if !out.is_empty() || !used {
        return Err("bytes that belong to no coded array".into());
    }
    Ok(Mapping::memory(memory))
}

/// The streams of so many words at the beginning of `content`, and what follows them.
fn streams(content: &[u8], words: [u32; LANES]) -> Option<([DefaultAnsCoder; LANES], &[u8])> {
    let mut rest = content;
    let mut streams = Vec::with_capacity(LANES);
    for words in words {
        let (bytes, after) = rest.split_at_checked((words as usize).checked_mul(4)?)?;
        rest = after;
        let words = bytes.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word));
        streams.push(DefaultAnsCoder::from_compressed(words.collect()).ok()?);
    }
    Some((streams.try_into().ok()?, rest))
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
    streams: [DefaultAnsCoder; LANES],
    raw: &'a [u8],
    tables: &'a [Table],
}

impl Source<'_> {
    /// Fills `out` with the elements of `array`.
    fn array(&mut self, array: &Array, out: &mut [u8]) -> Option<()> {
        let Some(palette) = &array.palette else { return self.elements(&array.planes, out) };
        let width = array.planes.len();
        let len = Some(usize::from(palette.len)).filter(|&len| len <= MAX_VALUES)?;
        let mut values = vec![0; len * width];
        self.elements(&array.planes, &mut values)?;
        let mut codes = vec![0; out.len() / width];
        self.plane(&palette.codes, &mut codes)?;
        let values: Vec<&[u8]> = values.chunks_exact(width).collect();
        for (element, code) in out.chunks_exact_mut(width).zip(codes) {
            element.copy_from_slice(values.get(usize::from(code))?);
        }
        Some(())
    }

    /// Fills `out` with elements whose bytes lie in `planes`.
    fn elements(&mut self, planes: &[Plane], out: &mut [u8]) -> Option<()> {
        if let [plane] = planes {
            return self.plane(plane, out);
        }
        let width = planes.len();
        let mut bytes = vec![0; out.len() / width];
        for (offset, plane) in planes.iter().enumerate() {
            self.plane(plane, &mut bytes)?;
            out.iter_mut().skip(offset).step_by(width).zip(&bytes).for_each(|(o, b)| *o = *b);
        }
        Some(())
    }

    fn plane(&mut self, plane: &Plane, out: &mut [u8]) -> Option<()> {
        match *plane {
            Plane::Raw => {
                let (taken, rest) = self.raw.split_at_checked(out.len())?;
                self.raw = rest;
                out.copy_from_slice(taken);
            }
            Plane::Same(byte) => out.fill(byte),
            Plane::Coded(table) => {
                let table = self.tables.get(table as usize)?;
                side_by_side(&mut self.streams, table, out);
            }
        }
        Some(())
    }
}

/// Bytes of a plane of `len` bytes in each stream.
fn quarter(len: usize) -> usize {
    len.div_ceil(LANES).max(1)
}

fn one_stream(stream: &mut DefaultAnsCoder, table: &Table, out: &mut [u8]) {
    for byte in out {
        let Ok(symbol) = stream.decode_symbol(table);
        *byte = symbol;
    }
}

/// Each stream holds a quarter of the plane, the last one with something what remains.
fn side_by_side(streams: &mut [DefaultAnsCoder; LANES], table: &Table, out: &mut [u8]) {
    let mut lanes: Vec<&mut [u8]> = out.chunks_mut(quarter(out.len())).collect();
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
