//! Elements of an output that are elements of an input: copies, broadcasts, and their gradients.
//!
//! The gradient of a copy is a sum over its copies. Each input element adds its own in ascending
//! order, so that no two threads add to one place and the bits do not depend on their number.

use edgecut_kernels::Ctx;
use edgecut_kernels::column_sums::{column_sums, column_sums_scratch_len};
use edgecut_kernels::layout::copy_rows;
use edgecut_kernels::reduce::{Reduction, reduce};

/// In place of an index: the element comes from nowhere.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// Elements per task.
const TASK: usize = 16 * 1024;

/// Where each element of one image of the output comes from in one image of the input. Patterns
/// that have kernels are recognised.
#[derive(Clone, Debug)]
pub(crate) struct Spread {
    input: usize,
    output: usize,
    pattern: Pattern,
}

#[derive(Clone, Debug, PartialEq)]
enum Pattern {
    /// Element i from i.
    Same,
    /// Element i from `i % input`: a vector for each row.
    Rows,
    /// Element i from `i / run`: one element for each row.
    Runs(usize),
    /// Some columns of each row: element i from `i / width * stride + start + i % width`.
    Columns { width: usize, start: usize, stride: usize },
    /// Anything else.
    Any(Lists),
}

#[derive(Clone, Debug, PartialEq)]
struct Lists {
    from: Vec<u32>,
    /// Where the copies of each input element begin in `copies`; one more entry at the end.
    starts: Vec<u32>,
    copies: Vec<u32>,
}

impl Spread {
    /// The map that takes element i from `from[i]`, an index into `input` elements or [`NOWHERE`].
    pub fn new(from: Vec<u32>, input: usize) -> Spread {
        let output = from.len();
        let pattern =
            recognise(&from, input).unwrap_or_else(|| Pattern::Any(Lists::new(from, input)));
        Spread { input, output, pattern }
    }

    /// Whether nothing is moved.
    pub fn is_same(&self) -> bool {
        self.pattern == Pattern::Same
    }

    /// Elements of one image of the output.
    pub fn output(&self) -> usize {
        self.output
    }

    /// Elements of one image of the input.
    pub fn input(&self) -> usize {
        self.input
    }

    /// Length of the vector that every row repeats, or `None` for another pattern.
    pub fn row(&self) -> Option<usize> {
        (self.pattern == Pattern::Rows).then_some(self.input)
    }

    /// Floats of scratch memory that [`Spread::fold`] and [`Spread::fold_shared`] need.
    pub fn scratch_len(&self, batch: usize) -> usize {
        let sums = match self.pattern {
            Pattern::Rows => batch * self.output / self.input.max(1),
            _ => batch,
        };
        batch * self.input + column_sums_scratch_len(sums, self.input)
    }

    /// `out[n, output]` from `x[n, input]`; `fill` where an element comes from nowhere.
    pub fn spread(&self, ctx: Ctx, x: &[f32], fill: f32, out: &mut [f32]) {
        let (input, output) = (self.input, self.output);
        match &self.pattern {
            Pattern::Same => out.copy_from_slice(x),
            Pattern::Columns { width, start, stride } => {
                let rows = out.len() / width;
                copy_rows(ctx, rows, *width, &x[*start..], *stride, out, *width);
            }
            Pattern::Rows => ctx.pool.for_each_chunk_mut(out, output, |image, out| {
                let x = &x[image * input..][..input];
                out.chunks_mut(input.max(1)).for_each(|row| row.copy_from_slice(&x[..row.len()]));
            }),
            Pattern::Runs(run) => ctx.pool.for_each_chunk_mut(out, output, |image, out| {
                let x = &x[image * input..][..input];
                out.chunks_mut(*run).zip(x).for_each(|(run, x)| run.fill(*x));
            }),
            Pattern::Any(lists) => ctx.pool.for_each_chunk_mut(out, output, |image, out| {
                let x = &x[image * input..][..input];
                for (y, &from) in out.iter_mut().zip(&lists.from) {
                    *y = x.get(from as usize).copied().unwrap_or(fill);
                }
            }),
        }
    }

    /// The gradient of [`Spread::spread`]: `dx[n, input]` sums the copies in `dz[n, output]`.
    pub fn fold(&self, ctx: Ctx, dz: &[f32], dx: &mut [f32], scratch: &mut [f32]) {
        let (input, output) = (self.input, self.output);
        match &self.pattern {
            Pattern::Same => dx.copy_from_slice(dz),
            Pattern::Columns { width, start, stride } => {
                dx.fill(0.0);
                let rows = dz.len() / width;
                copy_rows(ctx, rows, *width, dz, *width, &mut dx[*start..], *stride);
            }
            Pattern::Rows => {
                for (dz, dx) in dz.chunks(output.max(1)).zip(dx.chunks_mut(input.max(1))) {
                    column_sums(ctx, dz, dx, scratch, false);
                }
            }
            Pattern::Runs(run) => reduce(ctx, Reduction::Sum, *run, 1, dz, dx),
            Pattern::Any(lists) => ctx.pool.for_each_chunk_mut(dx, TASK, |task, dx| {
                for (i, dx) in dx.iter_mut().enumerate() {
                    let (image, at) = ((task * TASK + i) / input, (task * TASK + i) % input);
                    let dz = &dz[image * output..][..output];
                    let sum = |sum, &copy: &u32| sum + f64::from(dz[copy as usize]);
                    *dx = lists.of(at).iter().fold(0.0, sum) as f32;
                }
            }),
        }
    }

