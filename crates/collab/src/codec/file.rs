//! A calibration as a file: both sides have it before anything crosses.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::layout::Layout;
use super::model::CONTEXTS;
use super::{BITS, Codec, MAX_ELEMENTS};
use crate::{CollabError, Result};

/// Largest file of a codec that is read.
const MAX_BYTES: u64 = 64 << 20;

/// What a file begins with; the last byte is the version of the form.
const MAGIC: [u8; 8] = *b"edgecod\x02";

/// The codecs of the inputs of the model at `model` that are beside it.
///
/// # Errors
/// The file, where one is no codec.
pub fn beside(model: &Path, inputs: usize) -> Result<Vec<Option<Codec>>> {
    let read = |index| {
        let path = model.with_file_name(Codec::file_name(index));
        let wrong = |problem: String| CollabError::Codec(format!("{}: {problem}", path.display()));
        match std::fs::metadata(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(wrong(e.to_string())),
            Ok(meta) if meta.len() > MAX_BYTES => {
                return Err(wrong(format!(
                    "{} bytes; a codec has at most {MAX_BYTES}",
                    meta.len()
                )));
            }
            Ok(_) => {}
        }
        let bytes = std::fs::read(&path).map_err(|e| wrong(e.to_string()))?;
        Codec::from_bytes(&bytes).map(Some).map_err(|e| wrong(e.to_string()))
    };
    (0..inputs).map(read).collect()
}

impl Codec {
    /// Name of the file beside a served model that holds the codec of its input `index`.
    pub fn file_name(index: usize) -> String {
        format!("input-{index}.codec")
    }

    /// The content of a file: magic, what the codec is, and a CRC-32.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Postcard fails for maps and sequences of unknown length only.
        let body = postcard::to_stdvec(self).unwrap_or_default();
        let crc = crc32fast::hash(&body).to_le_bytes();
        [&MAGIC[..], &body, &crc].concat()
    }

    /// What a file holds.
    ///
    /// # Errors
    /// Where it is none of this version, damaged, or states what no calibration gives.
    pub fn from_bytes(bytes: &[u8]) -> Result<Codec> {
        let wrong = |problem: &str| CollabError::Codec(problem.into());
        let body =
            bytes.strip_prefix(&MAGIC).ok_or_else(|| wrong("no codec file of this version"))?;
        let (body, crc) = body.split_last_chunk().ok_or_else(|| wrong("the file is cut off"))?;
        if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
            return Err(wrong("the file is damaged: its checksum is wrong"));
        }
        let codec: Codec = postcard::from_bytes(body).map_err(|e| wrong(&e.to_string()))?;
        codec.check().map_err(|problem| wrong(&problem))?;
        Ok(codec)
    }

    /// A number that differs from that of every other calibration: the beginning of a SHA-256.
    pub fn id(&self) -> u64 {
        let body = postcard::to_stdvec(self).unwrap_or_default();
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(Sha256::digest(&body));
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// What coding relies on.
    fn check(&self) -> std::result::Result<(), String> {
        let elements = self.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if elements.is_none_or(|n| n == 0 || n > MAX_ELEMENTS) {
            return Err(format!("a tensor of {:?}", self.shape));
        }
        if Layout::of(&self.shape).channels != self.channels.len() {
            return Err(format!("{} channels of {:?}", self.channels.len(), self.shape));
        }
        let fits = |class: &super::Class| {
            let count = BITS.contains(&class.bits).then(|| 1usize << class.bits);
            count == Some(class.nodes.len()) && count == Some(class.contexts.len())
        };
        if let Some(at) = self.classes.iter().position(|class| !fits(class)) {
            return Err(format!("class {at} has a wrong number of probabilities"));
        }
        for (at, channel) in self.channels.iter().enumerate() {
            let class = self.classes.get(usize::from(channel.class));
            let range = channel.low.is_finite() && channel.step.is_finite() && channel.step > 0.0;
            if !range || class.is_none_or(|class| class.bits != channel.bits) {
                return Err(format!("channel {at} has no range or no class of its bits"));
            }
        }
        self.check_order()
    }

    /// Every plane of every channel once, from the most significant on.
    fn check_order(&self) -> std::result::Result<(), String> {
        let mut open: Vec<u8> = self.channels.iter().map(|channel| channel.bits).collect();
        for (at, chunk) in self.chunks.iter().enumerate() {
            let lanes = chunk.parts.iter().flat_map(|p| p.channels.iter().map(|&c| (p.plane, c)));
            for (plane, channel) in lanes {
                match open.get_mut(channel as usize) {
                    Some(open) if Some(*open) == plane.checked_add(1) => *open = plane,
                    _ => {
                        return Err(format!(
                            "chunk {at} holds bits of channel {channel} out of turn"
                        ));
                    }
                }
            }
        }
        match open.iter().position(|&open| open > 0) {
            Some(channel) => Err(format!("channel {channel} lacks bits")),
            None => Ok(()),
        }
    }
}

const _: () = assert!(CONTEXTS == 5, "the form of a class is part of the file's version");
