//! What the output pixels of a convolution row read, as runs of neighbouring floats.

use super::ConvShape;
use crate::gemm::Run;

/// Runs that need no memory but their place on the stack.
const FEW: usize = 64;

/// A list of [`Run`]s of the register tile. Kernels of very many taps go to the heap.
pub(super) struct Runs {
    few: [Run; FEW],
    many: Vec<Run>,
    len: usize,
    /// Rows of the weight matrix before the next run.
    rows: usize,
}

impl Runs {
    pub fn new() -> Runs {
        Runs { few: [Run::END; FEW], many: Vec::new(), len: 0, rows: 0 }
    }

    /// Adds `len` floats from `at` on, which meet the rows of the weight matrix from `row` on.
    fn push(&mut self, at: *const f32, len: usize, row: usize) {
        if len == 0 {
            return;
        }
        let run = Run { at, len, skip: row - self.rows };
        self.rows = row + len;
        if self.len < FEW - 1 {
            self.few[self.len] = run;
        } else {
            if self.many.is_empty() {
                self.many.extend_from_slice(&self.few[..self.len]);
            }
            self.many.push(run);
        }
        self.len += 1;
    }

    /// The list with its end.
    pub fn list(&mut self) -> &[Run] {
        if self.many.is_empty() {
            return &self.few[..=self.len];
        }
        self.many.truncate(self.len);
        self.many.push(Run::END);
        &self.many
    }

    /// Adds what the taps `taps` of a row read, the first of them at `at`, pixels `x_stride` floats
    /// apart; `first_row` is the row of the weight matrix of channel 0 of tap 0.
    pub fn push_taps(
        &mut self,
        shape: &ConvShape,
        channels: &ChannelRuns,
        at: *const f32,
        x_stride: usize,
        taps: std::ops::Range<usize>,
        first_row: usize,
    ) {
        let k = shape.cin_per_group();
        if channels.whole && x_stride == k && shape.dw == 1 {
            return self.push(at, taps.len() * k, first_row + taps.start * k);
        }
        for (i, tap) in taps.enumerate() {
            let pixel = at.wrapping_add(i * shape.dw * x_stride);
            let mut row = first_row + tap * k;
            for (channel, len) in channels.each() {
                self.push(pixel.wrapping_add(channel), len, row);
                row += len;
            }
        }
    }
}

/// The channels that a group reads, in the order of the rows of its weight matrix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChannelRuns {
    /// All channels of the input, in order.
    pub whole: bool,
    first: usize,
    end: usize,
    /// Groups of the channel shuffle that the input has not been through, 1 for none, and the
    /// channels of each.
    shuffle: usize,
    each: usize,
    /// Whether they lie one after the other in this order, without those of other groups.
    packed: bool,
}

impl ChannelRuns {
    /// Group `group` of a convolution. With `shuffle` above 1 its input channels are numbered as
    /// after a shuffle of so many groups, but lie in memory as before it: shuffled channel
    /// `j * shuffle + i` is channel j of group i.
    pub fn new(shape: &ConvShape, group: usize, shuffle: usize) -> ChannelRuns {
        let (k, shuffle) = (shape.cin_per_group(), shuffle.max(1));
        ChannelRuns {
            whole: shape.groups == 1 && shuffle == 1,
            first: group * k,
            end: (group + 1) * k,
            shuffle,
            each: shape.cin / shuffle,
            packed: false,
        }
    }

    /// The same runs where the channels have been copied in this order.
    pub fn packed(self) -> ChannelRuns {
        ChannelRuns { whole: self.shuffle == 1, packed: true, ..self }
    }

    /// First channel in memory, and how many.
    pub fn each(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.shuffle).scan(0, move |before, i| {
            let below = |end: usize| end.saturating_sub(i).div_ceil(self.shuffle);
            let (first, len) = (below(self.first), below(self.end) - below(self.first));
            let at = if self.packed { *before } else { i * self.each + first };
            *before += len;
            Some((at, len))
        })
    }

    /// The channel, counted from the first of the group and after the shuffle, of each row of a tap.
    pub fn shuffled(self) -> impl Iterator<Item = usize> {
        self.each().enumerate().flat_map(move |(i, (start, len))| {
            (start - i * self.each..).take(len).map(move |j| j * self.shuffle + i - self.first)
        })
    }
}
