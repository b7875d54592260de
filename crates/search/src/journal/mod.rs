//! The journal of a search: what it began with, what was asked for, and what came of it.
//!
//! Records are added and never changed. A batch is written before its first evaluation begins, a
//! result as soon as it is there; results of one batch come in any order. What to ask for next is a
//! function of the batches that are over, so a journal is all the state that a search has.

mod file;
mod record;

pub use file::FileJournal;
pub use record::{Header, Record};

use crate::error::Result;

/// Where records are kept: a file, or a stream on a server.
pub trait Journal {
    /// The records behind the header, which were there when the journal was opened.
    fn take_records(&mut self) -> Vec<Record>;

    /// Adds a record; it is safe once this returns.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn append(&mut self, record: &Record) -> Result<()>;
}

/// A journal that is forgotten, for searches that take seconds.
#[derive(Debug, Default)]
pub struct NoJournal;

impl Journal for NoJournal {
    fn take_records(&mut self) -> Vec<Record> {
        vec![]
    }

    fn append(&mut self, _: &Record) -> Result<()> {
        Ok(())
    }
}
