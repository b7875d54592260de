//! Some indices of a tensor.

use edgecut_graph::{Data, Result, Tensor};

/// `tensor` with the indices `keep` of dimension `dim` alone, in that order.
pub(crate) fn select(tensor: &Tensor, dim: usize, keep: &[usize]) -> Result<Tensor> {
    let mut shape = tensor.shape().to_vec();
    let (outer, inner) = (shape[..dim].iter().product(), shape[dim + 1..].iter().product());
    let lines = Lines { outer, len: shape[dim], inner, keep };
    let data: Data = match tensor.data() {
        Data::F32(v) => lines.of(v).into(),
        Data::U8(v) => lines.of(v).into(),
        Data::I8(v) => lines.of(v).into(),
        Data::I32(v) => lines.of(v).into(),
        Data::I64(v) => lines.of(v).into(),
        Data::Bool(v) => lines.of(v).into(),
    };
    shape[dim] = keep.len();
    Tensor::new(shape, data)
}

struct Lines<'a> {
    outer: usize,
    len: usize,
    inner: usize,
    keep: &'a [usize],
}

impl Lines<'_> {
    fn of<T: Copy>(&self, values: &[T]) -> Vec<T> {
        let mut kept = Vec::with_capacity(self.outer * self.keep.len() * self.inner);
        for outer in 0..self.outer {
            for &index in self.keep {
                let first = (outer * self.len + index) * self.inner;
                kept.extend_from_slice(&values[first..first + self.inner]);
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_of_each_dimension() {
        let t = Tensor::new([2, 3, 2], (0..12i64).collect::<Vec<_>>()).unwrap();
        let numbers = |t: Tensor| t.i64s().unwrap().to_vec();
        assert_eq!(numbers(select(&t, 0, &[1]).unwrap()), [6, 7, 8, 9, 10, 11]);
        assert_eq!(numbers(select(&t, 1, &[0, 2]).unwrap()), [0, 1, 4, 5, 6, 7, 10, 11]);
        assert_eq!(numbers(select(&t, 2, &[1]).unwrap()), [1, 3, 5, 7, 9, 11]);
    }
}
