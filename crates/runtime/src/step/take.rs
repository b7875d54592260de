//! Elements picked by position along each dimension: padding, nearest resampling, channel
//! shuffles, gathering.

use serde::{Deserialize, Serialize};

use edgecut_graph::DType;
use edgecut_kernels::Pool;

use crate::plan::{Constant, Element, Slot};
use crate::step::Env;
use crate::step::check::{Check, Checked, ensure, product};

/// An offset that stands for no element.
pub(crate) const NOWHERE: usize = usize::MAX;

/// Elements that one task copies, about.
const CHUNK: usize = 16 * 1024;

/// `y[i0, i1, ...] = x[t0[i0] + t1[i1] + ...]`, and the fill where a table says [`NOWHERE`].
#[derive(Serialize, Deserialize)]
pub(crate) struct Take {
    x: Slot,
    y: Slot,
    dtype: DType,
    /// One element.
    fill: Constant,
    /// Where the tables' offsets begin.
    base: usize,
    /// Offsets for each dimension of `y` but the innermost ones, which are one run of the source.
    tables: Vec<Vec<usize>>,
    /// Length of that run.
    run: usize,
}

impl Take {
    /// `tables` has one list of offsets a dimension of `y`; `fill` is one element.
    pub fn new(
        x: Slot,
        y: Slot,
        dtype: DType,
        mut tables: Vec<Vec<usize>>,
        fill: Constant,
    ) -> Take {
        let (mut base, mut run) = (0, 1);
        // A dimension whose offsets are those of a dense tensor is part of the run.
        while let Some(table) = tables.last() {
            let first = table[0];
            let dense = |(i, &at): (usize, &usize)| {
                at != NOWHERE && first != NOWHERE && at == first + i * run
            };
            if !table.iter().enumerate().all(dense) {
                break;
            }
            base += first;
            run *= table.len();
            tables.pop();
        }
        if tables.is_empty() {
            tables.push(vec![0]);
        }
        Take { x, y, dtype, fill, base, tables, run }
    }

    pub fn weight_bytes(&self) -> usize {
        self.tables.iter().map(|table| size_of_val(&table[..])).sum()
    }

    pub fn check(&self, c: &mut Check) -> Checked {
        let lens: Vec<usize> = self.tables.iter().map(Vec::len).collect();
        let len = product(&[product(&lens)?, self.run])?;
        let last = |table: &Vec<usize>| table.iter().copied().filter(|&at| at != NOWHERE).max();
        let reach = self.tables.iter().filter_map(last).try_fold(self.base, usize::checked_add);
        let reach = reach.and_then(|at| at.checked_add(self.run));
        let reach = reach.ok_or_else(|| "offsets are too large".to_string())?;
        by_type!(self.dtype, T => {
            let fill = T::of(&self.fill).is_some_and(|fill| fill.len() == 1);
            let source = c.len::<T>(self.x)?;
            ensure(fill && !lens.is_empty(), || "no element to fill with, or no table".into())?;
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
        let fill = T::of(&self.fill).expect("a fill of the buffers' type")[0];
        self.copy(env.ctx.pool, x, fill, y);
    }

    fn copy<T: Copy + Send + Sync>(&self, pool: &Pool, x: &[T], fill: T, y: &mut [T]) {
        let (inner, outer) = self.tables.split_last().expect("at least one table");
        let line = inner.len() * self.run;
        let lines = (CHUNK / line).max(1);
        pool.for_each_chunk_mut(y, lines * line, |task, y| {
            for (i, y) in y.chunks_exact_mut(line).enumerate() {
                let start = offset(outer, task * lines + i).map(|at| at + self.base);
                for (y, &at) in y.chunks_exact_mut(self.run).zip(inner) {
                    match (start, at) {
                        (None, _) | (_, NOWHERE) => y.fill(fill),
                        (Some(start), at) => y.copy_from_slice(&x[start + at..][..self.run]),
                    }
                }
            }
        });
    }
}

/// The sum of the offsets at the position that `index` counts, the last dimension fastest.
fn offset(tables: &[Vec<usize>], mut index: usize) -> Option<usize> {
    let mut sum = 0;
    for table in tables.iter().rev() {
        let at = table[index % table.len()];
        if at == NOWHERE {
            return None;
        }
        sum += at;
        index /= table.len();
    }
    Some(sum)
}
