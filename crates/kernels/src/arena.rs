//! One block of memory that holds every buffer of a plan, handed out as typed slices.
//!
//! A plan decides before the first run where each buffer lies; buffers whose lifetimes do not
//! meet share bytes, and the same bytes hold float32 in one step and uint8 in the next. [`Views`]
//! is the borrow checker of one step: it remembers what the step has taken and refuses a range
//! that overlaps a mutable one, so callers need no unsafe code and a wrong plan cannot alias.

use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

/// Alignment of the block and of every buffer in it: a cache line, and the widest vector.
pub const ALIGN: usize = 64;

/// Most ranges that one step may hold at the same time.
const MAX_TAKEN: usize = 8;

/// A cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line([u8; ALIGN]);

impl Line {
    /// All bytes 0.
    pub const ZERO: Line = Line([0; ALIGN]);
}

/// Element types that a buffer may hold: any bit pattern is a value, and there is no padding.
///
/// # Safety
/// Implement it only for plain numbers of at most [`ALIGN`] bytes' alignment.
pub unsafe trait Plain: Copy + 'static {}

// SAFETY: a plain number.
unsafe impl Plain for f32 {}
// SAFETY: a plain number.
unsafe impl Plain for u8 {}
// SAFETY: a plain number.
unsafe impl Plain for i8 {}
// SAFETY: a plain number.
unsafe impl Plain for u32 {}
// SAFETY: a plain number.
unsafe impl Plain for i32 {}
// SAFETY: a plain number.
unsafe impl Plain for i64 {}

/// Where a buffer lies in an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Span {
    /// Bytes from the start of the arena, a multiple of [`ALIGN`].
    pub offset: usize,
    /// Size in bytes.
    pub bytes: usize,
}

impl Span {
    /// Whether two spans share a byte.
    pub fn overlaps(self, other: Span) -> bool {
        self.bytes > 0
            && other.bytes > 0
            && self.offset < other.offset + other.bytes
            && other.offset < self.offset + self.bytes
    }
}

/// A zeroed block of memory, aligned to [`ALIGN`].
pub struct Arena {
    lines: Vec<Line>,
}

impl Arena {
    /// A block of at least `bytes` bytes.
    pub fn new(bytes: usize) -> Arena {
        Arena { lines: vec![Line::ZERO; bytes.div_ceil(ALIGN)] }
    }

    /// Size in bytes, a multiple of [`ALIGN`].
    pub fn bytes(&self) -> usize {
        self.lines.len() * ALIGN
    }

    /// The elements of a buffer.
    ///
    /// # Panics
    /// If the span lies outside of the arena, is not aligned, or is no whole number of elements.
    pub fn slice<T: Plain>(&self, span: Span) -> &[T] {
        let len = check::<T>(span, self.bytes());
        // SAFETY: `check` has shown that the range is inside the block and aligned for T; any
        // bytes are a T; the borrow of `self` excludes writers.
        unsafe {
            let start = self.lines.as_ptr().cast::<u8>().add(span.offset);
            std::slice::from_raw_parts(start.cast::<T>(), len)
        }
    }

    /// The elements of a buffer, to be written. Panics as [`Arena::slice`].
    pub fn slice_mut<T: Plain>(&mut self, span: Span) -> &mut [T] {
        self.views().write(span)
    }

    /// Begins a set of slices that one step uses together.
    pub fn views(&mut self) -> Views<'_> {
        Views {
            base: self.lines.as_mut_ptr().cast(),
            bytes: self.bytes(),
            taken: [(Span::default(), false); MAX_TAKEN],
            count: 0,
            life: PhantomData,
        }
    }
}

impl std::fmt::Debug for Arena {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arena").field("bytes", &self.bytes()).finish()
    }
}

/// Slices of an arena that are alive at the same time: readers may overlap each other, a writer
/// overlaps nothing.
pub struct Views<'a> {
    base: *mut u8,
    bytes: usize,
    /// Spans handed out so far, and whether each is mutable.
    taken: [(Span, bool); MAX_TAKEN],
    count: usize,
    life: PhantomData<&'a mut Arena>,
}

