//! One block of an 8-bit product, tile by tile.

use std::array::from_fn;

use super::dot::Dot;
use super::{Block, Sink};
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
    for group in 0..k.div_ceil(GROUP) {
        // SAFETY: every panel has 64 bytes for each group.
        let mut w = [unsafe { d.weights(b.add(group * GROUP_BYTES)) }; NP];
        for p in 1..NP {
            // SAFETY: as above.
            w[p] = unsafe { d.weights(b.add(p * stride + group * GROUP_BYTES)) };
        }
        let full = (group + 1) * GROUP <= k;
        for r in 0..MR {
            // SAFETY: a full group lies within the row; of the last one only k % 4 bytes are read.
            let word = unsafe {
                let a = rows[r].add(group * GROUP);
                if full { a.cast::<u32>().read_unaligned() } else { partial(a, k % GROUP) }
            };
            let a = d.activations(word);
            for p in 0..NP {
                acc[r][p] = d.dot(acc[r][p], a, w[p]);
            }
        }
    }
    for (r, acc) in acc.into_iter().enumerate().take(task.rows - row) {
        for (p, acc) in acc.into_iter().enumerate() {
            let column = (panel + p) * COLUMNS;
            let width = COLUMNS.min(task.weights.n() - column);
            // SAFETY: the caller promises that nobody else writes here.
            unsafe { store(d, task, task.row + row + r, task.channel + column, width, acc) };
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

/// Writes `width` sums to output channels from `channel` on.
///
/// # Safety
/// Nobody else may use these elements of the output.
#[inline(always)]
unsafe fn store<D: Dot>(d: D, task: &Block, row: usize, channel: usize, width: usize, acc: D::Acc) {
    let start = row * task.ldc + channel;
    match task.sink {
        Sink::U8(data, requant) => {
            let bytes = d.requantise(acc, requant, channel);
            // SAFETY: by contract.
            copy(unsafe { data.range(start, width) }, &bytes);
        }
        Sink::F32(data, dequant) => {
            let sums = d.sums(acc);
            // SAFETY: by contract.
            for (i, y) in unsafe { data.range(start, width) }.iter_mut().enumerate() {
                *y = dequant.apply(channel + i, sums[i]);
            }
        }
        Sink::I32(data) => {
            // SAFETY: by contract.
            copy(unsafe { data.range(start, width) }, &d.sums(acc));
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
