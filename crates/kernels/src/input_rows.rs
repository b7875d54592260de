//! The rows of an image that a window meets.

/// Rows of pixels that a kernel over rows reads, wherever they are.
#[derive(Clone, Copy)]
pub(crate) enum Rows<'a> {
    /// One by one; an empty slice lies in the padding.
    Slices(&'a [&'a [f32]]),
    /// Rows `first`, `first + step`, ... of an image of rows of `row_floats`; those that it does not
    /// have lie in the padding.
    Image { x: &'a [f32], row_floats: usize, first: isize, step: usize },
}

impl Rows<'_> {
    /// Row `i` at its first channel; null where it lies in the padding.
    #[inline(always)]
    pub fn at(&self, i: usize) -> *const f32 {
        let row = match *self {
            Rows::Slices(rows) => rows[i],
            Rows::Image { x, row_floats, first, step } => {
                let start = (first + (i * step) as isize) as usize;
                x.chunks_exact(row_floats.max(1)).nth(start).unwrap_or_default()
            }
        };
        if row.is_empty() { std::ptr::null() } else { row.as_ptr() }
    }
}

/// Whether `len` floats hold `pixels` pixels of `channels` floats, `stride` floats apart.
pub(crate) fn holds(len: usize, pixels: usize, stride: usize, channels: usize) -> bool {
    pixels == 0 || len >= (pixels - 1) * stride + channels
}
