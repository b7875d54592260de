//! What teachers have answered, on disk: training goes on at the student's own speed once a picture has
//! been seen in all its variations.
//!
//! The file is a header and one record for each sample in each variation: the logits as float32,
//! little-endian, and their CRC-32. A record that was never written, or not to its end, fails its
//! checksum and is asked for again, so the file may be lost or cut at any time.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::{Result, TrainError};
use crate::fingerprint::Fingerprint;

const MAGIC: &[u8; 8] = b"edgeansw";
/// Bytes of the header: magic, and what the answers belong to.
const HEADER: u64 = 40;

/// Answers of `classes` numbers for each of `samples` samples in each variation.
pub struct Cache {
    path: PathBuf,
    file: File,
    classes: usize,
    samples: u64,
    record: Vec<u8>,
}

impl Cache {
    /// Opens the file at `path`, or begins it anew where it does not belong to `identity`.
    ///
    /// # Errors
    /// What the operating system refused.
    pub fn open(
        path: &Path,
        identity: Fingerprint,
        classes: usize,
        samples: usize,
    ) -> Result<Cache> {
        let io = |e| TrainError::io(path, e);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(io)?;
        }
        let open =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = open.map_err(io)?;
        let mut header = vec![];
        Read::by_ref(&mut file).take(HEADER).read_to_end(&mut header).map_err(io)?;
        let expected = [&MAGIC[..], &identity[..]].concat();
        if header != expected {
            file.set_len(0).map_err(io)?;
            file.seek(SeekFrom::Start(0)).map_err(io)?;
            file.write_all(&expected).map_err(io)?;
        }
        let record = vec![0; 4 * classes + 4];
        Ok(Cache { path: path.into(), file, classes, samples: samples as u64, record })
    }

    /// Puts the answer for `sample` in variation `view` into `row`; whether it was there.
    ///
    /// # Errors
    /// What the operating system refused.
    pub fn get(&mut self, view: u64, sample: u32, row: &mut [f32]) -> Result<bool> {
        self.seek(view, sample)?;
        match self.file.read_exact(&mut self.record) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(e) => return Err(TrainError::io(&self.path, e)),
        }
        let (data, crc) = self.record.split_at(4 * self.classes);
        // Never written, in the middle of the file: zeros, of which the checksum is not 0.
        if crc32fast::hash(data).to_le_bytes() != crc {
            return Ok(false);
        }
        let (words, _) = data.as_chunks::<4>();
        row.iter_mut().zip(words).for_each(|(r, &w)| *r = f32::from_le_bytes(w));
        Ok(true)
    }

    /// Keeps the answer for `sample` in variation `view`.
    ///
    /// # Errors
    /// What the operating system refused.
    pub fn put(&mut self, view: u64, sample: u32, row: &[f32]) -> Result<()> {
        self.seek(view, sample)?;
        self.record.clear();
        self.record.extend(row.iter().flat_map(|r| r.to_le_bytes()));
        let crc = crc32fast::hash(&self.record);
        self.record.extend(crc.to_le_bytes());
        self.file.write_all(&self.record).map_err(|e| TrainError::io(&self.path, e))
    }

    fn seek(&mut self, view: u64, sample: u32) -> Result<()> {
        let number = view * self.samples + u64::from(sample);
        let at = HEADER + number * self.record.len() as u64;
        self.file.seek(SeekFrom::Start(at)).map_err(|e| TrainError::io(&self.path, e))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_kept_and_broken_ones_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/answers");
        let mut cache = Cache::open(&path, [1; 32], 3, 10).unwrap();
        let mut row = [0.0; 3];
        assert!(!cache.get(0, 4, &mut row).unwrap());
        cache.put(1, 4, &[1.0, -2.5, 3.0]).unwrap();
        // What lies before it in the file was never written.
        assert!(!cache.get(0, 4, &mut row).unwrap());
        drop(cache);
        let mut cache = Cache::open(&path, [1; 32], 3, 10).unwrap();
        assert!(cache.get(1, 4, &mut row).unwrap());
        assert_eq!(row, [1.0, -2.5, 3.0]);
        drop(cache);
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let mut cache = Cache::open(&path, [1; 32], 3, 10).unwrap();
        assert!(!cache.get(1, 4, &mut row).unwrap());
        // Answers of another teacher.
        drop(Cache::open(&path, [2; 32], 3, 10).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), HEADER);
    }
}
