//! Blobs as places in a data section, which lies beside what serde writes.
//!
//! Serde hands no context down to the fields of a struct, so the section of the (de)serialisation
//! that runs on this thread is a thread-local: that is what keeps a step of a plan to one derive.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Blob, Mapping};
use crate::arena::{ALIGN, Plain};

thread_local! {
    static SECTION: RefCell<Section> = const { RefCell::new(Section::None) };
}

/// The data section of this thread's (de)serialisation.
#[derive(Default)]
enum Section {
    #[default]
    None,
    Write(Writer),
    Read(Arc<Mapping>, Range<usize>),
}

/// The arrays that [`write_with`] has collected.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    /// The data section.
    pub bytes: Vec<u8>,
    /// Its arrays in order, with zeros between them.
    pub arrays: Vec<Array>,
}

/// Where an array lies in a data section.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Its bytes.
    pub range: Range<usize>,
    /// Bytes of an element.
    pub width: usize,
}

/// A data section that grows. Content that is there already is not written again: plans of one
/// model for several shapes share nearly all of it.
#[derive(Default)]
struct Writer {
    written: Written,
    /// Places by a hash of what is there.
    known: HashMap<u32, Vec<Range<usize>>>,
}

impl Writer {
    /// Where `content`, elements of `width` bytes, begins.
    fn place(&mut self, content: &[u8], width: usize) -> usize {
        let Written { bytes, arrays } = &mut self.written;
        let known = self.known.entry(crc32fast::hash(content)).or_default();
        if let Some(place) = known.iter().find(|place| &bytes[(*place).clone()] == content) {
            return place.start;
        }
        let start = bytes.len().next_multiple_of(ALIGN);
        bytes.resize(start, 0);
        bytes.extend_from_slice(content);
        known.push(start..bytes.len());
        arrays.push(Array { range: start..bytes.len(), width });
        start
    }
}

/// Puts the section before back when it is dropped, after a panic too.
struct Restore(Section);

impl Restore {
    fn enter(section: Section) -> Restore {
        Restore(SECTION.replace(section))
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        SECTION.set(std::mem::replace(&mut self.0, Section::None));
    }
}

/// Runs `write`, in which blobs serialise as places in a data section; its result, and the section.
pub fn write_with<R>(write: impl FnOnce() -> R) -> (R, Written) {
    let _restore = Restore::enter(Section::Write(Writer::default()));
    let result = write();
    match SECTION.take() {
        Section::Write(writer) => (result, writer.written),
        _ => unreachable!("whatever `write` enters is left again"),
    }
}

/// Runs `read`, in which blobs deserialise as ranges of the bytes `section` of `mapping`.
pub fn read_with<R>(mapping: &Arc<Mapping>, section: Range<usize>, read: impl FnOnce() -> R) -> R {
    let _restore = Restore::enter(Section::Read(Arc::clone(mapping), section));
    read()
}

/// The bytes of a blob: what is written, in the order of this machine.
fn bytes_of<T: Plain>(blob: &Blob<T>) -> &[u8] {
    // SAFETY: plain numbers have no padding, so all of their bytes are initialised.
    unsafe { std::slice::from_raw_parts(blob.as_ptr().cast(), size_of_val(&blob[..])) }
}

impl<T: Plain> Serialize for Blob<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let place = SECTION.with_borrow_mut(|section| match section {
            Section::Write(writer) => Some(writer.place(bytes_of(self), size_of::<T>())),
            _ => None,
        });
        let start = place.ok_or_else(|| S::Error::custom("a blob outside of `write_with`"))?;
        (start as u64, self.len() as u64).serialize(serializer)
    }
}

impl<'de, T: Plain> Deserialize<'de> for Blob<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Blob<T>, D::Error> {
        let (start, len) = <(u64, u64)>::deserialize(deserializer)?;
        SECTION.with_borrow(|section| match section {
            Section::Read(mapping, section) => find(mapping, section, start, len)
                .ok_or_else(|| D::Error::custom(format!("no {len} elements at {start}"))),
            _ => Err(D::Error::custom("a blob outside of `read_with`")),
        })
    }
}

fn find<T: Plain>(
    mapping: &Arc<Mapping>,
    section: &Range<usize>,
    start: u64,
    len: u64,
) -> Option<Blob<T>> {
    let len = usize::try_from(len).ok()?;
    let start = section.start.checked_add(usize::try_from(start).ok()?)?;
    let end = len.checked_mul(size_of::<T>())?.checked_add(start)?;
    if !start.is_multiple_of(ALIGN) || end > section.end {
        return None;
    }
    Blob::mapped(mapping, start, len)
}
