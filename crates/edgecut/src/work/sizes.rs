//! What a model occupies, counted in every way that people compare.

use std::io::{self, Write};
use std::path::Path;

use edgecut_graph::{Data, Graph, Tensor, onnx};
use edgecut_runtime::{Packed, coded_bytes};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde::Serialize;

use crate::errors::{Failure, Result};
use crate::term;

/// Files beyond this are not compressed only to say how large that would be: 256 MiB.
const MAX_ZIPPED: u64 = 1 << 28;

/// Sizes of one model, in bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sizes {
    /// The numbers of its weights alone; 4-bit ones two a byte.
    pub raw: u64,
    /// The whole file after deflate, as in a zip archive or an app package; none for very large
    /// files.
    pub zip: Option<u64>,
    /// The file.
    pub container: u64,
    /// The weights entropy-coded, as in a packed model that was made with `--coded`.
    pub coded: u64,
}

impl Sizes {
    /// Of `graph`, which is stored in the file at `path`.
    pub fn of_graph(graph: &Graph, path: &Path) -> Result<Sizes> {
        let four_bits = onnx::four_bit_weights(graph);
        let mut used = vec![false; graph.values().len()];
        for id in graph.nodes.iter().flat_map(|node| node.inputs.iter().flatten()) {
            used[id.index()] = true;
        }
        let ids = || graph.value_ids().filter(|id| used[id.index()]);
        let weights = || ids().filter_map(|id| Some((id, graph.constant(id)?)));
        let bytes = |(id, tensor): (_, &Tensor)| match four_bits.contains(&id) {
            true => tensor.bytes().div_ceil(2),
            false => tensor.bytes(),
        };
        let raw = weights().map(bytes).sum::<usize>();
        let arrays: Vec<(Vec<u8>, usize)> = weights()
            .map(|(id, tensor)| match tensor.data() {
                Data::I8(codes) if four_bits.contains(&id) => (nibbles(&codes[..]), 1),
                _ => (tensor.to_le_bytes(), tensor.dtype().bytes()),
            })
            .collect();
        let coded = coded_bytes(arrays.iter().map(|(bytes, width)| (&bytes[..], *width)));
        Sizes::with(raw, coded, path)
    }

    /// Of a packed model in the file at `path`.
    pub fn of_packed(packed: &Packed, path: &Path) -> Result<Sizes> {
        Sizes::with(packed.data_bytes(), packed.coded_size(), path)
    }

    fn with(raw: usize, coded: usize, path: &Path) -> Result<Sizes> {
        let io = |e: io::Error| Failure::io(path, &e);
        let container = std::fs::metadata(path).map_err(io)?.len();
        let zip = match container <= MAX_ZIPPED {
            true => Some(deflated(path).map_err(io)?),
            false => None,
        };
        Ok(Sizes { raw: raw as u64, zip, container, coded: coded as u64 })
    }

    /// In a line.
    pub fn remark(&self) -> String {
        let zip = self.zip.map_or(String::new(), |zip| format!(", {} zipped", term::bytes(zip)));
        let [raw, container, coded] = [self.raw, self.container, self.coded].map(term::bytes);
        format!("sizes: weights {raw}, {coded} entropy-coded; file {container}{zip}")
    }
}

/// Two 4-bit codes a byte.
fn nibbles(codes: &[i8]) -> Vec<u8> {
    let low = |code: Option<&i8>| code.map_or(0, |&code| code as u8 & 0xF);
    codes.chunks(2).map(|pair| low(pair.first()) | low(pair.get(1)) << 4).collect()
}

/// Bytes of the file at `path` after deflate.
fn deflated(path: &Path) -> io::Result<u64> {
    let mut encoder = DeflateEncoder::new(Counter(0), Compression::default());
    io::copy(&mut std::fs::File::open(path)?, &mut encoder)?;
    Ok(encoder.finish()?.0)
}

/// Counts what is written.
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
