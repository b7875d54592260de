//! The journal as a local file.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{Header, Journal, Record};
use crate::error::{Result, SearchError};

/// Longest journal that is read.
const MAX_BYTES: u64 = 1 << 30;

/// What to do about a journal that does not fit.
const HINT: &str = "name another file, or remove this one to begin anew";

/// A journal in a file, one record a line, each on disk before anything builds on it.
#[derive(Debug)]
pub struct FileJournal {
    path: PathBuf,
    file: File,
    records: Vec<Record>,
    notice: Option<String>,
}

impl FileJournal {
    /// The journal at `path` of the search that `header` describes: a new one where there is none,
    /// locked until it is dropped.
    ///
    /// What a crash left behind the last whole record is cut off, and [`FileJournal::notice`] says so.
    ///
    /// # Errors
    /// Where another process has it open, it is of another search or no journal, or a record before the
    /// last is damaged: the file is left as it was.
    pub fn open(path: &Path, header: &Header) -> Result<FileJournal> {
        let io = |e| SearchError::io(path, e);
        let begin = Record::Begin(header.clone()).encode();
        let is_new = !path.exists();
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        lock(path, &file)?;
        if is_new {
            sync_folder(path).map_err(io)?;
        }
        let bytes = read(path, &mut file)?;
        if !bytes.contains(&b'\n') && begin.starts_with(&bytes) {
            // Nothing, or a crash while the first record was written.
            let mut journal =
                FileJournal { path: path.into(), file, records: vec![], notice: None };
            journal.cut(0)?;
            journal.write(&begin)?;
            return Ok(journal);
        }
        let (mut records, whole) = decode(path, &bytes)?;
        match records.first() {
            Some(Record::Begin(found)) => {
                if let Some(difference) = found.difference(header) {
                    return Err(SearchError::journal(path, format!("{difference}; {HINT}")));
                }
            }
            _ => {
                return Err(SearchError::journal(
                    path,
                    format!("is no journal of a search; {HINT}"),
                ));
            }
        }
        records.remove(0);
        let mut journal = FileJournal { path: path.into(), file, records, notice: None };
        let torn = bytes.len() - whole;
        if torn > 0 {
            let text = "bytes of a record that was not finished are cut off";
            journal.notice = Some(format!("{}: {torn} {text}", path.display()));
            journal.cut(whole as u64)?;
        }
        Ok(journal)
    }

    /// What was cut off when the journal was opened, if anything was.
    pub fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    /// The header and records of the journal at `path`, without touching it: for reports, also while a
    /// search is running.
    ///
    /// # Errors
    /// Where it cannot be read, is no journal, or a record before the last is damaged.
    pub fn inspect(path: &Path) -> Result<(Header, Vec<Record>)> {
        let mut file = File::open(path).map_err(|e| SearchError::io(path, e))?;
        let (mut records, _) = decode(path, &read(path, &mut file)?)?;
        if !matches!(records.first(), Some(Record::Begin(_))) {
            return Err(SearchError::journal(path, "is no journal of a search"));
        }
        match records.remove(0) {
            Record::Begin(header) => Ok((header, records)),
            _ => unreachable!("was compared above"),
        }
    }

    fn cut(&mut self, length: u64) -> Result<()> {
        let cut = self.file.set_len(length).and_then(|()| self.file.seek(SeekFrom::End(0)));
        cut.and_then(|_| self.file.sync_data()).map_err(|e| SearchError::io(&self.path, e))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_data());
        written.map_err(|e| SearchError::io(&self.path, e))
    }
}

impl Journal for FileJournal {
    fn take_records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }

    fn append(&mut self, record: &Record) -> Result<()> {
        self.write(&record.encode())
    }
}

fn lock(path: &Path, file: &File) -> Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            Err(SearchError::journal(path, "is in use by another search; wait for it to end"))
        }
        Err(TryLockError::Error(e)) => Err(SearchError::io(path, e)),
    }
}

/// Makes a new file's name survive a crash.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match cfg!(unix) {
        true => File::open(folder.unwrap_or(Path::new(".")))?.sync_all(),
        false => Ok(()),
    }
}

fn read(path: &Path, file: &mut File) -> Result<Vec<u8>> {
    let io = |e| SearchError::io(path, e);
    let length = file.metadata().map_err(io)?.len();
    if length > MAX_BYTES {
        return Err(SearchError::journal(path, "is larger than 1 GiB: no journal of a search"));
    }
    let mut bytes = vec![];
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}

/// All records, and the length of what holds them. Each record was on disk before the next was
/// written, so only the last can be torn.
fn decode(path: &Path, bytes: &[u8]) -> Result<(Vec<Record>, usize)> {
    let mut records = vec![];
    let mut whole = 0;
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        match Record::decode(line) {
            Ok(record) => records.push(record),
            Err(_) if whole + line.len() == bytes.len() && whole > 0 => break,
            Err(problem) => {
                let text = match records.len() {
                    0 => format!("is no journal of a search, or record 1 is damaged; {HINT}"),
                    known => format!("record {} {problem}; {HINT}", known + 1),
                };
                return Err(SearchError::journal(path, text));
            }
        }
        whole += line.len();
    }
    Ok((records, whole))
}
