//! Operators that move elements without computing: concatenation, transposition, slicing, padding.

use super::Args;
use crate::{Cut, DType, Data, Result, Tensor};

/// Joins the inputs along `axis`.
pub(super) fn concat(args: &Args, dtype: DType, axis: usize) -> Result<Data> {
    let tensors =
        (0..args.tensors.len()).map(|i| args.tensor(i)).collect::<Result<Vec<&Tensor>>>()?;
    macro_rules! join {
        ($($variant:ident),*) => {
            match dtype {$(
                DType::$variant => {
                    let parts = tensors.iter().filter_map(|t| match t.data() {
                        Data::$variant(d) => Some((&d[..], t.shape()[axis..].iter().product())),
                        _ => None,
                    });
                    let outer = tensors[0].shape()[..axis].iter().product();
                    Data::from(interleave(outer, &parts.collect::<Vec<_>>()))
                }
            )*}
        };
    }
    Ok(join!(F32, U8, I8, I32, I64, Bool))
}

/// For each of `outer` positions, the next chunk of every part.
fn interleave<T: Copy>(outer: usize, parts: &[(&[T], usize)]) -> Vec<T> {
    (0..outer)
        .flat_map(|o| parts.iter().flat_map(move |&(d, len)| &d[o * len..][..len]))
        .copied()
        .collect()
}

/// Output dimension i is input dimension `perm[i]`.
pub(super) fn transpose(x: &Tensor, perm: &[usize], out: &[usize]) -> Data {
    let steps = row_major_steps(x.shape());
    gather(x, 0, &perm.iter().map(|&p| steps[p]).collect::<Vec<_>>(), out)
}

/// Every `step`-th element from `start` on, along each dimension that is cut.
pub(super) fn slice(x: &Tensor, cuts: &[Cut], out: &[usize]) -> Data {
    let mut steps = row_major_steps(x.shape());
    let first = cuts.iter().map(|cut| cut.start * steps[cut.axis]).sum();
    cuts.iter().for_each(|cut| steps[cut.axis] *= cut.step);
    gather(x, first, &steps, out)
}

/// Distance between neighbours along each dimension.
fn row_major_steps(shape: &[usize]) -> Vec<usize> {
    let mut steps = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        steps[i - 1] = steps[i] * shape[i];
    }
    steps
}

/// The elements at `first` plus the sum of position times step, for all positions in `out`.
fn gather(x: &Tensor, first: usize, steps: &[usize], out: &[usize]) -> Data {
    let source = |flat: usize| {
        let (mut rest, mut index) = (flat, first);
        for (&extent, &step) in out.iter().zip(steps).rev() {
            index += rest % extent * step;
            rest /= extent;
        }
        index
    };
    let len = out.iter().product();
    macro_rules! pick {
        ($($variant:ident),*) => {
            match x.data() {$(
                Data::$variant(d) => (0..len).map(|i| d[source(i)]).collect::<Vec<_>>().into(),
            )*}
        };
    }
    pick!(F32, U8, I8, I32, I64, Bool)
}

/// Surrounds the elements by `value`: `before[i]` places before dimension i, the rest after.
pub(super) fn pad(
    shape: &[usize],
    x: &[f32],
    before: &[usize],
    value: f32,
    out: &[usize],
) -> Vec<f32> {
    let mut result = vec![value; out.iter().product()];
    for (i, &v) in x.iter().enumerate() {
        let (mut rest, mut index, mut step) = (i, 0, 1);
        for d in (0..shape.len()).rev() {
            index += (rest % shape[d] + before[d]) * step;
            rest /= shape[d];
            step *= out[d];
        }
        result[index] = v;
    }
    result
}
