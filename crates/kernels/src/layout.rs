//! Copies that change the order of elements: NCHW to NHWC and back, transposition, and strided rows
//! (concatenation and slices of channels).

use crate::Ctx;
use crate::pool::SharedMut;

/// Elements per task.
const TASK: usize = 16 * 1024;

/// `out[n, pixels, channels] = x[n, channels, pixels]`.
///
/// # Panics
/// If the sizes do not match.
pub fn nchw_to_nhwc<T: Copy + Send + Sync>(
    ctx: Ctx,
    channels: usize,
    pixels: usize,
    x: &[T],
    out: &mut [T],
) {
    swap_axes(ctx, channels, pixels, x, out);
}

/// `out[n, channels, pixels] = x[n, pixels, channels]`.
///
/// # Panics
/// If the sizes do not match.
pub fn nhwc_to_nchw<T: Copy + Send + Sync>(
    ctx: Ctx,
    channels: usize,
    pixels: usize,
    x: &[T],
    out: &mut [T],
) {
    swap_axes(ctx, pixels, channels, x, out);
}

/// Channels of pixels in another order, `out[p, i, g] = x[p, g, i]`: the channel shuffle of
/// ShuffleNet (Zhang et al. 2017, arXiv:1707.01083).
///
/// # Panics
/// If the sizes do not match.
pub fn channel_shuffle<T: Copy + Send + Sync>(
    ctx: Ctx,
    groups: usize,
    channels: usize,
    x: &[T],
    out: &mut [T],
) {
    assert_eq!(x.len(), out.len());
    assert!(channels.is_multiple_of(groups) && x.len().is_multiple_of(channels));
    let (pixels, members) = ((TASK / channels).max(1), channels / groups);
    ctx.pool.for_each_chunk_mut(out, pixels * channels, |task, out| {
        let x = &x[task * pixels * channels..][..out.len()];
        for (x, out) in x.chunks_exact(channels).zip(out.chunks_exact_mut(channels)) {
            if groups == 2 {
                // The usual number, which compiles to vector instructions.
                let (a, b) = x.split_at(members);
                for (out, (a, b)) in out.chunks_exact_mut(2).zip(a.iter().zip(b)) {
                    (out[0], out[1]) = (*a, *b);
                }
                continue;
            }
            if members == 2 {
                // And the way back.
                let (a, b) = out.split_at_mut(groups);
                for (x, (a, b)) in x.chunks_exact(2).zip(a.iter_mut().zip(b)) {
                    (*a, *b) = (x[0], x[1]);
                }
                continue;
            }
            for (g, x) in x.chunks_exact(members).enumerate() {
                out[g..].iter_mut().step_by(groups).zip(x).for_each(|(out, x)| *out = *x);
            }
        }
    });
}

/// `out[n, columns, rows] = x[n, rows, columns]`.
fn swap_axes<T: Copy + Send + Sync>(ctx: Ctx, rows: usize, columns: usize, x: &[T], out: &mut [T]) {
    assert_eq!(x.len(), out.len());
    let size = rows * columns;
    if x.is_empty() {
        return;
    }
    assert!(x.len().is_multiple_of(size), "no whole matrices of {rows} x {columns}");
    // A task writes some output rows of one matrix.
    let per_task = (TASK / rows).clamp(1, columns);
    let tasks = columns.div_ceil(per_task);
    let shared = SharedMut::new(out);
    ctx.pool.for_each(x.len() / size * tasks, &|task| {
        let (matrix, first) = (task / tasks, task % tasks * per_task);
        let count = per_task.min(columns - first);
        let x = &x[matrix * size..(matrix + 1) * size];
        // SAFETY: these rows of this matrix belong to this task alone.
        let out = unsafe { shared.range(matrix * size + first * rows, count * rows) };
        swap_block(rows, columns, first, x, out);
    });
}

/// Output rows from `first` on.
fn swap_block<T: Copy>(rows: usize, columns: usize, first: usize, x: &[T], out: &mut [T]) {
    match (rows, columns) {
        // Images of a few channels: a loop without conditions in it.
        (2, _) => interleave::<T, 2>(columns, first, x, out),
        (3, _) => interleave::<T, 3>(columns, first, x, out),
        (4, _) => interleave::<T, 4>(columns, first, x, out),
        (_, 1..=4) => {
            for (j, line) in out.chunks_exact_mut(rows).enumerate() {
                let column = x[first + j..].iter().step_by(columns);
                line.iter_mut().zip(column).for_each(|(y, x)| *y = *x);
            }
        }
        _ => swap_squares(rows, columns, first, x, out),
    }
}

