//! Tensors for the cases. All are functions of shape and seed.

use edgecut_graph::rng::Rng;
use edgecut_graph::{DType, Data, Tensor};

use crate::random_tensor;

/// Standard normal numbers.
pub(super) fn normal(shape: &[usize], seed: u64) -> Tensor {
    random_tensor(shape, seed)
}

/// Numbers between `low` and `high`.
pub(super) fn between(shape: &[usize], low: f32, high: f32) -> Tensor {
    let mut rng = Rng::new(shape.iter().fold(7, |n, &d| n * 31 + d as u64));
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.range(low, high)).collect();
    tensor(shape, values)
}

/// Numbers of any type between -100 and 100, or 0 and 200 where there is no sign; booleans either.
pub(super) fn numbers(dtype: DType, shape: &[usize], seed: u64) -> Tensor {
    let mut rng = Rng::keyed(&[seed, 0x6e75]);
    let mut next = |bound: usize| rng.below(bound) as i64;
    let len = shape.iter().product::<usize>();
    let data: Data = match dtype {
        DType::F32 => return normal(shape, seed),
        DType::U8 => (0..len).map(|_| next(201) as u8).collect::<Vec<_>>().into(),
        DType::I8 => (0..len).map(|_| (next(201) - 100) as i8).collect::<Vec<_>>().into(),
        DType::I32 => (0..len).map(|_| (next(201) - 100) as i32).collect::<Vec<_>>().into(),
        DType::I64 => (0..len).map(|_| next(201) - 100).collect::<Vec<_>>().into(),
        DType::Bool => (0..len).map(|_| next(2) == 1).collect::<Vec<_>>().into(),
    };
    tensor(shape, data)
}

/// Positions below `bound`, with negative ones that count from the end.
pub(super) fn positions(shape: &[usize], bound: usize, wide: bool) -> Tensor {
    let mut rng = Rng::keyed(&[bound as u64, 0x706f]);
    let len = shape.iter().product::<usize>();
    let values: Vec<i64> = (0..len).map(|_| rng.below(2 * bound) as i64 - bound as i64).collect();
    match wide {
        true => tensor(shape, values),
        false => tensor(shape, values.into_iter().map(|v| v as i32).collect::<Vec<_>>()),
    }
}

/// A tensor of these elements.
pub(super) fn tensor(shape: &[usize], data: impl Into<Data>) -> Tensor {
    Tensor::new(shape, data).expect("as many elements as the shape has")
}
