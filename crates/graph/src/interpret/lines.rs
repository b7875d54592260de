//! The lines of a tensor along one dimension: for operators that treat each by itself.

/// Places of the elements of one line.
#[derive(Clone, Copy)]
pub(super) struct Line {
    start: usize,
    step: usize,
    len: usize,
}

impl Line {
    /// Index in the tensor of the line's element `k`.
    pub(super) fn at(self, k: usize) -> usize {
        self.start + k * self.step
    }

    /// Index in the tensor of each element of the line.
    pub(super) fn places(self) -> impl DoubleEndedIterator<Item = usize> + ExactSizeIterator {
        (0..self.len).map(move |k| self.at(k))
    }
}

/// All lines of a tensor of `shape` along `axis`, in row-major order of the other dimensions.
pub(super) fn lines(shape: &[usize], axis: usize) -> impl Iterator<Item = Line> + use<> {
    let (len, step) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
    let outer = shape[..axis].iter().product::<usize>();
    (0..outer)
        .flat_map(move |o| (0..step).map(move |i| Line { start: o * len * step + i, step, len }))
}
