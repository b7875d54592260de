//! What a product reads and writes.

use crate::quant::finish::Finish;
use crate::quant::pack::COLUMNS;
use crate::quant::requant::Dequant;

/// Neighbouring groups of the left operand, which meet neighbouring groups of the weights.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(in crate::quant) struct Run {
    /// The first byte in row 0.
    pub at: *const u8,
    /// How many groups; 0 ends a list.
    pub groups: usize,
    /// Groups of weights between the last run and this one.
    pub skip: usize,
}

impl Run {
    /// Ends a list.
    pub const END: Run = Run { at: std::ptr::null(), groups: 0, skip: 0 };
}

/// Rows of the left operand of a product.
#[derive(Clone, Copy)]
pub(in crate::quant) struct Left<'a> {
    /// Where row 0 reads. The last run is [`Run::END`], and only that is empty.
    pub runs: &'a [Run],
    /// Bytes between rows.
    pub lda: usize,
    /// Rows of a line, bytes between lines, and how many there are: the rows of the result are
    /// those of one line after the other.
    pub rows: usize,
    pub line: usize,
    pub lines: usize,
}

impl<'a> Left<'a> {
    /// A single line.
    pub fn rows(runs: &'a [Run], lda: usize, rows: usize) -> Left<'a> {
        Left { runs, lda, rows, line: 0, lines: 1 }
    }
}

/// What becomes of the sums of row 0, from column 0 on.
#[derive(Clone, Copy)]
pub(in crate::quant) enum Sink<'a> {
    U8(*mut u8, Finish<'a>),
    F32(*mut f32, &'a Dequant),
    I32(*mut i32),
}

impl Sink<'_> {
    /// What the sums of 16 channels begin with.
    pub fn bias(&self, channel: usize) -> [i32; COLUMNS] {
        let of = |bias: &[i32]| *bias[channel..].first_chunk().expect("padded by 16");
        match self {
            Sink::U8(_, finish) => of(&finish.requant.bias),
            Sink::F32(_, dequant) => of(&dequant.bias),
            Sink::I32(_) => [0; COLUMNS],
        }
    }
}

/// Rows of the result.
#[derive(Clone, Copy)]
pub(in crate::quant) struct Out<'a> {
    pub sink: Sink<'a>,
    /// Elements between rows.
    pub ldc: usize,
    /// The output channel of column 0.
    pub channel: usize,
    pub pads: Option<Pads<'a>>,
}

impl<'a> Out<'a> {
    /// The part that concerns the rows from `row` on.
    pub fn rows_from(&self, row: usize) -> Out<'a> {
        let sink = match self.sink {
            Sink::U8(at, finish) => {
                Sink::U8(at.wrapping_add(row * self.ldc), finish.rows_from(row))
            }
            Sink::F32(at, dequant) => Sink::F32(at.wrapping_add(row * self.ldc), dequant),
            Sink::I32(at) => Sink::I32(at.wrapping_add(row * self.ldc)),
        };
        Out { sink, ..*self }
    }

    /// The part that concerns the columns from `column` on.
    pub fn columns_from(&self, column: usize) -> Out<'a> {
        let sink = match self.sink {
            Sink::U8(at, finish) => Sink::U8(at.wrapping_add(finish.width(column)), finish),
            Sink::F32(at, dequant) => Sink::F32(at.wrapping_add(column), dequant),
            Sink::I32(at) => Sink::I32(at.wrapping_add(column)),
        };
        Out { sink, channel: self.channel + column, ..*self }
    }
}

/// Kernel rows that lie in the padding and are left out of the runs: what they would add to each
/// output channel is added to the bias.
#[derive(Clone, Copy)]
pub(in crate::quant) struct Pads<'a> {
    /// `[kernel row][output channel]`
    pub sums: &'a [i32],
    /// The rows that the kernel rows meet, empty in the padding.
    pub rows: &'a [&'a [u8]],
}

impl Pads<'_> {
    pub fn add(&self, channel: usize, width: usize, start: &mut [i32; COLUMNS]) {
        let channels = self.sums.len() / self.rows.len();
        for (sums, row) in self.sums.chunks_exact(channels).zip(self.rows) {
            if row.is_empty() {
                for (start, sum) in start.iter_mut().zip(&sums[channel..][..width]) {
                    *start = start.wrapping_add(*sum);
                }
            }
        }
    }
}
