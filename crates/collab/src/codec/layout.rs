//! Channels and positions of a tensor.

/// A tensor as channels of rows of positions: `[1, c, h, w]` has c of h x w, `[1, t, c]` c of 1 x t,
/// `[1, c]` c of a single one; anything else is one channel in one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub channels: usize,
    pub rows: usize,
    pub columns: usize,
    /// Elements from one position to the next; the other way round, from one channel to the next.
    stride: usize,
}

impl Layout {
    pub fn of(shape: &[usize]) -> Layout {
        let (channels, rows, columns) = match *shape {
            [1, c, h, w] => (c, h, w),
            [1, t, c] => (c, 1, t),
            [1, c] => (c, 1, 1),
            _ => (1, 1, shape.iter().product()),
        };
        let stride = if shape.len() == 3 && channels > 1 { channels } else { 1 };
        Layout { channels, rows, columns, stride }
    }

    /// Positions of a channel.
    pub fn positions(&self) -> usize {
        self.rows * self.columns
    }

    /// Where the elements of channel `index` lie, row by row.
    pub fn channel(&self, index: usize) -> impl Iterator<Item = usize> + use<> {
        let (stride, positions) = (self.stride, self.positions());
        let first = if stride == 1 { index * positions } else { index };
        (0..positions).map(move |at| first + at * stride)
    }
}
