//! The rows of an image that a window meets.

/// Rows of pixels that a kernel over rows reads, wherever they are.
#[derive(Clone, Copy)]
pub(crate) enum Rows<'a, T = f32> {
    /// One by one; an empty slice lies in the padding.
    Slices(&'a [&'a [T]]),
    /// Rows `first`, `first + step`, ... of an image of rows of `row_len` numbers; those that it does
    /// not have lie in the padding.
    Image { x: &'a [T], row_len: usize, first: isize, step: usize },
}

impl<'a, T> Rows<'a, T> {
    /// Row `i`; empty where it lies in the padding.
    #[inline(always)]
    pub fn get(&self, i: usize) -> &'a [T] {
        match *self {
            Rows::Slices(rows) => rows[i],
            Rows::Image { x, row_len, first, step } => {
                let row = usize::try_from(first + (i * step) as isize).ok();
                let start = row.and_then(|row| row.checked_mul(row_len));
                start.and_then(|start| x.get(start..)?.get(..row_len)).unwrap_or_default()
            }
        }
    }

    /// Those from row `i` on.
    pub fn from(&self, i: usize) -> Rows<'a, T> {
        match *self {
            Rows::Slices(rows) => Rows::Slices(&rows[i..]),
            Rows::Image { x, row_len, first, step } => {
                Rows::Image { x, row_len, first: first + (i * step) as isize, step }
            }
        }
    }

    /// Row `i` at its first channel; null where it lies in the padding.
    #[inline(always)]
    pub fn at(&self, i: usize) -> *const T {
        let row = self.get(i);
        if row.is_empty() { std::ptr::null() } else { row.as_ptr() }
    }
}

/// Whether `len` numbers hold `pixels` pixels of `channels`, `stride` numbers apart.
pub(crate) fn holds(len: usize, pixels: usize, stride: usize, channels: usize) -> bool {
    pixels == 0 || len >= (pixels - 1) * stride + channels
}
