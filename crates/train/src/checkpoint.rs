//! The complete state of a training in one file, so that it survives being killed.
//!
//! Layout, little endian: magic, version, digests of settings, model and data, counters, history,
//! arrays of float32 with their lengths, CRC-32 of everything before. Random numbers need no
//! state: they are keyed by seed, epoch and sample. A file is written beside its final name,
//! flushed to the disk and renamed, so the name always holds a complete one.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Result, TrainError};
use crate::fingerprint::Fingerprint;
use crate::progress::EpochStats;

const MAGIC: &[u8; 8] = b"edgeckpt";
const VERSION: u32 = 1;
/// Bytes that everything but arrays and history takes, generously.
const MAX_OVERHEAD: u64 = 4096;
/// Bytes of one epoch in the history.
const EPOCH_BYTES: u64 = 8 * 8;
/// Epochs that a history may have.
const MAX_EPOCHS: u64 = 1_000_000;

/// What a training is made of; all three must match for a checkpoint to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Of the settings.
    pub config: Fingerprint,
    /// Of the graph that training started from.
    pub model: Fingerprint,
    /// Of the data and their preparation.
    pub data: Fingerprint,
}

/// Everything that the rest of a training depends on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// Steps done since the beginning.
    pub step: u64,
    /// Sum of the losses of this epoch's images so far.
    pub loss_sum: f64,
    /// Images of this epoch so far that were recognised.
    pub correct: u64,
    /// Images of this epoch so far.
    pub seen: u64,
    /// Seconds of training so far, all runs together.
    pub seconds: f64,
    /// Finished epochs.
    pub history: Vec<EpochStats>,
    /// Parameters, statistics, moments, averages; their number and lengths follow from model and
    /// settings.
    pub arrays: Vec<Vec<f32>>,
}

impl Checkpoint {
    /// Writes the file at `path` as a whole or not at all.
    ///
    /// # Errors
    /// What the operating system refused.
    pub fn save(&self, path: &Path, identity: &Identity) -> Result<()> {
        let bytes = self.encode(identity);
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
        if let Some(folder) = folder {
            fs::create_dir_all(folder).map_err(|e| TrainError::io(folder, e))?;
        }
        let temporary = temporary_name(path);
        let written = File::create(&temporary).and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_all()
        });
        written.map_err(|e| TrainError::io(&temporary, e))?;
        fs::rename(&temporary, path).map_err(|e| TrainError::io(path, e))?;
        // Makes the rename itself durable. Not every system can open a folder; a power failure
        // there may bring back the previous checkpoint, which is as good.
        let _ = File::open(folder.unwrap_or(Path::new("."))).and_then(|f| f.sync_all());
        Ok(())
    }

    /// Reads the file at `path`, whose arrays must have the lengths `lengths`. `None` if there is
    /// no file.
    ///
    /// # Errors
    /// A broken file, or one that belongs to another training: which part differs, and what to do.
    pub fn load(path: &Path, identity: &Identity, lengths: &[usize]) -> Result<Option<Checkpoint>> {
        let size = match fs::metadata(path) {
            Ok(metadata) => metadata.len(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(TrainError::io(path, e)),
        };
        let arrays: u64 = lengths.iter().map(|&l| 8 + 4 * l as u64).sum();
        // Another model's file is larger or smaller; none of this training's can be larger.
        let limit = arrays + MAX_OVERHEAD + EPOCH_BYTES * MAX_EPOCHS;
        if size > limit {
            let problem = format!("{size} bytes, at most {limit} fit this model; {REMEDY}");
            return Err(TrainError::checkpoint(path, problem));
        }
        let bytes = fs::read(path).map_err(|e| TrainError::io(path, e))?;
        decode(&bytes, identity, lengths)
            .map(Some)
            .map_err(|problem| TrainError::checkpoint(path, format!("{problem}; {REMEDY}")))
    }

    fn encode(&self, identity: &Identity) -> Vec<u8> {
        let floats: usize = self.arrays.iter().map(Vec::len).sum();
        let mut out = Vec::with_capacity(4 * floats + 1024 + 64 * self.history.len());
        out.extend(MAGIC);
        out.extend(VERSION.to_le_bytes());
        for digest in [identity.config, identity.model, identity.data] {
            out.extend(digest);
        }
        let counters = [self.step, self.loss_sum.to_bits(), self.correct, self.seen];
        counters.iter().for_each(|v| out.extend(v.to_le_bytes()));
        out.extend(self.seconds.to_le_bytes());
        out.extend((self.history.len() as u64).to_le_bytes());
        for epoch in &self.history {
            epoch.to_numbers().iter().for_each(|v| out.extend(v.to_le_bytes()));
        }
        out.extend((self.arrays.len() as u64).to_le_bytes());
        for array in &self.arrays {
            out.extend((array.len() as u64).to_le_bytes());
            array.iter().for_each(|v| out.extend(v.to_le_bytes()));
        }
        let crc = crc32fast::hash(&out);
        out.extend(crc.to_le_bytes());
        out
    }
}

