//! Steps that move whole tensors: layout conversion, transposition, slicing, concatenation.

use serde::{Deserialize, Serialize};

use edgecut_graph::DType;
use edgecut_kernels::{Pool, layout};

use crate::plan::{Element, Slot};
use crate::step::Env;
use crate::step::check::{Check, Checked, ensure, product};

/// Dimensions of a strided copy after neighbours are merged; the limit of the graph's ranks.
const MAX_RANK: usize = edgecut_graph::limits::MAX_RANK;

/// Elements that one task copies, about.
const CHUNK: usize = 16 * 1024;

/// A dense result gathered from a strided source: `y[i0, i1, ...] = x[start + i0 * s0 + ...]`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Move {
    x: Slot,
    y: Slot,
    dtype: DType,
    copy: Strided,
}

/// Extents of the result, and the source's step for each.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Strided {
    start: usize,
    rank: usize,
    dims: [usize; MAX_RANK],
    strides: [usize; MAX_RANK],
}

impl Strided {
    fn new(start: usize, dims: &[usize], strides: &[usize]) -> Strided {
        let mut copy = Strided { start, rank: 0, dims: [1; MAX_RANK], strides: [0; MAX_RANK] };
        for (&dim, &stride) in dims.iter().zip(strides).filter(|(dim, _)| **dim != 1) {
            // A dimension that continues the previous one in the source is merged with it.
            if copy.rank > 0 && copy.strides[copy.rank - 1] == stride * dim {
                copy.dims[copy.rank - 1] *= dim;
                copy.strides[copy.rank - 1] = stride;
            } else {
                copy.dims[copy.rank] = dim;
                copy.strides[copy.rank] = stride;
                copy.rank += 1;
            }
        }
        copy.rank = copy.rank.max(1);
        copy
    }

    /// Elements of the result, and the least that the source must have.
    fn reach(&self) -> Checked<(usize, usize)> {
        ensure((1..=MAX_RANK).contains(&self.rank), || format!("rank {}", self.rank))?;
        let (dims, strides) = (&self.dims[..self.rank], &self.strides[..self.rank]);
        ensure(dims.iter().all(|&dim| dim > 0), || format!("extents {dims:?}"))?;
        let last = dims.iter().zip(strides).try_fold(self.start, |at, (dim, stride)| {
            (dim - 1).checked_mul(*stride)?.checked_add(at)
        });
        let last = last.and_then(|last| last.checked_add(1));
        let last = last.ok_or_else(|| format!("strides {strides:?} are too large"))?;
        Ok((product(dims)?, last))
    }

    /// Elements of the innermost dimension, and the source's step between them.
    fn inner(&self) -> (usize, usize) {
        (self.dims[self.rank - 1], self.strides[self.rank - 1])
    }

    fn run<T: Element + Send + Sync>(&self, pool: &Pool, x: &[T], y: &mut [T]) {
        let (len, stride) = self.inner();
        let rows = (CHUNK / len).max(1);
        pool.for_each_chunk_mut(y, rows * len, |task, y| {
            let mut at = Odometer::new(self, task * rows);
            for row in y.chunks_exact_mut(len) {
                let x = &x[at.place..];
                match stride {
                    0 => row.fill(x[0]),
                    1 => row.copy_from_slice(&x[..len]),
                    _ => row.iter_mut().zip(x.iter().step_by(stride)).for_each(|(y, x)| *y = *x),
                }
                at.advance(self);
            }
        });
    }
}

/// Where the current row of the innermost dimension begins in the source.
struct Odometer {
    index: [usize; MAX_RANK],
    place: usize,
}

impl Odometer {
    fn new(copy: &Strided, mut row: usize) -> Odometer {
        let mut odometer = Odometer { index: [0; MAX_RANK], place: copy.start };
        for i in (0..copy.rank - 1).rev() {
            odometer.index[i] = row % copy.dims[i];
            odometer.place += odometer.index[i] * copy.strides[i];
            row /= copy.dims[i];
        }
        odometer
    }

    fn advance(&mut self, copy: &Strided) {
        for i in (0..copy.rank - 1).rev() {
            self.index[i] += 1;
            self.place += copy.strides[i];
            if self.index[i] < copy.dims[i] {
                return;
            }
            self.place -= self.index[i] * copy.strides[i];
            self.index[i] = 0;
        }
    }
}

impl Move {
    /// The dense tensor of extents `dims` whose element steps through `x` by `strides` from
    /// `start`.
    pub fn gather(
        x: Slot,
        y: Slot,
        dtype: DType,
        start: usize,
        dims: &[usize],
        strides: &[usize],
    ) -> Move {
        Move { x, y, dtype, copy: Strided::new(start, dims, strides) }
    }

    pub fn check(&self, c: &mut Check) -> Checked {
        by_type!(self.dtype, T => {
            let (len, reach) = self.copy.reach()?;
            let source = c.len::<T>(self.x)?;
            ensure(reach <= source, || format!("reads element {reach} of {source}"))?;
            c.read::<T>(self.x, source)?;
            c.write::<T>(self.y, len)
        })
    }

    pub fn run(&self, env: &mut Env) {
        by_type!(self.dtype, T => self.typed::<T>(env));
    }

    fn typed<T: Element + Send + Sync>(&self, env: &mut Env) {
        let (x, y) = (env.read::<T>(self.x), env.write::<T>(self.y));
        self.copy.run(env.ctx.pool, x, y);
    }
}

