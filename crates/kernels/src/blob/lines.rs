//! Owned bytes in whole cache lines.

use crate::arena::{Line, Plain};

/// Zeroed, growing memory, aligned to a cache line.
#[derive(Clone, Default)]
pub(super) struct Lines(Vec<Line>);

impl Lines {
    /// Makes it at least `bytes` zeros; keeps its memory where that is enough.
    pub fn reset(&mut self, bytes: usize) {
        self.0.clear();
        self.0.resize(bytes.div_ceil(size_of::<Line>()), Line::ZERO);
    }

    /// The first `len` elements.
    ///
    /// # Panics
    /// If there are fewer.
    #[inline]
    pub fn slice<T: Plain>(&self, len: usize) -> &[T] {
        assert!(len <= size_of_val(&self.0[..]) / size_of::<T>());
        // SAFETY: that many elements lie in the block, as asserted; a line is aligned for any Plain
        // type and initialised, and any bytes are a T.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), len) }
    }

    /// The first `len` elements. Panics as [`Lines::slice`].
    pub fn slice_mut<T: Plain>(&mut self, len: usize) -> &mut [T] {
        assert!(len <= size_of_val(&self.0[..]) / size_of::<T>());
        // SAFETY: as in `slice`; the borrow of `self` is exclusive, and any T is valid bytes.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), len) }
    }
}
