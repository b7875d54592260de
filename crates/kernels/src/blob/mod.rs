//! Arrays that never change once a model is packed: owned, or read in place from a mapped file.
//!
//! Both lie at a multiple of 64 bytes, so a vector load never crosses a cache line: an allocator
//! aligns to 16, and each 64-byte load of such an array would cost two.
//!
//! A struct made of blobs derives `Serialize` and `Deserialize`. Inside [`write_with`] a blob
//! appends its content to a data section and serialises as its place there; inside [`read_with`] it
//! becomes that range of the mapping, without a copy. What it holds is then whatever the file says:
//! kernels check lengths where they use them, as they do with slices of a caller.

mod lines;
mod mapping;
mod section;

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use crate::arena::Plain;
use lines::Lines;

pub use mapping::Mapping;
pub use section::{read_with, write_with};

/// An array of plain numbers, aligned to [`ALIGN`](crate::arena::ALIGN).
#[derive(Clone)]
pub struct Blob<T: Plain> {
    held: Held,
    /// Elements.
    len: usize,
    element: PhantomData<T>,
}

#[derive(Clone)]
enum Held {
    Own(Lines),
    /// From this byte of the mapping on; aligned and inside, which [`Blob::mapped`] has checked.
    Mapped(Arc<Mapping>, usize),
}

impl<T: Plain> Blob<T> {
    /// No elements.
    pub fn new() -> Blob<T> {
        Blob { held: Held::Own(Lines::default()), len: 0, element: PhantomData }
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
        let bytes = mapping.bytes();
        let end = len.checked_mul(size_of::<T>())?.checked_add(start)?;
        let aligned = bytes.as_ptr().addr().checked_add(start)?.is_multiple_of(align_of::<T>());
        (aligned && end <= bytes.len()).then(|| Blob {
            held: Held::Mapped(Arc::clone(mapping), start),
            len,
            element: PhantomData,
        })
    }

    /// Makes it `len` zeros, to be filled. Allocates only where it was never as large.
    pub fn reset(&mut self, len: usize) -> &mut [T] {
        if let Held::Mapped(..) = self.held {
            self.held = Held::Own(Lines::default());
        }
        self.len = 0;
        if let Held::Own(lines) = &mut self.held {
            lines.reset(len.checked_mul(size_of::<T>()).expect("an array fits the address space"));
        }
        self.len = len;
        self.to_mut()
    }

    /// The elements, to be changed; those of a mapping are copied first.
    pub fn to_mut(&mut self) -> &mut [T] {
        if let Held::Mapped(..) = self.held {
            *self = Blob::from(&self[..]);
        }
        match &mut self.held {
            Held::Own(lines) => lines.slice_mut(self.len),
            Held::Mapped(..) => unreachable!("copied above"),
        }
    }

    /// Whether the elements lie in a mapped file.
    pub fn is_mapped(&self) -> bool {
        matches!(self.held, Held::Mapped(..))
    }

    /// Bytes of the elements.
    pub fn bytes(&self) -> usize {
        size_of_val(&self[..])
    }
}

impl<T: Plain> Deref for Blob<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match &self.held {
            Held::Own(lines) => lines.slice(self.len),
            // SAFETY: `mapped`, which alone makes this variant, has checked that the elements are
            // aligned and inside; any bytes are a T; the mapping lives as long as `self`.
            Held::Mapped(mapping, start) => unsafe {
                let start = mapping.bytes().as_ptr().add(*start);
                std::slice::from_raw_parts(start.cast::<T>(), self.len)
            },
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