/// Images from NCHW to NHWC or back.
#[derive(Serialize, Deserialize)]
pub(crate) struct Convert {
    pub x: Slot,
    pub y: Slot,
    pub dtype: DType,
    pub channels: usize,
    pub pixels: usize,
    /// Whether to NHWC.
    pub inward: bool,
}

impl Convert {
    pub fn check(&self, c: &mut Check) -> Checked {
        let image = product(&[self.channels, self.pixels])?;
        by_type!(self.dtype, T => {
            let len = c.len::<T>(self.x)?;
            ensure(image > 0 && len.is_multiple_of(image), || format!("no whole images in {len}"))?;
            c.read::<T>(self.x, len)?;
            c.write::<T>(self.y, len)
        })
    }

    pub fn run(&self, env: &mut Env) {
        by_type!(self.dtype, T => self.typed::<T>(env));
    }

    fn typed<T: Element + Send + Sync>(&self, env: &mut Env) {
        let (x, y) = (env.read::<T>(self.x), env.write::<T>(self.y));
        if self.inward {
            layout::nchw_to_nhwc(env.ctx, self.channels, self.pixels, x, y);
        } else {
            layout::nhwc_to_nchw(env.ctx, self.channels, self.pixels, x, y);
        }
    }
}

/// Rows of tensors side by side, in rows of a result that may hold more already.
#[derive(Serialize, Deserialize)]
pub(crate) struct Concat {
    pub parts: Vec<Part>,
    pub y: Slot,
    /// Elements of a row of the result.
    pub row: usize,
    pub dtype: DType,
}

/// Elements of every row of a tensor, and where in the rows of a result they go.
#[derive(Serialize, Deserialize)]
pub(crate) struct Part {
    x: Slot,
    /// The first element, and the elements from row to row.
    first: usize,
    stride: usize,
    len: usize,
    column: usize,
}

impl Part {
    /// `len` elements, from element `first` on, of every row of `stride` elements.
    pub fn new(x: Slot, [first, stride]: [usize; 2], len: usize, column: usize) -> Part {
        Part { x, first, stride, len, column }
    }

    /// For `rows` rows of `row` elements.
    fn check<T: Element>(&self, c: &mut Check, [rows, row]: [usize; 2]) -> Checked {
        let end = self.column.checked_add(self.len).filter(|&end| end <= row);
        let fits = end.is_some() && (1..=self.stride).contains(&self.len);
        ensure(fits, || format!("{} elements of {} in a row of {row}", self.len, self.stride))?;
        let source = c.len::<T>(self.x)?;
        let last = rows.saturating_sub(1).checked_mul(self.stride);
        let reach = last.and_then(|at| at.checked_add(self.first)?.checked_add(self.len));
        ensure(reach.is_some_and(|reach| reach <= source), || {
            format!("reads {rows} rows of {} from {source} elements", self.stride)
        })?;
        c.peek::<T>(self.x, source)
    }
}

impl Concat {
    pub fn check(&self, c: &mut Check) -> Checked {
        by_type!(self.dtype, T => {
            let (len, row) = (c.len::<T>(self.y)?, self.row);
            let whole = row > 0 && len.is_multiple_of(row);
            ensure(whole, || format!("no whole rows of {row} in {len}"))?;
            c.write::<T>(self.y, len)?;
            self.parts.iter().try_for_each(|part| part.check::<T>(c, [len / row, row]))
        })
    }

    pub fn run(&self, env: &mut Env) {
        by_type!(self.dtype, T => self.typed::<T>(env));
    }

    fn typed<T: Element + Send + Sync>(&self, env: &mut Env) {
        let rows = (CHUNK / self.row).max(1);
        let (y, pool) = (env.write::<T>(self.y), env.ctx.pool);
        for part in &self.parts {
            let x = &env.peek::<T>(part.x)[part.first..];
            pool.for_each_chunk_mut(y, rows * self.row, |task, y| {
                let x = &x[task * rows * part.stride..];
                for (y, x) in y.chunks_exact_mut(self.row).zip(x.chunks(part.stride)) {
                    y[part.column..][..part.len].copy_from_slice(&x[..part.len]);
                }
            });
        }
    }
}

/// Channels of channels-last images in another order: channel `g * (c / groups) + i` moves to
/// `i * groups + g`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Shuffle {
    pub x: Slot,
    pub y: Slot,
    pub dtype: DType,
    pub channels: usize,
    pub groups: usize,
}

impl Shuffle {
    pub fn check(&self, c: &mut Check) -> Checked {
        by_type!(self.dtype, T => {
            let (len, channels) = (c.len::<T>(self.x)?, self.channels);
            let whole = channels > 0 && len.is_multiple_of(channels);
            let groups = self.groups > 0 && channels.is_multiple_of(self.groups);
            ensure(whole && groups, || {
                format!("no {} groups of channels in {len} elements", self.groups)
            })?;
            c.read::<T>(self.x, len)?;
            c.write::<T>(self.y, len)
        })
    }

    pub fn run(&self, env: &mut Env) {
        by_type!(self.dtype, T => self.typed::<T>(env));
    }

    fn typed<T: Element + Send + Sync>(&self, env: &mut Env) {
        let (x, y) = (env.read::<T>(self.x), env.write::<T>(self.y));
        layout::channel_shuffle(env.ctx, self.groups, self.channels, x, y);
    }
}
