//! One or two output rows of a depthwise convolution.

use super::DepthwiseWeights;
use super::columns;
use crate::input_rows::{Rows, holds};
use crate::simd::{LANES, Simd, simd_fn};
use crate::{ConvShape, Epilogue, Isa};
use std::ops::Range;

/// One or two neighbouring output rows of an image, on the calling thread.
///
/// `rows[ky]` is the input row that kernel row `ky` meets for the first output row, its pixels
/// `x_stride` floats apart, from the first channel on; an empty slice where it lies in the padding.
/// There are `kh` of them for one output row, and `kh + sh` for two (only without vertical
/// dilation), where the kernel of the second begins at `rows[sh]`. `outs` are rows of `shape.ow`
/// pixels `out_stride` floats apart; pixel i of an output row is row i of its epilogue.
///
/// An output has the same bits whether it is computed with another row or without.
///
/// # Panics
/// If the shape is not depthwise, or a slice is shorter than all this says.
pub fn depthwise_rows(
    isa: Isa,
    shape: &ConvShape,
    rows: &[&[f32]],
    x_stride: usize,
    weights: &DepthwiseWeights,
    outs: &mut [&mut [f32]],
    out_stride: usize,
    epilogues: &[Epilogue],
) {
    shape.check();
    assert!(shape.is_depthwise(), "not depthwise: {shape:?}");
    assert!(matches!(outs.len(), 1 | 2), "{} output rows at once", outs.len());
    assert_eq!(epilogues.len(), outs.len(), "one epilogue per output row");
    assert!(outs.len() == 1 || shape.dh == 1, "two rows at once are not for dilation");
    assert_eq!(rows.len(), shape.kh + (outs.len() - 1) * shape.sh, "input rows of {shape:?}");
    weights.check(shape);
    assert!(out_stride >= shape.cout, "output pixels overlap");
    if shape.ow == 0 || shape.cout == 0 {
        return;
    }
    let c = shape.cin;
    let fits = |row: &&[f32]| row.is_empty() || holds(row.len(), shape.w, x_stride, c);
    assert!(rows.iter().all(fits), "an input row is shorter than {shape:?} says");
    for (out, epilogue) in outs.iter().zip(epilogues) {
        assert!(holds(out.len(), shape.ow, out_stride, c), "an output row is too short");
        epilogue.check(shape.ow, shape.cout);
        assert!(epilogue.interleave.is_none(), "a depthwise convolution does not interleave");
    }
    let last = outs.len() - 1;
    let lines = Lines {
        shape,
        rows: Rows::Slices(rows),
        x_stride,
        weights,
        count: outs.len(),
        outs: [outs[0].as_mut_ptr(), outs[last].as_mut_ptr()],
        out_stride,
        epilogues: [epilogues[0], epilogues[last]],
        channels: 0..shape.cin,
    };
    // SAFETY: all sizes have been checked.
    unsafe { lines.compute(isa) };
}

/// What a call reads and writes. Outputs are pointers, because threads may share the pixels of a
/// row among them, each with channels of its own.
///
/// To be computed, each row of the input must hold `shape.w` pixels, each of the `count` rows of the
/// output must be valid for writes of the channels in `channels` of `shape.ow` pixels, and weights
/// and epilogues must have been checked against the shape.
pub(super) struct Lines<'a> {
    pub shape: &'a ConvShape,
    pub rows: Rows<'a>,
    pub x_stride: usize,
    pub weights: &'a DepthwiseWeights,
    /// Output rows: 1 or 2.
    pub count: usize,
    /// The output rows at channel 0.
    pub outs: [*mut f32; 2],
    pub out_stride: usize,
    pub epilogues: [Epilogue<'a>; 2],
    /// The channels to compute, from a multiple of 16 on.
    pub channels: Range<usize>,
}

