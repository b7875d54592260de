//! The first bytes of a packed model, which every version of edgecut can read.
//!
//! All numbers are little-endian.
//!
//! | bytes | hold |
//! | --- | --- |
//! | 0..8 | [`MAGIC`] |
//! | 8..12 | version of the format |
//! | 12..28 | version of edgecut that wrote it, as text |
//! | 28..32 | version of the layouts of weights ([`LAYOUT`]) |
//! | 32..48 | instruction set that it was packed for, as text |
//! | 48..72 | bytes of the metadata, first byte of the data, bytes of the data |
//! | 72..80 | CRC-32 of the metadata and of the data |
//! | 80..88 | bytes of the arrays where the data is entropy-coded, 0 where it is not |
//! | 88..92 | CRC-32 of the bytes before |
//!
//! The metadata follows from byte 128 on; the data begins at a multiple of 64 and ends the file.

use std::ops::Range;

use edgecut_kernels::Isa;
use edgecut_kernels::arena::ALIGN;
use edgecut_kernels::blob::LAYOUT;

use super::PackedError;

/// What every packed model begins with: not text, not UTF-8, and changed by any conversion of line
/// ends.
pub const MAGIC: [u8; 8] = *b"\x89ECUT\r\n\x1a";

/// Version of the format: raise it whenever a type that is written changes, so that an older file
/// is refused and not misread.
pub(super) const FORMAT: u32 = 4;

/// Where the metadata begins: two cache lines.
const BYTES: usize = 128;
const CHECKED: usize = 88;

/// Where the parts of a file are.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub metadata: Range<usize>,
    pub data: Range<usize>,
    /// Bytes of what the data decodes to, where it is coded.
    pub decoded: Option<usize>,
    metadata_crc: u32,
    data_crc: u32,
}

impl Header {
    /// The header of a file with this metadata and data, which decodes to so many bytes where it is
    /// coded; and the zeros between them.
    pub fn of(
        metadata: &[u8],
        data: &[u8],
        decoded: Option<usize>,
        isa: Isa,
    ) -> ([u8; BYTES], usize) {
        let end = BYTES + metadata.len();
        let start = end.next_multiple_of(ALIGN);
        let mut bytes = [0; BYTES];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &MAGIC);
        put(8, &FORMAT.to_le_bytes());
        put(12, &text(env!("CARGO_PKG_VERSION")));
        put(28, &LAYOUT.to_le_bytes());
        put(32, &text(isa.level().name()));
        let sizes = [metadata.len(), start, data.len()];
        sizes.iter().enumerate().for_each(|(i, n)| put(48 + 8 * i, &(*n as u64).to_le_bytes()));
        put(72, &crc32fast::hash(metadata).to_le_bytes());
        put(76, &crc32fast::hash(data).to_le_bytes());
        put(80, &(decoded.unwrap_or(0) as u64).to_le_bytes());
        let crc = crc32fast::hash(&bytes[..CHECKED]);
        bytes[CHECKED..CHECKED + 4].copy_from_slice(&crc.to_le_bytes());
        (bytes, start - end)
    }

    /// Reads and checks all that can be known without looking at the data.
    pub fn read(file: &[u8]) -> Result<Header, PackedError> {
        if cfg!(target_endian = "big") {
            return Err(PackedError::ByteOrder);
        }
        if file.len() < MAGIC.len() || file[..MAGIC.len()] != MAGIC {
            return Err(PackedError::Magic);
        }
        let truncated = |needed: usize| PackedError::Truncated { needed, found: file.len() };
        let bytes = file.first_chunk::<BYTES>().ok_or_else(|| truncated(BYTES))?;
        let u32_at = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[at + i]));
        let u64_at = |at: usize| {
            usize::try_from(u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i| bytes[at + i])))
        };
        let (format, writer) = (u32_at(8), name(&bytes[12..28]));
        if format != FORMAT {
            return Err(PackedError::Version { writer, format, expected: FORMAT });
        }
        if crc32fast::hash(&bytes[..CHECKED]) != u32_at(CHECKED) {
            return Err(PackedError::Damaged { part: "header" });
        }
        if u32_at(28) != LAYOUT {
            return Err(PackedError::Layout { writer, layout: u32_at(28), expected: LAYOUT });
        }
        let isa = name(&bytes[32..48]);
        if Isa::from_name(&isa).is_none_or(|isa| !Isa::detect().includes(isa)) {
            return Err(PackedError::Isa { needed: isa, best: Isa::detect().name() });
        }
        let range = |start: usize, len: usize| Some(start..start.checked_add(len)?);
        let sizes = [u64_at(48), u64_at(56), u64_at(64), u64_at(80)];
        let [Ok(metadata), Ok(start), Ok(data), Ok(decoded)] = sizes else {
            return Err(PackedError::Damaged { part: "header" });
        };
        let (Some(metadata), Some(data)) = (range(BYTES, metadata), range(start, data)) else {
            return Err(PackedError::Damaged { part: "header" });
        };
        if data.end > file.len() {
            return Err(truncated(data.end));
        }
        if metadata.end > data.start || !data.start.is_multiple_of(ALIGN) || data.end < file.len() {
            return Err(PackedError::Damaged { part: "header" });
        }
        let (metadata_crc, data_crc) = (u32_at(72), u32_at(76));
        if crc32fast::hash(&file[metadata.clone()]) != metadata_crc {
            return Err(PackedError::Damaged { part: "metadata" });
        }
        let decoded = Some(decoded).filter(|&bytes| bytes > 0);
        Ok(Header { metadata, data, decoded, metadata_crc, data_crc })
    }

    /// Whether the data is what was written.
    pub fn verify(&self, file: &[u8]) -> Result<(), PackedError> {
        if crc32fast::hash(&file[self.data.clone()]) != self.data_crc {
            return Err(PackedError::Damaged { part: "data" });
        }
        Ok(())
    }

    /// The checksums of metadata and data, which tell one packed model from another.
    pub fn checksums(&self) -> [u32; 2] {
        [self.metadata_crc, self.data_crc]
    }
}

/// Short text, filled up with zeros.
fn text(text: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    let len = text.len().min(16);
    bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
    bytes
}

/// The text that [`text`] wrote; what is not printable becomes `?`.
fn name(bytes: &[u8]) -> String {
    let shown = |&b: &u8| if b.is_ascii_graphic() { char::from(b) } else { '?' };
    bytes.iter().take_while(|&&b| b != 0).map(shown).collect()
}
