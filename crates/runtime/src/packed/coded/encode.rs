//! From arrays to streams.

use std::collections::BTreeMap;

use constriction::stream::stack::DefaultAnsCoder;
use edgecut_kernels::blob::{self, Written};

use super::table::{Frequencies, Table};
use super::{
    Array, Directory, LANES, MAX_EXPANSION, MAX_TABLES, MAX_VALUES, Palette, Plane, quarter,
};

/// Arrays of fewer bytes share a table.
const SHORT: usize = 1 << 14;

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
    /// Planes that are coded, each with its table.
    coded: Vec<(Vec<u8>, usize)>,
    /// Those that are not.
    raw: Vec<u8>,
}

impl Encoder {
    fn all(mut self, written: &Written) -> Vec<u8> {
        self.share_a_table(written);
        let mut end = 0;
        for array in &written.arrays {
            let bytes = &written.bytes[array.range.clone()];
            let gap = (array.range.start - end) as u64;
            end = array.range.end;
            let coded = self.array(bytes, array.width, gap);
            self.directory.arrays.push(coded);
        }
        let streams = self.streams();
        self.directory.words = std::array::from_fn(|lane| streams[lane].len() as u32);
        let directory = directory_bytes(&self.directory);
        let size = (directory.len() as u32).to_le_bytes();
        let words = streams.into_iter().flatten().flat_map(u32::to_le_bytes).collect::<Vec<u8>>();
        [&size[..], &directory, &words, &self.raw].concat()
    }

    /// Begins with the table of all short arrays of bytes together: alone they gain less than a
    /// table takes.
    fn share_a_table(&mut self, written: &Written) {
        let short = written.arrays.iter().filter(|a| a.width == 1 && a.range.len() < SHORT);
        let short: Vec<&[u8]> = short.map(|a| &written.bytes[a.range.clone()]).collect();
        if short.iter().filter(|bytes| !bytes.is_empty()).count() > 1 {
            let frequencies = Frequencies::of(&histogram(short.into_iter().flatten()));
            self.tables.extend(Table::new(&frequencies));
            self.directory.tables.push(frequencies);
        }
    }

    fn array(&mut self, bytes: &[u8], width: usize, gap: u64) -> Array {
        let len = (bytes.len() / width) as u64;
        match palette(bytes, width) {
            Some((values, codes)) => {
                let planes = self.planes(&values, width);
                let codes = self.plane(codes);
                let palette = Palette { len: (values.len() / width) as u16, codes };
                Array { gap, len, planes, palette: Some(palette) }
            }
            None => Array { gap, len, planes: self.planes(bytes, width), palette: None },
        }
    }

    /// The first bytes of all elements, the second ones, and so on.
    fn planes(&mut self, bytes: &[u8], width: usize) -> Vec<Plane> {
        let plane = |offset| bytes.iter().copied().skip(offset).step_by(width).collect();
        (0..width).map(|offset| self.plane(plane(offset))).collect()
    }

    fn plane(&mut self, plane: Vec<u8>) -> Plane {
        if let Some(&first) = plane.first()
            && plane.iter().all(|&byte| byte == first)
        {
            return Plane::Same(first);
        }
        match self.table(&plane) {
            Some(table) => {
                self.coded.push((plane, table));
                Plane::Coded(table as u32)
            }
            None => {
                self.raw.extend(plane);
                Plane::Raw
            }
        }
    }

    /// The table that codes `plane` in the fewest bytes, its own included; `None` where the plane
    /// itself is no longer than that.
    fn table(&mut self, plane: &[u8]) -> Option<usize> {
        if plane.is_empty() {
            return None;
        }
        let histogram = histogram(plane);
        let known = self.tables.iter().enumerate();
        let known = known.filter_map(|(i, table)| Some((i, table.bits(&histogram)? / 8.0)));
        let known = known.min_by(|a, b| a.1.total_cmp(&b.1));
        let frequencies = Frequencies::of(&histogram);
        let table = Table::new(&frequencies)?;
        let size = postcard::to_stdvec(&frequencies).map_or(usize::MAX, |bytes| bytes.len());
        let own = table.bits(&histogram)? / 8.0 + size as f64;
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

    /// The words of all streams. What is decoded first is encoded last.
    fn streams(&self) -> [Vec<u32>; LANES] {
        let mut coders: [DefaultAnsCoder; LANES] = std::array::from_fn(|_| DefaultAnsCoder::new());
        for (plane, table) in self.coded.iter().rev() {
            for (lane, coder) in plane.chunks(quarter(plane.len())).zip(&mut coders) {
                let coded = coder.encode_iid_symbols_reverse(lane, &self.tables[*table]);
                debug_assert!(coded.is_ok(), "the table has a frequency for every byte");
            }
        }
        coders.map(|coder| {
            let Ok(words) = coder.into_compressed();
            words
        })
    }
}

/// The different elements of an array in the order of their bytes, and which of them each element is;
/// `None` where they are more than 256 or more than half as many as the elements, or bytes anyway.
fn palette(bytes: &[u8], width: usize) -> Option<(Vec<u8>, Vec<u8>)> {
    if width == 1 {
        return None;
    }
    let most = (bytes.len() / width / 2).min(MAX_VALUES);
    let mut values: BTreeMap<&[u8], u8> = BTreeMap::new();
    for element in bytes.chunks_exact(width) {
        values.entry(element).or_insert(0);
        if values.len() > most {
            return None;
        }
    }
    values.values_mut().zip(0..=255).for_each(|(code, number)| *code = number);
    let codes = bytes.chunks_exact(width).map(|element| values[element]).collect();
    Some((values.keys().copied().flatten().copied().collect(), codes))
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
