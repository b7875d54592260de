//! Records on disk that outlive the process and the link: appended, later forwarded, then forgotten.
//!
//! A folder of segments, each a file `NUMBER.log` of records `length, CRC-32, bytes` (both numbers 32 bits,
//! little-endian), and the place that was forwarded up to in `forwarded`. A record is on the disk before
//! [`Store::push`] returns. What a crash leaves half-written is cut off when the folder is opened
//! again; a crash between forwarding and forgetting forwards once more, so that receivers must know
//! records by their ids. When the folder is full nothing more is taken, and what is there stays.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes after which a new segment begins.
const SEGMENT: u64 = 4 << 20;

/// Longest record.
pub const MAX_RECORD: usize = 64 << 20;

/// Bytes before a record.
pub(crate) const HEADER: u64 = 8;

/// A queue on disk.
pub struct Store {
    folder: PathBuf,
    most_bytes: u64,
    /// Numbers and bytes of the segments; the last one is written to.
    segments: VecDeque<(u64, u64)>,
    file: File,
    /// Where the next record to be forwarded is in the first segment.
    at: u64,
    waiting: usize,
    damaged: usize,
    /// Keeps other processes out.
    _lock: File,
}

impl Store {
    /// Opens the queue in `folder`, which holds `most_bytes` at most; the folder is made where it is
    /// missing.
    ///
    /// # Errors
    /// Where the folder cannot be used, or another process uses it.
    pub fn open(folder: &Path, most_bytes: u64) -> io::Result<Store> {
        fs::create_dir_all(folder)?;
        let lock = File::create(folder.join("lock"))?;
        lock.try_lock().map_err(|_| {
            let problem = format!("{}: another process uses it", folder.display());
            io::Error::new(ErrorKind::WouldBlock, problem)
        })?;
        let mut numbers = numbers(folder)?;
        let (first, mut at) = forwarded(folder).unwrap_or_default();
        for old in numbers.extract_if(.., |number| *number < first) {
            fs::remove_file(segment(folder, old))?;
        }
        if numbers.first() != Some(&first) {
            at = 0;
        }
        let (mut segments, mut waiting, mut damaged) = (VecDeque::new(), 0, 0);
        for (index, &number) in numbers.iter().enumerate() {
            let from = if index == 0 { at } else { 0 };
            let (count, end) = scan(&segment(folder, number), from)?;
            let len = fs::metadata(segment(folder, number))?.len();
            if end < len {
                // Half a record: nobody was told that it is stored, or the disk lost it.
                damaged += 1;
                OpenOptions::new().write(true).open(segment(folder, number))?.set_len(end)?;
            }
            waiting += count;
            segments.push_back((number, end));
        }
        if segments.is_empty() {
            segments.push_back((first.max(1), 0));
        }
        let (last, _) = segments[segments.len() - 1];
        let file = append(&segment(folder, last))?;
        let at = at.min(segments[0].1);
        let folder = folder.to_path_buf();
        Ok(Store { folder, most_bytes, segments, file, at, waiting, damaged, _lock: lock })
    }

    /// Stores `record`; false where there is no room for it.
    ///
    /// # Errors
    /// Where the disk fails; the record is not stored then.
    pub fn push(&mut self, record: &[u8]) -> io::Result<bool> {
        let len = HEADER + record.len() as u64;
        if record.len() > MAX_RECORD || self.bytes().saturating_add(len) > self.most_bytes {
            return Ok(false);
        }
        if self.last().1 > 0 && self.last().1 + len > SEGMENT {
            let next = self.last().0 + 1;
            self.file = append(&segment(&self.folder, next))?;
            File::open(&self.folder)?.sync_all()?;
            self.segments.push_back((next, 0));
        }
        let mut bytes = Vec::with_capacity(len as usize);
        bytes.extend((record.len() as u32).to_le_bytes());
        bytes.extend(crc32fast::hash(record).to_le_bytes());
        bytes.extend(record);
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // What is half there must not come before the next record.
            self.file.set_len(self.last().1)?;
            return Err(error);
        }
        let last = self.segments.len() - 1;
        self.segments[last].1 += len;
        self.waiting += 1;
        Ok(true)
    }

    /// The oldest record that was not forwarded.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn first(&mut self) -> io::Result<Option<Vec<u8>>> {
        while self.waiting > 0 {
            let (number, end) = self.segments[0];
            if self.at < end {
                let mut file = File::open(segment(&self.folder, number))?;
                file.seek(SeekFrom::Start(self.at))?;
                if let Some(record) = read(&mut file)? {
                    return Ok(Some(record));
                }
                // Lost since the folder was opened.
                self.damaged += 1;
                self.at = end;
            }
            if self.segments.len() == 1 {
                self.waiting = 0;
                break;
            }
            self.drop_segment()?;
        }
        Ok(None)
    }

    /// Forgets the record that [`Store::first`] gave, which has `len` bytes.
    ///
    /// # Errors
    /// Where the disk fails; the record may come again then.
    pub fn forget_first(&mut self, len: usize) -> io::Result<()> {
        self.at += HEADER + len as u64;
        self.waiting = self.waiting.saturating_sub(1);
        if self.at >= self.segments[0].1 && self.segments.len() > 1 {
            return self.drop_segment();
        }
        self.note()
    }

    /// Records that wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Places where bytes had to be given up: half-written records of a crash, or a broken disk.
    pub fn damaged(&self) -> usize {
        self.damaged
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|(_, bytes)| bytes).sum()
    }

    fn last(&self) -> (u64, u64) {
        // There always is one.
        self.segments[self.segments.len() - 1]
    }

    fn drop_segment(&mut self) -> io::Result<()> {
        if let Some((number, _)) = self.segments.pop_front() {
            self.at = 0;
            self.note()?;
            fs::remove_file(segment(&self.folder, number))?;
        }
        Ok(())
    }

    /// Notes how far everything was forwarded. Whole or not at all; what a power cut takes back is
    /// forwarded again.
    fn note(&self) -> io::Result<()> {
        let text = format!("{} {}\n", self.segments[0].0, self.at);
        let path = self.folder.join("forwarded.new");
        fs::write(&path, text)?;
        fs::rename(path, self.folder.join("forwarded"))
    }
}

