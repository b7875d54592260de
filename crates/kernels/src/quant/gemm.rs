//! `C = A B` with u8 activations A and packed s8 weights B.

use std::ops::Range;

use super::conv::Runs;
use super::finish::Finish;
use super::pack::{GROUP, groups_of_run};
use super::product::{Left, Out, Sink, multiply};
use super::{Dequant, PackedWeights, Requant};
use crate::gemm::part;
use crate::input_rows::holds;
use crate::pool::SharedMut;
use crate::{Ctx, Isa};

/// Where the sums go, row-major.
#[derive(Debug)]
pub enum Output<'a> {
    /// Requantised to bytes, with all else that a [`Finish`] does.
    U8(&'a mut [u8], Finish<'a>),
    /// Dequantised to real numbers.
    F32(&'a mut [f32], &'a Dequant),
    /// As they are, without bias or zero point.
    I32(&'a mut [i32]),
}

impl<'a> Output<'a> {
    /// Requantised to bytes.
    pub fn bytes(out: &'a mut [u8], requant: &'a Requant) -> Output<'a> {
        Output::U8(out, Finish::new(requant))
    }

    /// Elements of a row that holds `columns` results.
    pub(super) fn width(&self, columns: usize) -> usize {
        match self {
            Output::U8(_, finish) => finish.width(columns),
            Output::F32(..) | Output::I32(_) => columns,
        }
    }

    /// Asserts that it holds `rows` rows of `columns` results, `ldc` elements apart.
    pub(super) fn check(&self, rows: usize, columns: usize, ldc: usize) {
        let len = match self {
            Output::U8(data, finish) => {
                finish.check(rows, columns);
                data.len()
            }
            Output::F32(data, dequant) => {
                assert!(dequant.fit(columns), "one scale an output channel");
                data.len()
            }
            Output::I32(data) => data.len(),
        };
        let width = self.width(columns);
        assert!(ldc >= width, "rows of {width} results overlap at stride {ldc}");
        assert!(holds(len, rows, ldc, width), "the output is too small");
    }

    pub(super) fn share(self) -> Shared<'a> {
        match self {
            Output::U8(data, finish) => Shared::U8(SharedMut::new(data), finish),
            Output::F32(data, dequant) => Shared::F32(SharedMut::new(data), dequant),
            Output::I32(data) => Shared::I32(SharedMut::new(data)),
        }
    }
}

/// An output that tasks write at disjoint places.
pub(super) enum Shared<'a> {
    U8(SharedMut<'a, u8>, Finish<'a>),
    F32(SharedMut<'a, f32>, &'a Dequant),
    I32(SharedMut<'a, i32>),
}

impl<'a> Shared<'a> {
    pub fn sink(&self) -> Sink<'a> {
        match self {
            Shared::U8(data, finish) => Sink::U8(data.at(0), *finish),
            Shared::F32(data, dequant) => Sink::F32(data.at(0), dequant),
            Shared::I32(data) => Sink::I32(data.at(0)),
        }
    }
}

/// Bytes of A and C in a block of rows, which is walked once per two panels of B: half a
/// second-level cache.
const BLOCK: usize = 512 * 1024;

/// Multiply-adds that are worth the 2 microseconds that handing out a task may take.
const TASK: usize = 400_000;

/// Rows of a block are a multiple.
const ROWS: usize = 32;

/// `C[m, n] = A[m, k] B[k, n]`, rows of A `lda` bytes apart, those of C `ldc` elements.
///
/// # Panics
/// If a slice is shorter than its matrix, or the output has another number of channels.
pub fn gemm(
    ctx: Ctx,
    m: usize,
    a: &[u8],
    lda: usize,
    weights: &PackedWeights,
    output: Output,
    ldc: usize,
) {
    let (k, n) = (weights.k(), weights.n());
    check(m, a, lda, weights);
    output.check(m, n, ldc);
    if m == 0 || n == 0 {
        return;
    }
    let sink = output.share();
    let panels = weights.panels();
    // By columns where the weights outweigh what they are multiplied with.
    let by_columns = k * n > 2 * m * (k + n);
    let most = if by_columns { panels } else { m };
    let tasks = ctx.pool.threads().min(most).min((m * k * n / TASK).max(1));
    ctx.pool.for_each(tasks, &|task| {
        let out = Out { sink: sink.sink(), ldc, channel: 0, pads: None };
        let share = part(most, task, tasks);
        let (rows, panels) = if by_columns { (0..m, share) } else { (share, 0..panels) };
        // SAFETY: the operands have been checked, and no other task has these rows and panels.
        unsafe { pass(ctx.isa, rows, panels, a, lda, weights, out) };
    });
}

/// [`gemm`] to bytes, on the calling thread.
///
/// # Panics
/// If a slice is shorter than its matrix, or `finish` is that of another number of channels.
pub fn gemm_rows(
    isa: Isa,
    m: usize,
    a: &[u8],
    lda: usize,
    weights: &PackedWeights,
    c: &mut [u8],
    ldc: usize,
    finish: &Finish,
) {
    check(m, a, lda, weights);
    let output = Output::U8(c, *finish);
    output.check(m, weights.n(), ldc);
    if m == 0 || weights.n() == 0 {
        return;
    }
    let out = Out { sink: output.share().sink(), ldc, channel: 0, pads: None };
    // SAFETY: the operands have been checked.
    unsafe { pass(isa, 0..m, 0..weights.panels(), a, lda, weights, out) };
}

fn check(m: usize, a: &[u8], lda: usize, weights: &PackedWeights) {
    let k = weights.k();
    assert!(weights.fit(k, weights.n()), "the weights are not whole");
    assert!(lda >= k, "rows of {k} bytes overlap at stride {lda}");
    assert!(holds(a.len(), m, lda, k), "A has {} bytes for {m} rows of {lda}", a.len());
}

/// Rows `rows` times the panels `panels`.
///
/// # Safety
/// The matrices, of which `out` is the whole result, must have been checked, and nobody else may use
/// these rows and panels of the result.
unsafe fn pass(
    isa: Isa,
    rows: Range<usize>,
    panels: Range<usize>,
    a: &[u8],
    lda: usize,
    weights: &PackedWeights,
    out: Out,
) {
    let k = weights.k();
    // Rows whose groups all lie in A: those of the last few may reach beyond it.
    let reach = groups_of_run(k) * GROUP;
    let safe = a.len().checked_sub(reach).map_or(0, |last| last / lda.max(1) + 1);
    let safe = if reach == k { rows.end } else { safe.clamp(rows.start, rows.end) };
    let block = (BLOCK / (k + weights.n()) / ROWS * ROWS).max(ROWS);
    let mut first = rows.start;
    while first < rows.end {
        let (count, mut runs) =
            if first < safe { (block.min(safe - first), Runs::new()) } else { (1, Runs::exact()) };
        // SAFETY: this row of A.
        unsafe { runs.push(a.as_ptr().wrapping_add(first * lda), k, 0) };
        let left = Left::rows(runs.list(), lda, count);
        // SAFETY: by contract.
        unsafe { multiply(isa, left, panels.clone(), weights, &out.rows_from(first)) };
        first += count;
    }
}