impl<'a> Views<'a> {
    /// The elements of a buffer.
    ///
    /// # Panics
    /// As [`Arena::slice`]; and if the span overlaps one that was taken to be written, or if more
    /// than eight are taken.
    pub fn read<T: Plain>(&mut self, span: Span) -> &'a [T] {
        let len = self.take::<T>(span, false);
        // SAFETY: in the block and aligned (`check`), and disjoint from every mutable slice that
        // this set has handed out; the set borrows the arena mutably for 'a.
        unsafe { std::slice::from_raw_parts(self.base.add(span.offset).cast::<T>(), len) }
    }

    /// The elements of a buffer, to be written.
    ///
    /// # Panics
    /// As [`Arena::slice`]; and if the span overlaps any that was taken, or if more than eight are
    /// taken.
    pub fn write<T: Plain>(&mut self, span: Span) -> &'a mut [T] {
        let len = self.take::<T>(span, true);
        // SAFETY: as in `read`, and disjoint from every slice handed out.
        unsafe { std::slice::from_raw_parts_mut(self.base.add(span.offset).cast::<T>(), len) }
    }

    /// As [`Views::read`], for a step with many inputs that looks at them one by one: the slice
    /// lives until the next call and does not count.
    pub fn peek<T: Plain>(&mut self, span: Span) -> &[T] {
        let len = self.allow::<T>(span, false);
        // SAFETY: as in `read`; the borrow of `self` ends before another slice is handed out.
        unsafe { std::slice::from_raw_parts(self.base.add(span.offset).cast::<T>(), len) }
    }

    fn allow<T: Plain>(&self, span: Span, mutable: bool) -> usize {
        let len = check::<T>(span, self.bytes);
        let clash = self.taken[..self.count]
            .iter()
            .any(|&(other, written)| (mutable || written) && span.overlaps(other));
        assert!(!clash, "a step's buffers overlap at {span:?}");
        len
    }

    fn take<T: Plain>(&mut self, span: Span, mutable: bool) -> usize {
        let len = self.allow::<T>(span, mutable);
        assert!(self.count < MAX_TAKEN, "a step takes more than {MAX_TAKEN} buffers");
        self.taken[self.count] = (span, mutable);
        self.count += 1;
        len
    }
}

/// Number of elements of a span that lies in a block of `bytes`.
fn check<T: Plain>(span: Span, bytes: usize) -> usize {
    let size = size_of::<T>();
    assert!(
        align_of::<T>() <= ALIGN && span.offset.is_multiple_of(ALIGN),
        "unaligned span {span:?}"
    );
    assert!(
        span.offset <= bytes && span.bytes <= bytes - span.offset,
        "span {span:?} outside of the arena"
    );
    assert!(span.bytes.is_multiple_of(size), "span {span:?} holds no whole number of elements");
    span.bytes / size
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(offset: usize, bytes: usize) -> Span {
        Span { offset, bytes }
    }

    #[test]
    fn the_same_bytes_serve_several_types() {
        let mut arena = Arena::new(100);
        assert_eq!(arena.bytes(), 128);
        arena.slice_mut::<f32>(span(64, 8)).copy_from_slice(&[1.0, -2.0]);
        let bytes: Vec<u8> = arena.slice::<u8>(span(64, 8)).to_vec();
        assert_eq!(bytes, [1f32.to_ne_bytes(), (-2f32).to_ne_bytes()].concat());
        assert_eq!(arena.slice::<f32>(span(0, 8)), [0.0; 2]);
    }

    #[test]
    fn readers_may_share_and_writers_may_not() {
        let mut arena = Arena::new(192);
        let mut views = arena.views();
        let (a, b) = (views.read::<u8>(span(0, 64)), views.read::<u8>(span(0, 32)));
        let c = views.write::<u8>(span(64, 64));
        c[0] = 7;
        assert_eq!((a.len(), b.len(), c[0]), (64, 32, 7));
        let mut clash = |f: &dyn Fn(&mut Views)| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| f(&mut views))).is_err()
        };
        assert!(clash(&|v| _ = v.write::<u8>(span(0, 1))));
        assert!(clash(&|v| _ = v.read::<u8>(span(64, 1))));
        assert!(clash(&|v| _ = v.read::<f32>(span(128, 65 * 4))));
        assert!(clash(&|v| _ = v.read::<f32>(span(4, 4))));
        assert!(clash(&|v| _ = v.read::<f32>(span(128, 6))));
        assert!(!clash(&|v| _ = v.write::<u8>(span(128, 0))));
    }
}
