//! Random shapes, attributes and elements.

use edgecut_graph::rng::Rng;
use edgecut_graph::{DType, Data, Tensor};

/// Draws everything that a case is made of.
pub struct Source {
    rng: Rng,
}

impl Source {
    pub fn new(seed: u64, family: u64) -> Source {
        Source { rng: Rng::keyed(&[seed, family, 0x6361_7365]) }
    }

    /// A number from `low` to `high`.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.rng.below(high - low + 1)
    }

    pub fn flag(&mut self) -> bool {
        self.rng.below(2) == 1
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.rng.below(n) == 0
    }

    pub fn float(&mut self, low: f32, high: f32) -> f32 {
        self.rng.range(low, high)
    }

    pub fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.rng.below(items.len())].clone()
    }

    /// `rank` extents from 1 to 5.
    pub fn shape(&mut self, rank: usize) -> Vec<usize> {
        (0..rank).map(|_| self.between(1, 5)).collect()
    }

    /// A map `[n, c, h, w]` with these channels.
    pub fn map(&mut self, channels: usize) -> Vec<usize> {
        vec![self.between(1, 2), channels, self.between(3, 8), self.between(3, 8)]
    }

    /// A subset of the first `rank` dimensions, ascending.
    pub fn axes(&mut self, rank: usize) -> Vec<usize> {
        (0..rank).filter(|_| self.flag()).collect()
    }

    /// A shape that broadcasts to `out`: without its first dimensions, or 1 at some.
    pub fn narrower(&mut self, out: &[usize]) -> Vec<usize> {
        let first = if self.one_in(3) { self.between(0, out.len()) } else { 0 };
        out[first..].iter().map(|&extent| if self.one_in(4) { 1 } else { extent }).collect()
    }

    /// Two shapes that broadcast to `out`.
    pub fn pair(&mut self, out: &[usize]) -> [Vec<usize>; 2] {
        let narrow = self.narrower(out);
        if self.flag() { [narrow, out.to_vec()] } else { [out.to_vec(), narrow] }
    }

    /// Normal numbers of deviation 2.
    pub fn floats(&mut self, shape: &[usize]) -> Tensor {
        self.filled(shape, |s| s.rng.normal() * 2.0)
    }

    /// Numbers from `low` to `high`.
    pub fn floats_in(&mut self, shape: &[usize], low: f32, high: f32) -> Tensor {
        self.filled(shape, |s| s.rng.range(low, high))
    }

    pub fn bools(&mut self, shape: &[usize]) -> Tensor {
        self.filled(shape, Source::flag)
    }

    /// Elements of any type: small integers, so that sums and products mostly fit.
    pub fn any(&mut self, dtype: DType, shape: &[usize]) -> Tensor {
        match dtype {
            DType::F32 => self.floats(shape),
            DType::U8 => self.filled(shape, |s| s.rng.below(10) as u8),
            DType::I8 => self.filled(shape, |s| s.rng.below(19) as i8 - 9),
            DType::I32 => self.filled(shape, |s| s.rng.below(19) as i32 - 9),
            DType::I64 => self.filled(shape, |s| s.rng.below(19) as i64 - 9),
            DType::Bool => self.bools(shape),
        }
    }

    /// Numbers of any type but zero.
    pub fn nonzero(&mut self, dtype: DType, shape: &[usize]) -> Tensor {
        match dtype {
            DType::U8 => self.filled(shape, |s| 1 + s.rng.below(9) as u8),
            DType::I8 => self.filled(shape, |s| s.signed() as i8),
            DType::I32 => self.filled(shape, |s| s.signed() as i32),
            DType::I64 => self.filled(shape, Source::signed),
            _ => self.floats(shape),
        }
    }

    fn signed(&mut self) -> i64 {
        let size = 1 + self.rng.below(9) as i64;
        if self.flag() { size } else { -size }
    }

    /// All values of an 8-bit type.
    pub fn bytes(&mut self, dtype: DType, shape: &[usize]) -> Tensor {
        match dtype {
            DType::I8 => self.filled(shape, |s| s.rng.below(256) as u8 as i8),
            _ => self.filled(shape, |s| s.rng.below(256) as u8),
        }
    }

    /// Positions in a dimension of `extent`, some of them negative, as int32 or int64.
    pub fn positions(&mut self, shape: &[usize], extent: usize) -> Tensor {
        let position = |s: &mut Source| s.rng.below(2 * extent) as i64 - extent as i64;
        if self.flag() {
            self.filled(shape, position)
        } else {
            self.filled(shape, |s| position(s) as i32)
        }
    }

    /// Elements one by one.
    pub fn filled<T>(
        &mut self,
        shape: &[usize],
        mut element: impl FnMut(&mut Source) -> T,
    ) -> Tensor
    where
        Data: From<Vec<T>>,
    {
        let len = shape.iter().product::<usize>();
        let values: Vec<T> = (0..len).map(|_| element(self)).collect();
        Tensor::new(shape, values).expect("as many elements as the shape says")
    }
}
