//! Where samples wait until a server takes them.

use std::io;
use std::path::Path;

use crate::store::{HEADER, Store};

/// Samples that wait, and those that nobody takes.
pub trait Queue: Send {
    /// Stores `record`; false where there is no room for it.
    ///
    /// # Errors
    /// Where it could not be stored.
    fn push(&mut self, record: &[u8]) -> io::Result<bool>;

    /// The oldest record that waits.
    ///
    /// # Errors
    /// Where it could not be read.
    fn first(&mut self) -> io::Result<Option<Vec<u8>>>;

    /// Forgets `record`, the oldest one.
    ///
    /// # Errors
    /// Where that failed; the record may come again then.
    fn forget(&mut self, record: &[u8]) -> io::Result<()>;

    /// Keeps `record`, the oldest one, where it is in nobody's way.
    ///
    /// # Errors
    /// Where that failed; the record may come again then.
    fn set_aside(&mut self, record: &[u8]) -> io::Result<()>;

    /// Records that wait.
    fn waiting(&self) -> usize;

    /// Records that were set aside.
    fn aside(&self) -> usize;

    /// Bytes of all of them, or what they take.
    fn bytes(&self) -> u64;
}

/// Samples in a folder. Those that were set aside are a [`Store`] themselves, `aside` in it, which is
/// forwarded like any other where it is named.
pub struct DiskQueue {
    store: Store,
    aside: Store,
    most_bytes: u64,
}

impl DiskQueue {
    /// Opens the queue in `folder`, which takes new records up to `most_bytes` in all.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open(folder: &Path, most_bytes: u64) -> io::Result<DiskQueue> {
        let store = Store::open(folder, most_bytes)?;
        let aside = Store::open(&folder.join("aside"), u64::MAX)?;
        Ok(DiskQueue { store, aside, most_bytes })
    }
}

impl Queue for DiskQueue {
    fn push(&mut self, record: &[u8]) -> io::Result<bool> {
        // What is set aside counts, but there is always room for setting aside.
        let len = HEADER + record.len() as u64;
        Ok(self.bytes().saturating_add(len) <= self.most_bytes && self.store.push(record)?)
    }

    fn first(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.store.first()
    }

    fn forget(&mut self, record: &[u8]) -> io::Result<()> {
        self.store.forget_first(record.len())
    }

    fn set_aside(&mut self, record: &[u8]) -> io::Result<()> {
        self.aside.push(record)?;
        self.store.forget_first(record.len())
    }

    fn waiting(&self) -> usize {
        self.store.waiting()
    }

    fn aside(&self) -> usize {
        self.aside.waiting()
    }

    fn bytes(&self) -> u64 {
        self.store.bytes() + self.aside.bytes()
    }
}