fn segment(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.log"))
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Numbers of the segments, ascending.
fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = vec![];
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".log"));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Segment and place of the next record to be forwarded.
fn forwarded(folder: &Path) -> Option<(u64, u64)> {
    let text = fs::read_to_string(folder.join("forwarded")).ok()?;
    let (segment, at) = text.trim().split_once(' ')?;
    Some((segment.parse().ok()?, at.parse().ok()?))
}

/// Whole records from `from` on, and where the last one ends.
fn scan(path: &Path, from: u64) -> io::Result<(usize, u64)> {
    let mut file = io::BufReader::new(File::open(path)?);
    let (mut count, mut at, mut end) = (0, 0, 0);
    while let Some(record) = read(&mut file)? {
        count += usize::from(at >= from);
        at += HEADER + record.len() as u64;
        end = at;
    }
    Ok((count, end))
}

/// The next record; none where there is none in full.
fn read(file: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut header = [0; HEADER as usize];
    if !filled(file, &mut header)? {
        return Ok(None);
    }
    let [a, b, c, d, e, f, g, h] = header;
    let len = u32::from_le_bytes([a, b, c, d]) as usize;
    if len > MAX_RECORD {
        return Ok(None);
    }
    let mut record = vec![];
    file.take(len as u64).read_to_end(&mut record)?;
    let whole = record.len() == len && crc32fast::hash(&record) == u32::from_le_bytes([e, f, g, h]);
    Ok(whole.then_some(record))
}

fn filled(file: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(bytes) {
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(false),
        other => other.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drain(store: &mut Store) -> Vec<Vec<u8>> {
        let mut all = vec![];
        while let Some(record) = store.first().unwrap() {
            store.forget_first(record.len()).unwrap();
            all.push(record);
        }
        all
    }

    #[test]
    fn records_survive_and_come_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let record = |i: u32| [&i.to_le_bytes()[..], &vec![i as u8; 300_000]].concat();
        let mut store = Store::open(folder.path(), 1 << 30).unwrap();
        assert!(Store::open(folder.path(), 1 << 30).is_err(), "one process at a time");
        (0..40).for_each(|i| assert!(store.push(&record(i)).unwrap()));
        assert_eq!(store.first().unwrap(), Some(record(0)));
        store.forget_first(record(0).len()).unwrap();
        drop(store);
        let mut store = Store::open(folder.path(), 1 << 30).unwrap();
        assert_eq!(store.waiting(), 39);
        assert_eq!(drain(&mut store), (1..40).map(record).collect::<Vec<_>>());
        assert!(store.bytes() <= SEGMENT, "what was forwarded is gone");
        drop(store);
        assert_eq!(Store::open(folder.path(), 1 << 30).unwrap().waiting(), 0);
    }

    #[test]
    fn a_full_folder_takes_nothing_more() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path(), 250).unwrap();
        assert!(store.push(&[1; 100]).unwrap() && store.push(&[2; 100]).unwrap());
        assert!(!store.push(&[3; 100]).unwrap());
        assert_eq!(drain(&mut store), [vec![1; 100], vec![2; 100]]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// A crash at any byte loses nothing but the record that was being written.
        #[test]
        fn cut_off_anywhere(lens in prop::collection::vec(0usize..50, 1..8), cut in 0.0f64..1.0) {
            let folder = tempfile::tempdir().unwrap();
            let records: Vec<Vec<u8>> = lens.iter().map(|&len| vec![len as u8; len]).collect();
            let mut store = Store::open(folder.path(), 1 << 20).unwrap();
            records.iter().for_each(|record| assert!(store.push(record).unwrap()));
            drop(store);
            let path = segment(folder.path(), 1);
            let bytes = fs::read(&path).unwrap();
            let kept = (cut * bytes.len() as f64) as usize;
            fs::write(&path, &bytes[..kept]).unwrap();
            let mut store = Store::open(folder.path(), 1 << 20).unwrap();
            let ends = records.iter().scan(0, |end, record| {
                *end += HEADER as usize + record.len();
                Some(*end)
            });
            let whole = ends.take_while(|end| *end <= kept).count();
            assert!(store.push(b"next").unwrap());
            let expected = [&records[..whole], &[b"next".to_vec()]].concat();
            prop_assert_eq!(drain(&mut store), expected);
        }

        #[test]
        fn any_bytes_open(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let folder = tempfile::tempdir().unwrap();
            fs::write(segment(folder.path(), 3), &bytes).unwrap();
            fs::write(folder.path().join("forwarded"), &bytes).unwrap();
            let mut store = Store::open(folder.path(), 1 << 20).unwrap();
            drain(&mut store);
            assert!(store.push(b"next").unwrap());
            prop_assert_eq!(drain(&mut store), [b"next".to_vec()]);
        }
    }
}