/// Output rows from `first` on, of `N` elements each.
fn interleave<T: Copy, const N: usize>(columns: usize, first: usize, x: &[T], out: &mut [T]) {
    let (out, _) = out.as_chunks_mut::<N>();
    let lines: [&[T]; N] = std::array::from_fn(|i| &x[i * columns + first..][..out.len()]);
    for (j, y) in out.iter_mut().enumerate() {
        for i in 0..N {
            y[i] = lines[i][j];
        }
    }
}

/// Output rows from `first` on, in square blocks so that both sides stay in cache.
fn swap_squares<T: Copy>(rows: usize, columns: usize, first: usize, x: &[T], out: &mut [T]) {
    const SIDE: usize = 16;
    let count = out.len() / rows;
    for column in (0..count).step_by(SIDE) {
        for row in (0..rows).step_by(SIDE) {
            for j in column..(column + SIDE).min(count) {
                let line = &mut out[j * rows..(j + 1) * rows];
                for (i, y) in line.iter_mut().enumerate().take(row + SIDE).skip(row) {
                    *y = x[i * columns + first + j];
                }
            }
        }
    }
}

/// `out` is `x[shape]` with its dimensions permuted: output dimension i is input dimension
/// `perm[i]`.
///
/// # Panics
/// If `perm` is no permutation of the dimensions or the sizes do not match.
pub fn transpose<T: Copy + Send + Sync>(
    ctx: Ctx,
    shape: &[usize],
    perm: &[usize],
    x: &[T],
    out: &mut [T],
) {
    let rank = shape.len();
    assert!(
        perm.len() == rank && (0..rank).all(|axis| perm.contains(&axis)),
        "{perm:?} is no permutation of {rank} dimensions"
    );
    let len: usize = shape.iter().product();
    assert!(
        x.len() == len && out.len() == len,
        "{} and {} elements for {shape:?}",
        x.len(),
        out.len()
    );
    if len == 0 {
        return;
    }
    let stride = |axis: usize| shape[axis + 1..].iter().product::<usize>();
    let (inner, step) = match perm.last() {
        Some(&axis) => (shape[axis], stride(axis)),
        None => (1, 1),
    };
    let rows = (TASK / inner).max(1);
    ctx.pool.for_each_chunk_mut(out, rows * inner, |task, out| {
        for (i, row) in out.chunks_exact_mut(inner).enumerate() {
            let mut index = task * rows + i;
            let mut start = 0;
            for &axis in perm[..rank.max(1) - 1].iter().rev() {
                start += index % shape[axis] * stride(axis);
                index /= shape[axis];
            }
            if step == 1 {
                row.copy_from_slice(&x[start..start + inner]);
            } else {
                for (y, x) in row.iter_mut().zip(x[start..].iter().step_by(step)) {
                    *y = *x;
                }
            }
        }
    });
}

/// Copies `rows` rows of `len` elements, `src_stride` and `dst_stride` apart: one operand of a
/// concatenation along channels (`dst` starting at its offset), or a slice of channels.
///
/// # Panics
/// If a slice is too short or destination rows overlap.
pub fn copy_rows<T: Copy + Send + Sync>(
    ctx: Ctx,
    rows: usize,
    len: usize,
    src: &[T],
    src_stride: usize,
    dst: &mut [T],
    dst_stride: usize,
) {
    if rows == 0 || len == 0 {
        return;
    }
    assert!(dst_stride >= len, "destination rows overlap");
    let dst = &mut dst[..(rows - 1) * dst_stride + len];
    assert!(src.len() >= (rows - 1) * src_stride + len, "the source is too short");
    let per_task = (TASK / len).max(1);
    ctx.pool.for_each_chunk_mut(dst, per_task * dst_stride, |task, dst| {
        for (i, row) in dst.chunks_mut(dst_stride).enumerate() {
            let start = (task * per_task + i) * src_stride;
            row[..len].copy_from_slice(&src[start..start + len]);
        }
    });
}

#[cfg(test)]
mod tests;
