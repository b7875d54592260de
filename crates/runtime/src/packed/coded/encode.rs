//! From arrays to streams.

use constriction::stream::stack::DefaultAnsCoder;
use edgecut_kernels::blob::{self, Written};

use super::table::{Frequencies, Table};
use super::{Array, Directory, LANES, MAX_EXPANSION, MAX_TABLES, Plane};

/// A plane of at least so many bytes is coded in several streams, each of which costs 12 bytes.
const LONG: usize = 1 << 14;

/// What stands for `written`, or `None` where coding does not make it smaller, or so much smaller
/// that no reader would believe it.
pub(crate) fn encode(written: &Written) -> Option<Vec<u8>> {
    let coded = Encoder::default().all(written);
    let raw = written.bytes.len();
    (coded.len() < raw && raw / MAX_EXPANSION <= coded.len()).then_some(coded)
}

/// Bytes that arrays, each with the bytes of its elements, take in a packed model with coded
/// weights.
pub fn coded_bytes<'a>(arrays: impl IntoIterator<Item = (&'a [u8], usize)>) -> usize {
    let mut written = Written::default();
    for (content, width) in arrays {
        let start = written.bytes.len();
        written.bytes.extend_from_slice(content);
        written.arrays.push(blob::Array { range: start..written.bytes.len(), width });
    }
    Encoder::default().all(&written).len().min(written.bytes.len())
}

#[derive(Default)]
struct Encoder {
    directory: Directory,
    tables: Vec<Table>,
    content: Vec<u8>,
}

impl Encoder {
    fn all(mut self, written: &Written) -> Vec<u8> {
        self.share_a_table(written);
        let mut end = 0;
        for array in &written.arrays {
            let bytes = &written.bytes[array.range.clone()];
            let planes = (0..array.width).map(|offset| self.plane(bytes, offset, array.width));
            let planes = planes.collect();
            let gap = (array.range.start - end) as u64;
            end = array.range.end;
            let len = (bytes.len() / array.width) as u64;
            self.directory.arrays.push(Array { gap, len, planes });
        }
        let directory = directory_bytes(&self.directory);
        let size = (directory.len() as u32).to_le_bytes();
        [&size[..], &directory, &self.content].concat()
    }

    /// Begins with the table of all short arrays of bytes together: alone they gain less than a
    /// table takes.
    fn share_a_table(&mut self, written: &Written) {
        let short = written.arrays.iter().filter(|a| a.width == 1 && a.range.len() < LONG);
        let short: Vec<&[u8]> = short.map(|a| &written.bytes[a.range.clone()]).collect();
        if short.iter().filter(|bytes| !bytes.is_empty()).count() > 1 {
            let frequencies = Frequencies::of(&histogram(short.into_iter().flatten()));
            self.tables.extend(Table::new(&frequencies));
            self.directory.tables.push(frequencies);
        }
    }

    /// Codes the bytes at `offset` of each element.
    fn plane(&mut self, bytes: &[u8], offset: usize, width: usize) -> Plane {
        let plane: Vec<u8> = bytes.iter().copied().skip(offset).step_by(width).collect();
        let Some(table) = self.table(&plane) else {
            self.content.extend(plane);
            return Plane::Raw;
        };
        let lane = if plane.len() < LONG { plane.len() } else { plane.len().div_ceil(LANES) };
        let mut words = vec![];
        for lane in plane.chunks(lane) {
            let mut coder = DefaultAnsCoder::new();
            let coded = coder.encode_iid_symbols_reverse(lane, &self.tables[table]);
            debug_assert!(coded.is_ok(), "the table has a frequency for every byte");
            let Ok(stream) = coder.into_compressed();
            words.push(stream.len() as u32);
            self.content.extend(stream.iter().flat_map(|word| word.to_le_bytes()));
        }
        Plane::Coded { table: table as u32, words }
    }

    /// The table that codes `plane` in the fewest bytes, its own included; `None` where the plane
    /// itself is no longer than that.
    fn table(&mut self, plane: &[u8]) -> Option<usize> {
        if plane.is_empty() {
            return None;
        }
        let histogram = histogram(plane);
        // Each stream ends with its state of 8 bytes, and has a length.
        let streams = if plane.len() < LONG { 1.0 } else { LANES as f64 };
        let bytes = |bits: f64| bits / 8.0 + 12.0 * streams;
        let known = self.tables.iter().enumerate();
        let known = known.filter_map(|(i, table)| Some((i, bytes(table.bits(&histogram)?))));
        let known = known.min_by(|a, b| a.1.total_cmp(&b.1));
        let frequencies = Frequencies::of(&histogram);
        let table = Table::new(&frequencies)?;
        let size = postcard::to_stdvec(&frequencies).map_or(usize::MAX, |bytes| bytes.len());
        let own = bytes(table.bits(&histogram)?) + size as f64;
        let own = if self.tables.len() < MAX_TABLES { own } else { f64::INFINITY };
        let least = known.map_or(own, |(_, known)| known.min(own));
        if least >= plane.len() as f64 {
            return None;
        }
        if let Some((index, _)) = known.filter(|(_, known)| *known <= own) {
            return Some(index);
        }
        self.directory.tables.push(frequencies);
        self.tables.push(table);
        Some(self.tables.len() - 1)
    }
}

fn histogram<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> [u64; 256] {
    let mut histogram = [0; 256];
    bytes.into_iter().for_each(|&byte| histogram[usize::from(byte)] += 1);
    histogram
}

/// Postcard fails for maps and sequences of unknown length only.
fn directory_bytes(directory: &Directory) -> Vec<u8> {
    postcard::to_stdvec(directory).unwrap_or_default()
}