impl Lines<'_> {
    /// Computes the output rows.
    ///
    /// # Safety
    /// The contract of [`Lines`].
    pub unsafe fn compute(&self, isa: Isa) {
        let c = self.shape;
        let square = c.kh == c.kw && c.sh == c.sw && c.dh == 1 && c.dw == 1;
        match (square, c.kh, c.sh, self.count) {
            (true, 3, 1, 1) => rows_3x3_s1(isa, self),
            (true, 3, 1, 2) => pairs_3x3_s1(isa, self),
            (true, 3, 2, 1) => rows_3x3_s2(isa, self),
            (true, 5, 1, 1) => rows_5x5_s1(isa, self),
            (true, 5, 1, 2) => pairs_5x5_s1(isa, self),
            (true, 5, 2, 1) => rows_5x5_s2(isa, self),
            _ => any_rows(isa, self),
        }
    }

    /// One of the output rows.
    fn single(&self, row: usize) -> Lines<'_> {
        Lines {
            rows: self.rows.from(row * self.shape.sh),
            count: 1,
            outs: [self.outs[row]; 2],
            epilogues: [self.epilogues[row]; 2],
            channels: self.channels.clone(),
            ..*self
        }
    }
}

/// A kernel of [`columns`], compiled for every instruction set.
macro_rules! tiled {
    ($($name:ident: $k:literal, $stride:literal, $r:literal, $n:literal, $slots:literal;)*) => {$(
        simd_fn! {
            fn $name(s: Simd, lines: &Lines<'_>) {
                if S::REGISTERS == 0 {
                    return any_rows(s.isa(), lines);
                }
                // Where registers do not hold the sums of two rows, each row by itself.
                if $r == 2 && S::REGISTERS < $r * $slots {
                    return (0..$r).for_each(|row| {
                        // SAFETY: the contract of one of these lines.
                        unsafe { lines.single(row).compute(s.isa()) }
                    });
                }
                // SAFETY: `Lines::compute` has the contract and picks the kernel of the shape.
                unsafe { columns::rows::<S, $k, $stride, $r, $n, $slots>(s, lines) };
            }
        }
    )*};
}

tiled! {
    rows_3x3_s1: 3, 1, 1, 3, 3;
    pairs_3x3_s1: 3, 1, 2, 4, 3;
    rows_3x3_s2: 3, 2, 1, 3, 2;
    rows_5x5_s1: 5, 1, 1, 5, 5;
    pairs_5x5_s1: 5, 1, 2, 6, 5;
    rows_5x5_s2: 5, 2, 1, 5, 3;
}

simd_fn! {
    fn any_rows(s: Simd, lines: &Lines<'_>) {
        any(s, lines);
    }
}

/// Any kernel, pixel by pixel, with the products in the order of [`columns`]; the plain twin of
/// those, too.
#[inline(always)]
fn any<S: Simd>(s: S, lines: &Lines) {
    let shape = lines.shape;
    for (o, ox) in (0..lines.count).flat_map(|o| (0..shape.ow).map(move |ox| (o, ox))) {
        let columns = shape.columns_of(ox);
        for channel in lines.channels.clone().step_by(LANES) {
            let mask = s.first(lines.channels.end - channel);
            let weights = lines.weights.block(channel);
            // SAFETY: the mask ends with the channels.
            let mut sum = unsafe { lines.epilogues[o].start(s, channel, mask) };
            for (i, ky) in (0..columns.count).flat_map(|i| (0..shape.kh).map(move |ky| (i, ky))) {
                let row = lines.rows.at(o * shape.sh + ky);
                if row.is_null() {
                    continue;
                }
                let column = columns.at + i * shape.dw;
                let x = row.wrapping_add(column * lines.x_stride + channel);
                let w = &weights[(ky * shape.kw + columns.tap + i) * LANES..][..LANES];
                // SAFETY: the row has this column, and the mask ends with its channels; a tap
                // has 16 weights.
                sum = unsafe { s.fma(s.load_first(x, mask), s.load(w.as_ptr()), sum) };
            }
            let out = lines.outs[o].wrapping_add(ox * lines.out_stride);
            // SAFETY: the pixel exists, and the mask ends with its channels.
            unsafe { lines.epilogues[o].finish(s, sum, ox, channel, out, mask) };
        }
    }
}
