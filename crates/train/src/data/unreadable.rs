//! Samples that cannot be read: counted, named, and skipped up to a limit.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use super::{DataError, Dataset, Image, Result};

/// What could not be read so far, from all threads.
pub(super) struct Unreadable {
    limit: usize,
    found: Mutex<BTreeMap<usize, String>>,
}

impl Unreadable {
    /// Allows `limit` samples.
    pub fn new(limit: usize) -> Unreadable {
        Unreadable { limit, found: Mutex::default() }
    }

    /// Reads sample `i`, or the next one of the set that can be read; which it is. So the choice
    /// depends on the set alone.
    ///
    /// # Errors
    /// The sample's own where none may be skipped; else how many could not be read, with the last.
    pub fn read(&self, set: &dyn Dataset, i: usize, into: &mut Image) -> Result<usize> {
        let mut at = i;
        loop {
            let error = match set.read(at, into) {
                Ok(()) => return Ok(at),
                Err(error) if self.limit == 0 => return Err(error),
                Err(error) => error,
            };
            let mut found = self.lock();
            found.insert(at, error.to_string());
            at = (at + 1) % set.len();
            if found.len() > self.limit || at == i {
                let last = Box::new(error);
                return Err(DataError::Unreadable { count: found.len(), limit: self.limit, last });
            }
        }
    }

    /// Each with the reason, by number.
    pub fn list(&self) -> Vec<(usize, String)> {
        self.lock().iter().map(|(&i, reason)| (i, reason.clone())).collect()
    }

    /// A thread that panicked did so outside of the lock.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, String>> {
        self.found.lock().unwrap_or_else(|poison| poison.into_inner())
    }
}
