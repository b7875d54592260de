//! Arrays that never change once a model is packed: owned, or read in place from a mapped file.
//!
//! Both lie at a multiple of 64 bytes, so a vector load never crosses a cache line: an allocator
//! aligns to 16, and each 64-byte load of such an array would cost two.
//!
//! A struct made of blobs derives `Serialize` and `Deserialize`. Inside [`write_with`] a blob
//! appends its content to a data section and serialises as its place there; inside [`read_with`] it
//! becomes that range of the mapping, without a copy. What it holds is then whatever the file says:
//! kernels check lengths where they use them, as they do with slices of a caller.

mod mapping;
mod section;

use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::arena::{ALIGN, Line, Plain};

pub use mapping::Mapping;
pub use section::{Array, Written, read_with, write_with};

/// Version of how weights are laid out, and of every type of this crate that is written to a file:
/// raise it with any change to those, so that a packed model is refused and not misread.
pub const LAYOUT: u32 = 5;

/// An array of plain numbers, aligned to [`ALIGN`](crate::arena::ALIGN).
pub struct Blob<T: Plain> {
    /// The elements, wherever `held` keeps them: an access then costs what one of a Vec costs.
    start: NonNull<T>,
    /// Elements.
    len: usize,
    held: Held,
}

/// What keeps the elements alive.
enum Held {
    /// Whole cache lines, the last one filled up with zeros.
    Own(Vec<Line>),
    Mapped(Arc<Mapping>),
}

// SAFETY: shared access only reads, exclusive access only writes memory that the blob owns.
unsafe impl<T: Plain + Send> Send for Blob<T> {}
// SAFETY: as above.
unsafe impl<T: Plain + Sync> Sync for Blob<T> {}

impl<T: Plain> Blob<T> {
    /// No elements.
    pub fn new() -> Blob<T> {
        Blob::own(vec![], 0)
    }

    /// `len` zeros.
    pub fn zeros(len: usize) -> Blob<T> {
        let mut blob = Blob::new();
        blob.reset(len);
        blob
    }

    /// The `len` elements from byte `start` of `mapping` on, or `None` where they are not aligned or
    /// not inside.
    pub fn mapped(mapping: &Arc<Mapping>, start: usize, len: usize) -> Option<Blob<T>> {
        let bytes = mapping.bytes().get(start..)?;
        let fits = len.checked_mul(size_of::<T>())? <= bytes.len();
        let start = NonNull::from(bytes).cast::<T>();
        let held = Held::Mapped(Arc::clone(mapping));
        (fits && start.is_aligned()).then_some(Blob { start, len, held })
    }

    /// Makes it `len` zeros, to be filled. Allocates only where it was never as large.
    pub fn reset(&mut self, len: usize) -> &mut [T] {
        let mut lines = match std::mem::replace(&mut self.held, Held::Own(vec![])) {
            Held::Own(lines) => lines,
            Held::Mapped(_) => vec![],
        };
        self.len = 0;
        let bytes = len.checked_mul(size_of::<T>()).expect("an array fits the address space");
        lines.clear();
        lines.resize(bytes.div_ceil(ALIGN), Line::ZERO);
        *self = Blob::own(lines, len);
        self.to_mut()
    }

    /// The elements, to be changed; those of a mapping are copied first.
    pub fn to_mut(&mut self) -> &mut [T] {
        if let Held::Mapped(_) = self.held {
            *self = Blob::from(&self[..]);
        }
        // SAFETY: the elements are owned now; `own` has checked that they lie in the lines, and the
        // borrow of `self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    /// Whether the elements lie in a mapped file.
    pub fn is_mapped(&self) -> bool {
        matches!(self.held, Held::Mapped(_))
    }

    /// Bytes of the elements.
    pub fn bytes(&self) -> usize {
        size_of_val(&self[..])
    }

    /// The first `len` elements of `lines`.
    fn own(mut lines: Vec<Line>, len: usize) -> Blob<T> {
        assert!(len <= size_of_val(&lines[..]) / size_of::<T>() && align_of::<T>() <= ALIGN);
        // A vector's memory stays where it is when the vector moves; it is never null.
        let start = NonNull::new(lines.as_mut_ptr().cast()).unwrap_or(NonNull::dangling());
        Blob { start, len, held: Held::Own(lines) }
    }
}

impl<T: Plain> Deref for Blob<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: `own` and `mapped`, which alone make blobs, have checked that `len` elements lie
        // there, aligned; any bytes are a T; `held` keeps them as long as `self` lives.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Plain> Clone for Blob<T> {
    /// A copy of owned elements; those of a mapping are shared.
    fn clone(&self) -> Blob<T> {
        match &self.held {
            Held::Own(_) => Blob::from(&self[..]),
            Held::Mapped(mapping) => {
                Blob { start: self.start, len: self.len, held: Held::Mapped(Arc::clone(mapping)) }
            }
        }
    }
}

impl<T: Plain> Default for Blob<T> {
    fn default() -> Blob<T> {
        Blob::new()
    }
}

impl<T: Plain> From<&[T]> for Blob<T> {
    fn from(elements: &[T]) -> Blob<T> {
        let mut blob = Blob::new();
        blob.reset(elements.len()).copy_from_slice(elements);
        blob
    }
}

impl<T: Plain> From<Vec<T>> for Blob<T> {
    fn from(elements: Vec<T>) -> Blob<T> {
        Blob::from(&elements[..])
    }
}

impl<T: Plain> FromIterator<T> for Blob<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Blob<T> {
        Blob::from(elements.into_iter().collect::<Vec<T>>())
    }
}

impl<T: Plain + PartialEq> PartialEq for Blob<T> {
    fn eq(&self, other: &Blob<T>) -> bool {
        self[..] == other[..]
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for Blob<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self[..].fmt(f)
    }
}

#[cfg(test)]
mod tests;
