//! Where the rows of tensors lie: in rings that belong to one thread, or in whole tensors.

use super::{Chain, Family, Layer, Operand, Place};
use crate::pool::SharedMut;

/// A tensor outside of the chain: pixels of NHWC images, or planes of NCHW images where a layer
/// reads them as such.
#[derive(Debug)]
pub enum Outer<'a, T = f32> {
    /// Read only. The pixels are `stride` elements apart.
    Read(&'a [T], usize),
    /// Written only. The pixels are `stride` elements apart.
    Write(&'a mut [T], usize),
}

/// [`Outer`], shared by the threads.
#[derive(Clone, Copy)]
pub(super) enum Shared<'a, T> {
    None,
    Read(&'a [T], usize),
    Write(SharedMut<'a, T>, usize),
}

impl<'a, T: Copy> Shared<'a, T> {
    /// `outer` for all threads.
    pub fn of(outer: &'a mut Outer<T>) -> Shared<'a, T> {
        match outer {
            Outer::Read(data, stride) => Shared::Read(data, *stride),
            Outer::Write(data, stride) => Shared::Write(SharedMut::new(data), *stride),
        }
    }

    /// Elements between pixels.
    fn stride(&self) -> usize {
        match self {
            Shared::None => 0,
            Shared::Read(_, stride) | Shared::Write(_, stride) => *stride,
        }
    }
}

/// What a band reads and writes.
pub struct Memory<'a, F: Family> {
    pub(super) chain: &'a Chain<F>,
    pub(super) image: usize,
    pub(super) outers: &'a [Shared<'a, F::Element>],
    /// The rings of all workers.
    pub(super) rings: SharedMut<'a, F::Element>,
    /// Where those of this worker begin.
    pub(super) first: usize,
}

impl<'a, F: Family> Memory<'a, F> {
    /// Where `rows` neighbouring rows from `y` on of an operand with `[height, width, channels]`
    /// begin in its tensor or among all rings, how many elements they span, and the elements
    /// between their pixels.
    fn span(
        &self,
        operand: Operand,
        y: usize,
        rows: usize,
        [height, width, channels]: [usize; 3],
    ) -> (usize, usize, usize) {
        let (row, stride) = match operand.place {
            Place::Ring(ring) => {
                let (before, ring) = (&self.chain.rings[..ring], &self.chain.rings[ring]);
                let start: usize = before.iter().map(|r| r.rows * r.row_len()).sum();
                (self.first + start + y % ring.rows * ring.row_len(), ring.channels)
            }
            Place::Outer(outer) => {
                let stride = self.outers[outer].stride();
                ((self.image * height + y) * width * stride, stride)
            }
        };
        (row + operand.channel, (rows * width - 1) * stride + channels, stride)
    }

    /// These rows of an operand, and the elements between their pixels.
    pub(super) fn read(
        &self,
        operand: Operand,
        y: usize,
        rows: usize,
        size: [usize; 3],
    ) -> (&'a [F::Element], usize) {
        let (start, len, stride) = self.span(operand, y, rows, size);
        let row = match operand.place {
            // SAFETY: the worker alone uses its rings, and a layer never reads the ring that it
            // writes (`Chain::check`).
            Place::Ring(_) => unsafe { self.rings.range(start, len) },
            Place::Outer(outer) => {
                let Shared::Read(data, _) = self.outers[outer] else {
                    panic!("tensor {outer} is read, but was not given to be read");
                };
                &data[start..start + len]
            }
        };
        (row, stride)
    }

    /// As [`Memory::read`], to be written.
    pub(super) fn write(
        &self,
        operand: Operand,
        y: usize,
        rows: usize,
        size: [usize; 3],
    ) -> (&'a mut [F::Element], usize) {
        let (start, len, stride) = self.span(operand, y, rows, size);
        let row = match operand.place {
            // SAFETY: as in `read`.
            Place::Ring(_) => unsafe { self.rings.range(start, len) },
            Place::Outer(outer) => {
                let Shared::Write(data, _) = self.outers[outer] else {
                    panic!("tensor {outer} is written, but was not given to be written");
                };
                // SAFETY: rows of the last layers belong to one band each.
                unsafe { data.range(start, len) }
            }
        };
        (row, stride)
    }

    /// How many of `count` rows from `y` on lie next to each other.
    pub(super) fn run_len(&self, operand: Operand, y: usize, count: usize) -> usize {
        match operand.place {
            Place::Ring(ring) => {
                let rows = self.chain.rings[ring].rows;
                count.min(rows - y % rows)
            }
            Place::Outer(_) => count,
        }
    }

    /// What operators need besides the rings.
    pub(super) fn scratch(&self) -> &'a mut [F::Element] {
        let rings = self.chain.rings_len();
        // SAFETY: behind the rings of this worker, which computes one layer at a time.
        unsafe { self.rings.range(self.first + rings, self.chain.worker_len() - rings) }
    }

    /// The input row that each kernel row of output row `y` meets, empty in the padding; returns the
    /// elements between pixels. More slices than kernel rows are those of the next output rows.
    pub(super) fn gather(
        &self,
        layer: &Layer<F>,
        y: usize,
        slices: &mut [&'a [F::Element]],
    ) -> usize {
        let s = &layer.shape;
        let mut stride = s.cin;
        for (ky, slice) in slices.iter_mut().enumerate() {
            let row = (y * s.sh + ky * s.dh).checked_sub(s.pt).filter(|&row| row < s.h);
            if let Some(row) = row {
                (*slice, stride) = self.read(layer.x, row, 1, [s.h, s.w, s.cin]);
            }
        }
        stride
    }

    /// As [`Memory::gather`], of the planes of an NCHW tensor: `[c][ky]`.
    pub(super) fn planes(&self, layer: &Layer<F>, y: usize, slices: &mut [&'a [F::Element]]) {
        let s = &layer.shape;
        for (c, slices) in slices.chunks_exact_mut(s.kh).enumerate() {
            for (ky, slice) in slices.iter_mut().enumerate() {
                let row = (y * s.sh + ky * s.dh).checked_sub(s.pt).filter(|&row| row < s.h);
                let read = |row| self.read(layer.x, c * s.h + row, 1, [s.cin * s.h, s.w, 1]).0;
                *slice = row.map_or(&[], read);
            }
        }
    }

    /// How many rows of a layer from `y` on, before `end`, lie next to each other in all tensors that
    /// it reads and writes, where it needs no others.
    pub(super) fn neighbours(&self, layer: &Layer<F>, y: usize, end: usize) -> usize {
        let operands = layer.reads().chain([layer.y]);
        operands.fold(end - y, |rows, operand| self.run_len(operand, y, rows))
    }
}
