//! One block of an 8-bit product, tile by tile.

use std::array::from_fn;

use super::{Block, Sink};
use crate::quant::dot::Dot;
use crate::quant::pack::{COLUMNS, GROUP, GROUP_BYTES};

/// Computes `task` in tiles of `MR` rows and `NP` panels.
///
/// Panels are the outer loop: the weights of a tile stay in the first cache while the rows pass.
///
/// # Safety
/// As [`super::block`].
#[inline(always)]
pub(super) unsafe fn block_body<D: Dot, const MR: usize, const NP: usize>(d: D, task: Block) {
    let k = task.weights.k();
    assert!(task.rows > 0 && task.a.len() >= (task.rows - 1) * task.lda + k);
    assert!(task.panels.1 <= task.weights.panels());
    let mut panel = task.panels.0;
    while panel < task.panels.1 {
        let wide = panel + NP <= task.panels.1;
        let mut row = 0;
        while row < task.rows {
            let tall = row + 1 < task.rows;
            // SAFETY: rows and panels are within the task, checked above.
            unsafe {
                match (tall, wide) {
                    (true, true) => tile::<D, MR, NP>(d, &task, row, panel),
                    (true, false) => tile::<D, MR, 1>(d, &task, row, panel),
                    (false, true) => tile::<D, 1, NP>(d, &task, row, panel),
                    (false, false) => tile::<D, 1, 1>(d, &task, row, panel),
                }
            }
            row += if tall { MR } else { 1 };
        }
        panel += if wide { NP } else { 1 };
    }
}

/// Computes and stores a tile. Rows after the last of the task repeat it and are not stored.
///
/// # Safety
/// `row` must be a row of the task, `panel..panel + NP` panels of its weights, its `a` long enough
/// for all rows, and nobody else may write the tile's output.
#[inline(always)]
unsafe fn tile<D: Dot, const MR: usize, const NP: usize>(
    d: D,
    task: &Block,
    row: usize,
    panel: usize,
) {
    let k = task.weights.k();
    let rows: [*const u8; MR] = from_fn(|r| {
        // SAFETY: the offset is that of a row of A.
        unsafe { task.a.as_ptr().add((row + r).min(task.rows - 1) * task.lda) }
    });
    let stride = task.weights.panel_stride();
    // SAFETY: the offset is that of a panel; for K = 0 it is 0.
    let b = unsafe { task.weights.data().as_ptr().add(panel * stride) };
    let mut acc = [[d.zero(); NP]; MR];
    for group in 0..k / GROUP {
        // SAFETY: the group lies within each row and each panel.
        unsafe {
            let words = |r: usize| rows[r].add(group * GROUP).cast::<u32>().read_unaligned();
            step(d, &mut acc, words, b.add(group * GROUP_BYTES), stride);
        }
    }
    if !k.is_multiple_of(GROUP) {
        let group = k / GROUP;
        // SAFETY: the rows have k % 4 more bytes, the panels a last group.
        unsafe {
            let words = |r: usize| partial(rows[r].add(group * GROUP), k % GROUP);
            step(d, &mut acc, words, b.add(group * GROUP_BYTES), stride);
        }
    }
    // SAFETY: by contract.
    unsafe { store(d, task, row, panel, &acc) };
}

/// Adds the products of one group: `words(r)` has the four activations of row `r`, `b` the weights
/// of the first panel, `stride` bytes before those of the next.
///
/// # Safety
/// There must be 64 weights at `b` for each of the `NP` panels.
#[inline(always)]
unsafe fn step<D: Dot, const MR: usize, const NP: usize>(
    d: D,
    acc: &mut [[D::Acc; NP]; MR],
    words: impl Fn(usize) -> u32,
    b: *const i8,
    stride: usize,
) {
    // SAFETY: by contract.
    let mut w = [unsafe { d.weights(b) }; NP];
    for p in 1..NP {
        // SAFETY: by contract.
        w[p] = unsafe { d.weights(b.add(p * stride)) };
    }
    for r in 0..MR {
        let a = d.activations(words(r));
        for p in 0..NP {
            acc[r][p] = d.dot(acc[r][p], a, w[p]);
        }
    }
}

/// The `n < 4` bytes at `a`, then zeros.
///
/// # Safety
/// `a` must be valid for `n` reads.
#[inline(always)]
unsafe fn partial(a: *const u8, n: usize) -> u32 {
    // SAFETY: byte i is read only if it is among the first n.
    u32::from_ne_bytes(from_fn(|i| if i < n { unsafe { *a.add(i) } } else { 0 }))
}

/// Writes a tile. Loops over it have constant bounds, so that the sums stay in registers.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn store<D: Dot, const MR: usize, const NP: usize>(
    d: D,
    task: &Block,
    row: usize,
    panel: usize,
    acc: &[[D::Acc; NP]; MR],
) {
    let rows = task.rows - row;
    for p in 0..NP {
        let column = (panel + p) * COLUMNS;
        let width = COLUMNS.min(task.weights.n() - column);
        let channel = task.channel + column;
        let start = |r: usize| (task.row + row + r) * task.ldc + channel;
        match task.sink {
            Sink::U8(data, requant) => {
                let params = d.params(requant, channel);
                for r in 0..MR {
                    if r < rows {
                        // SAFETY: the caller promises that nobody else writes here.
                        let to = unsafe { data.range(start(r), width) };
                        copy(to, &d.requantise(acc[r][p], params));
                    }
                }
            }
            Sink::F32(data, dequant) => {
                for r in 0..MR {
                    if r < rows {
                        let sums = d.sums(acc[r][p]);
                        // SAFETY: the caller promises that nobody else writes here.
                        let to = unsafe { data.range(start(r), width) };
                        for (i, y) in to.iter_mut().enumerate() {
                            *y = dequant.apply(channel + i, sums[i]);
                        }
                    }
                }
            }
            Sink::I32(data) => {
                for r in 0..MR {
                    if r < rows {
                        // SAFETY: the caller promises that nobody else writes here.
                        copy(unsafe { data.range(start(r), width) }, &d.sums(acc[r][p]));
                    }
                }
            }
        }
    }
}

/// Copies the first elements of `from`; all 16 in one store.
#[inline(always)]
fn copy<T: Copy>(to: &mut [T], from: &[T; COLUMNS]) {
    match to.first_chunk_mut::<COLUMNS>() {
        Some(to) => *to = *from,
        None => to.copy_from_slice(&from[..to.len()]),
    }
}
