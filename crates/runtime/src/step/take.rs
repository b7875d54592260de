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
    /// Offsets for each dimension of `y` but the innermost ones.
    tables: Vec<Vec<usize>>,
    /// What these take, from the sum of the offsets on.
    line: Vec<Run>,
}

/// Neighbours in `y` that are neighbours in `x` as well, or all the fill.
#[derive(Serialize, Deserialize)]
struct Run {
    /// Offset of the first, or [`NOWHERE`].
    from: usize,
    len: usize,
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
        let mut line = vec![Run { from: 0, len: 1 }];
        // What is one run is an element of the next dimension.
        while let [element] = &line[..] {
            let Some(table) = tables.pop() else { break };
            line = runs(&table, element);
        }
        Take { x, y, dtype, fill, tables, line }
    }

    pub fn weight_bytes(&self) -> usize {
        let tables: usize = self.tables.iter().map(|table| size_of_val(&table[..])).sum();
        tables + size_of_val(&self.line[..])
    }

    /// Elements of `y` that one position of the tables stands for.
    fn line_len(&self) -> usize {
        self.line.iter().map(|run| run.len).sum()
    }

    pub fn check(&self, c: &mut Check) -> Checked {
        let lens: Vec<usize> = self.tables.iter().map(Vec::len).collect();
        let line = self.line.iter().try_fold(0usize, |sum, run| sum.checked_add(run.len));
        let line = line.filter(|&len| len > 0).ok_or("a line of no elements, or too many")?;
        let len = product(&[product(&lens)?, line])?;
        let last = |table: &Vec<usize>| table.iter().copied().filter(|&at| at != NOWHERE).max();
        let mut copied = self.line.iter().filter(|run| run.from != NOWHERE);
        let end = copied
            .try_fold(0usize, |most, run| run.from.checked_add(run.len).map(|end| most.max(end)));
        let offsets = self.tables.iter().filter_map(last).try_fold(0, usize::checked_add);
        let reach = end.zip(offsets).and_then(|(end, offsets)| end.checked_add(offsets));
        let reach = reach.ok_or_else(|| "offsets are too large".to_string())?;
        by_type!(self.dtype, T => {
            let fill = T::of(&self.fill).is_some_and(|fill| fill.len() == 1);
            let source = c.len::<T>(self.x)?;
            ensure(fill, || "no element to fill with".into())?;
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
        let line = self.line_len();
        let lines = (CHUNK / line).max(1);
        pool.for_each_chunk_mut(y, lines * line, |task, y| {
            for (i, y) in y.chunks_exact_mut(line).enumerate() {
                match offset(&self.tables, task * lines + i) {
                    None => y.fill(fill),
                    Some(start) => self.copy_line(x, start, fill, y),
                }
            }
        });
    }

    fn copy_line<T: Copy>(&self, x: &[T], start: usize, fill: T, mut y: &mut [T]) {
        for &Run { from, len } in &self.line {
            let (own, rest) = y.split_at_mut(len);
            match (from, own) {
                (NOWHERE, own) => own.fill(fill),
                // A call to copy takes as long as many elements.
                (from, [one]) => *one = x[start + from],
                (from, own) => own.copy_from_slice(&x[start + from..][..len]),
            }
            y = rest;
        }
    }
}

/// What a dimension with these offsets takes, in as few runs as possible, where one offset stands for
/// `element`.
fn runs(table: &[usize], element: &Run) -> Vec<Run> {
    let mut runs: Vec<Run> = vec![];
    for &at in table {
        let from =
            if at == NOWHERE || element.from == NOWHERE { NOWHERE } else { at + element.from };
        match runs.last_mut() {
            Some(last) if goes_on(last, from) => last.len += element.len,
            _ => runs.push(Run { from, len: element.len }),
        }
    }
    runs
}

/// Whether what begins at `from` is the neighbour of `run`.
fn goes_on(run: &Run, from: usize) -> bool {
    match (run.from, from) {
        (NOWHERE, from) => from == NOWHERE,
        (_, NOWHERE) => false,
        (first, from) => from == first + run.len,
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

#[cfg(test)]
mod tests {
    use edgecut_graph::rng::Rng;

    use super::*;

    const FILL: u8 = 255;

    /// Every element on its own.
    fn plainly(x: &[u8], tables: &[Vec<usize>]) -> Vec<u8> {
        let len: usize = tables.iter().map(Vec::len).product();
        (0..len).map(|i| offset(tables, i).map_or(FILL, |at| x[at])).collect()
    }

    fn take(tables: Vec<Vec<usize>>) -> Take {
        let fill = Constant::U8([FILL].into_iter().collect());
        Take::new(Slot(0), Slot(1), DType::U8, tables, fill)
    }

    #[test]
    fn runs_take_what_tables_say() {
        let pool = Pool::new(1);
        for seed in 0..500 {
            let mut rng = Rng::new(seed);
            // Offsets of a tensor that is dense but for a few, each dimension behind the other.
            let (mut tables, mut stride) = (vec![], 1);
            for _ in 0..1 + rng.below(3) {
                let len = 1 + rng.below(5);
                let start = rng.below(2);
                let odd = rng.below(3) == 0;
                let at = |i: usize, rng: &mut Rng| match rng.below(4) {
                    0 if odd => NOWHERE,
                    1 if odd => rng.below(len) * stride,
                    _ => (start + i) * stride,
                };
                tables.insert(0, (0..len).map(|i| at(i, &mut rng)).collect::<Vec<usize>>());
                stride *= len + start;
            }
            let x: Vec<u8> = (0..stride).map(|_| rng.below(250) as u8).collect();
            let expected = plainly(&x, &tables);
            let mut y = vec![0; expected.len()];
            take(tables.clone()).copy(&pool, &x, FILL, &mut y);
            assert_eq!(y, expected, "seed {seed}: {tables:?}");
        }
    }

    #[test]
    fn padded_channels_are_a_copy_and_two_fills() {
        let channels = [vec![NOWHERE; 3], (0..5).collect(), vec![NOWHERE; 2]].concat();
        let pixels = (0..6).map(|i| 5 * i).collect();
        let take = take(vec![pixels, channels]);
        let lens: Vec<usize> = take.line.iter().map(|run| run.len).collect();
        assert_eq!((take.tables.len(), lens), (1, vec![3, 5, 2]));
    }
}
