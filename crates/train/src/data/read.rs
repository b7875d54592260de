//! Reading with a bound: what a file claims is compared with what it can hold before memory is taken.

use super::limits::{MAX_DEFLATE_RATIO, MAX_SET_BYTES, MAX_TEXT};
use super::{DataError, Result};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

/// Memory taken ahead of the data; beyond it a buffer grows only as bytes really arrive.
const HEAD_START: u64 = 64 << 20;

/// An open file, decompressed when its first two bytes are gzip's.
pub(crate) struct Source {
    reader: Box<dyn Read>,
    /// The most bytes that the file can expand to.
    pub capacity: u64,
}

impl Source {
    /// Opens `path`; gzip is recognised by its magic number, not by the name.
    pub fn open(path: &Path) -> Result<Source> {
        let (mut file, size) = open_file(path)?;
        let mut magic = [0; 2];
        // A file shorter than two bytes is left to the format's own check.
        let zipped = size >= 2 && file.read_exact(&mut magic).is_ok() && magic == [0x1f, 0x8b];
        file.rewind().map_err(|e| DataError::io(path, e))?;
        let file = BufReader::with_capacity(1 << 16, file);
        Ok(match zipped {
            true => Source {
                reader: Box::new(MultiGzDecoder::new(file)),
                capacity: size.saturating_mul(MAX_DEFLATE_RATIO),
            },
            false => Source { reader: Box::new(file), capacity: size },
        })
    }

    /// Fills `buffer`; `what` names the part in the error.
    pub fn exact(&mut self, path: &Path, buffer: &mut [u8], what: &str) -> Result<()> {
        self.reader.read_exact(buffer).map_err(|error| broken(path, what, &error))
    }

    /// The rest of the file, which must be exactly `len` bytes. Reads to the end, so that gzip's
    /// checksum is verified.
    pub fn rest(mut self, path: &Path, len: u64, what: &str) -> Result<Vec<u8>> {
        if len > self.capacity || len > MAX_SET_BYTES {
            return Err(DataError::format(
                path,
                format!(
                    "declares {len} bytes of {what}, which the file cannot hold; it is broken or cut off"
                ),
            ));
        }
        let bytes =
            read_at_most(&mut self.reader, len).map_err(|error| broken(path, what, &error))?;
        match (bytes.len() as u64).cmp(&len) {
            std::cmp::Ordering::Equal => Ok(bytes),
            std::cmp::Ordering::Less => Err(DataError::format(
                path,
                format!("ends after {} of {len} bytes of {what}; the file is cut off", bytes.len()),
            )),
            std::cmp::Ordering::Greater => Err(DataError::format(
                path,
                format!("goes on after the declared {len} bytes of {what}; the file is broken"),
            )),
        }
    }
}

/// Opens a regular file and tells its size. A folder, pipe or device is refused: its size says nothing.
pub(crate) fn open_file(path: &Path) -> Result<(File, u64)> {
    let data = std::fs::metadata(path).map_err(|e| DataError::io(path, e))?;
    if !data.is_file() {
        return Err(DataError::format(path, "is not a regular file"));
    }
    let file = File::open(path).map_err(|e| DataError::io(path, e))?;
    Ok((file, data.len()))
}

/// Up to `len + 1` bytes; the extra one tells that there are more than declared.
pub(crate) fn read_at_most(reader: &mut dyn Read, len: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(len.min(HEAD_START) as usize + 1);
    reader.take(len.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Lines of a small text file, trimmed, empty ones dropped.
pub(crate) fn text_lines(path: &Path) -> Result<Vec<String>> {
    let (mut file, _) = open_file(path)?;
    let bytes = read_at_most(&mut file, MAX_TEXT).map_err(|e| DataError::io(path, e))?;
    if bytes.len() as u64 > MAX_TEXT {
        return Err(DataError::format(
            path,
            format!("longer than {MAX_TEXT} bytes; expected one name a line"),
        ));
    }
    let text =
        String::from_utf8(bytes).map_err(|_| DataError::format(path, "is not UTF-8 text"))?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_string).collect())
}

fn broken(path: &Path, what: &str, error: &std::io::Error) -> DataError {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            DataError::format(path, format!("ends inside {what}; the file is cut off"))
        }
        _ => DataError::format(path, format!("cannot read {what}: {error}")),
    }
}
