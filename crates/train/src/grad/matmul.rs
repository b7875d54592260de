//! Products of two computed matrices.

use edgecut_kernels::layout::nhwc_to_nchw;
use edgecut_kernels::matmul::matmul;

use super::operator::{Backward, Forward, Operator};
use super::spread::Spread;

/// `z[.., m, n] = a[.., m, k] b[.., k, n]`, outer dimensions broadcast.
#[derive(Debug)]
pub(crate) struct MatMul {
    batch: usize,
    /// m, k, n.
    size: [usize; 3],
    /// Which matrix of each side is a factor of each matrix of an image of the result.
    outer: [Spread; 2],
    /// The same, element by element, where matrices of a side are used more than once.
    elements: [Option<Spread>; 2],
    /// Where the matrices of each side begin, for a full batch.
    starts: [Vec<usize>; 2],
    /// Where those of the result begin.
    results: Vec<usize>,
}

impl MatMul {
    /// `outer` tells for each matrix of an image of the result its factors' numbers in an image of a
    /// and b, which have `counts` matrices.
    pub fn new(batch: usize, size: [usize; 3], outer: [Vec<u32>; 2], counts: [usize; 2]) -> MatMul {
        let [m, k, n] = size;
        let lens = [m * k, k * n];
        let matrices = outer[0].len();
        let starts = [0, 1].map(|side| {
            let of = |image: usize| {
                let numbers = outer[side].iter();
                numbers.map(move |&at| (image * counts[side] + at as usize) * lens[side])
            };
            (0..batch).flat_map(of).collect()
        });
        let elements = [0, 1].map(|side: usize| {
            let len = lens[side];
            let each = |&at: &u32| (0..len).map(move |i| at * len as u32 + i as u32);
            let map = Spread::new(outer[side].iter().flat_map(each).collect(), counts[side] * len);
            (!map.is_same()).then_some(map)
        });
        let outer = [0, 1].map(|side| Spread::new(outer[side].clone(), counts[side]));
        let results = (0..batch * matrices).map(|i| i * m * n).collect();
        MatMul { batch, size, outer, elements, starts, results }
    }

    fn matrices(&self) -> usize {
        self.outer[0].output()
    }
}

impl Operator for MatMul {
    fn kind(&self) -> &'static str {
        "matrix product"
    }

    fn scratch_len(&self) -> usize {
        let [m, k, n] = self.size;
        let own = |side: usize| self.outer[side].input() * self.batch * [m * k, k * n][side];
        let parts = self.batch * self.matrices() * k * m.max(n);
        let fold = |map: &Option<Spread>| map.as_ref().map_or(0, |m| m.scratch_len(self.batch));
        let fold = self.elements.iter().map(fold).max().unwrap_or(0);
        own(0).max(own(1)) + parts + fold
    }

    fn forward(&mut self, cx: Forward, z: &mut [f32]) {
        let count = cx.env.n * self.matrices();
        let [a, b] = [0, 1].map(|side| (cx.reads.get(side), &self.starts[side][..count]));
        matmul(cx.env.ctx, self.size, a, b, z);
    }

    /// `da = dz b^T`, `db = a^T dz`.
    fn backward(&mut self, cx: Backward, dx: Option<&mut [f32]>) {
        let Some(dx) = dx else { return };
        let ([m, k, n], ctx, side) = (self.size, cx.env.ctx, cx.index);
        let count = cx.env.n * self.matrices();
        let other = cx.reads.get(1 - side);
        let (turned, rest) = cx.scratch.split_at_mut(other.len());
        let (rows, columns) = if side == 0 { (k, n) } else { (m, k) };
        nhwc_to_nchw(ctx, columns, rows, other, turned);
        let turned = (&*turned, &self.starts[1 - side][..count]);
        let dz = (cx.dz, &self.results[..count]);
        let (size, a, b) = match side {
            0 => ([m, n, k], dz, turned),
            _ => ([k, m, n], turned, dz),
        };
        match &self.elements[side] {
            None => matmul(ctx, size, a, b, dx),
            Some(map) => {
                let (parts, rest) = rest.split_at_mut(count * size[0] * size[2]);
                matmul(ctx, size, a, b, parts);
                map.fold(ctx, parts, dx, rest);
            }
        }
    }
}