    /// As [`Spread::fold`] for an input that all `n` images share: `dx[input]` sums over them too.
    pub fn fold_shared(&self, ctx: Ctx, dz: &[f32], dx: &mut [f32], scratch: &mut [f32]) {
        if matches!(self.pattern, Pattern::Same | Pattern::Rows) {
            return column_sums(ctx, dz, dx, scratch, false);
        }
        let images = dz.len() / self.output.max(1);
        let (parts, scratch) = scratch.split_at_mut(images * self.input);
        self.fold(ctx, dz, parts, scratch);
        column_sums(ctx, parts, dx, scratch, false);
    }
}

impl Lists {
    fn new(from: Vec<u32>, input: usize) -> Lists {
        let (starts, copies) = invert(&from, input);
        Lists { from, starts, copies }
    }

    /// The copies of input element `at`.
    fn of(&self, at: usize) -> &[u32] {
        &self.copies[self.starts[at] as usize..self.starts[at + 1] as usize]
    }
}

/// For each index below `len`, the positions in `from` that hold it, ascending: where they begin in
/// the second list, and one more entry at the end.
pub(crate) fn invert(from: &[u32], len: usize) -> (Vec<u32>, Vec<u32>) {
    let mut starts = vec![0u32; len + 1];
    let known = |from: &&u32| **from != NOWHERE;
    from.iter().filter(known).for_each(|&j| starts[j as usize + 1] += 1);
    for i in 0..len {
        starts[i + 1] += starts[i];
    }
    let mut next = starts.clone();
    let mut positions = vec![0; starts[len] as usize];
    for (i, &j) in from.iter().enumerate().filter(|(_, j)| **j != NOWHERE) {
        let at = &mut next[j as usize];
        positions[*at as usize] = i as u32;
        *at += 1;
    }
    (starts, positions)
}

/// The pattern of `from`, where there is a kernel for it.
fn recognise(from: &[u32], input: usize) -> Option<Pattern> {
    let all = |f: &dyn Fn(usize) -> usize| {
        from.iter().enumerate().all(|(i, &j)| j != NOWHERE && j as usize == f(i))
    };
    let output = from.len();
    if output == input && all(&|i| i) {
        return Some(Pattern::Same);
    }
    if input == 0 || output == 0 {
        return None;
    }
    let run = output / input;
    if run * input == output && all(&|i| i % input) {
        return Some(Pattern::Rows);
    }
    if run * input == output && all(&|i| i / run) {
        return Some(Pattern::Runs(run));
    }
    let start = *from.first()? as usize;
    let width = from.iter().enumerate().take_while(|(i, j)| **j as usize == start + i).count();
    let stride = (*from.get(width).unwrap_or(&(input as u32)) as usize).checked_sub(start)?;
    let whole = stride > width && input.is_multiple_of(stride) && start + width <= stride;
    (whole && output == input / stride * width && all(&|i| i / width * stride + start + i % width))
        .then_some(Pattern::Columns { width, start, stride })
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgecut_kernels::Pool;

    /// Spreading and folding are transposes of each other, and both are what the map says.
    #[test]
    fn patterns_are_their_maps() {
        let any: Vec<u32> = vec![3, NOWHERE, 0, 3, 5];
        let maps: [(Vec<u32>, usize); 6] = [
            ((0..6).collect(), 6),
            ((0..12).map(|i| i % 4).collect(), 4),
            ((0..12).map(|i| i / 3).collect(), 4),
            ((0..6).map(|i| i / 2 * 5 + 1 + i % 2).collect(), 15),
            (any, 6),
            (vec![0; 5], 1),
        ];
        let pool = Pool::new(2);
        let ctx = Ctx::new(&pool);
        for (from, input) in maps {
            let (n, output) = (3, from.len());
            let map = Spread::new(from.clone(), input);
            let x: Vec<f32> = (0..n * input).map(|i| 1.0 + i as f32).collect();
            let mut out = vec![f32::NAN; n * output];
            map.spread(ctx, &x, -1.0, &mut out);
            let mut sums = vec![0.0; n * input];
            for (i, y) in out.iter().enumerate() {
                let (image, from) = (i / output, from[i % output]);
                if from == NOWHERE {
                    assert_eq!(*y, -1.0);
                    continue;
                }
                assert_eq!(*y, x[image * input + from as usize]);
                sums[image * input + from as usize] += y;
            }
            let mut scratch = vec![f32::NAN; map.scratch_len(n)];
            let mut dx = vec![f32::NAN; n * input];
            map.fold(ctx, &out, &mut dx, &mut scratch);
            assert_eq!(dx, sums, "{from:?}");
            let mut shared = vec![f32::NAN; input];
            map.fold_shared(ctx, &out, &mut shared, &mut scratch);
            let total = |i| (0..n).map(|image| sums[image * input + i]).sum::<f32>();
            assert_eq!(shared, (0..input).map(total).collect::<Vec<_>>(), "{from:?}");
        }
    }
}