const REMEDY: &str = "restart the training, or give it another checkpoint file";

fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}

/// Takes numbers off the front of a file.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let (head, rest) = self.0.split_at_checked(len).ok_or("the file is cut off")?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| "the file is cut off".to_string())
    }

    fn u64(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_le_bytes)
    }

    fn f64(&mut self) -> Result<f64, String> {
        self.u64().map(f64::from_bits)
    }
}

fn decode(bytes: &[u8], identity: &Identity, lengths: &[usize]) -> Result<Checkpoint, String> {
    let mut reader = Reader(bytes);
    if reader.take(MAGIC.len())? != MAGIC {
        return Err("not a checkpoint of edgecut".into());
    }
    let version = u32::from_le_bytes(reader.array()?);
    if version != VERSION {
        return Err(format!("written in format {version}, this program reads {VERSION}"));
    }
    let (body, crc) = bytes.split_at(bytes.len() - 4);
    if crc32fast::hash(body).to_le_bytes() != crc {
        return Err("the checksum is wrong: the file is damaged".into());
    }
    for (what, expected) in [
        ("other settings", identity.config),
        ("another model", identity.model),
        ("other data", identity.data),
    ] {
        if reader.array::<32>()? != expected {
            return Err(format!("it belongs to a training with {what}"));
        }
    }
    let mut checkpoint = Checkpoint {
        step: reader.u64()?,
        loss_sum: reader.f64()?,
        correct: reader.u64()?,
        seen: reader.u64()?,
        seconds: reader.f64()?,
        ..Checkpoint::default()
    };
    for _ in 0..reader.u64()? {
        let mut numbers = [0.0; EpochStats::NUMBERS];
        for number in &mut numbers {
            *number = reader.f64()?;
        }
        checkpoint.history.push(EpochStats::from_numbers(numbers));
    }
    let count = reader.u64()?;
    if count != lengths.len() as u64 {
        return Err(format!("{count} arrays, expected {}", lengths.len()));
    }
    for &len in lengths {
        if reader.u64()? != len as u64 {
            return Err("an array has another length than the model's".into());
        }
        let floats = reader.take(4 * len)?.as_chunks::<4>().0;
        checkpoint.arrays.push(floats.iter().map(|b| f32::from_le_bytes(*b)).collect());
    }
    Ok(checkpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Checkpoint, Identity) {
        let epoch = EpochStats {
            epoch: 1,
            train_loss: 0.1 + 0.2,
            train_accuracy: 0.5,
            val_loss: Some(1.0 / 3.0),
            val_accuracy: None,
            lr: 0.05,
            seconds: 1.5,
        };
        let checkpoint = Checkpoint {
            step: 17,
            loss_sum: 2.25,
            correct: 3,
            seen: 9,
            seconds: 4.5,
            history: vec![epoch; 2],
            arrays: vec![vec![1.0, -0.0, f32::MIN_POSITIVE], vec![]],
        };
        (checkpoint, Identity { config: [1; 32], model: [2; 32], data: [3; 32] })
    }

    #[test]
    fn comes_back_bit_by_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.ckpt");
        let (checkpoint, identity) = sample();
        assert_eq!(Checkpoint::load(&path, &identity, &[3, 0]).unwrap(), None);
        for _ in 0..2 {
            checkpoint.save(&path, &identity).unwrap();
            let read = Checkpoint::load(&path, &identity, &[3, 0]).unwrap().unwrap();
            assert_eq!(read, checkpoint);
            assert_eq!(read.arrays[0][1].to_bits(), (-0.0f32).to_bits());
        }
        assert_eq!(
            fs::read_dir(folder.path().join("a")).unwrap().count(),
            1,
            "nothing is left over"
        );
    }

    #[test]
    fn another_training_is_refused_by_what_differs() {
        let (checkpoint, identity) = sample();
        let bytes = checkpoint.encode(&identity);
        let refused = |other: Identity| decode(&bytes, &other, &[3, 0]).unwrap_err();
        assert!(refused(Identity { config: [9; 32], ..identity }).contains("other settings"));
        assert!(refused(Identity { model: [9; 32], ..identity }).contains("another model"));
        assert!(refused(Identity { data: [9; 32], ..identity }).contains("other data"));
        assert!(decode(&bytes, &identity, &[2, 0]).is_err());
        assert!(decode(&bytes, &identity, &[3]).is_err());
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_is_noticed() {
        let (checkpoint, identity) = sample();
        let bytes = checkpoint.encode(&identity);
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len], &identity, &[3, 0]).is_err(), "{len} bytes");
        }
        for bit in 0..8 * bytes.len() {
            let mut broken = bytes.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&broken, &identity, &[3, 0]).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broken.ckpt");
        fs::write(&path, b"edgeckpt").unwrap();
        let error = Checkpoint::load(&path, &sample().1, &[3, 0]).unwrap_err().to_string();
        assert!(error.contains("broken.ckpt") && error.contains("cut off"), "{error}");
    }
}
