//! Operators that take positions as data.

use edgecut_graph::{DType, Op, ScatterMode, Tensor};

use super::{Case, Source};

const TYPES: [DType; 6] = [DType::F32, DType::I32, DType::I64, DType::I8, DType::U8, DType::Bool];

pub fn case(s: &mut Source, turn: usize) -> Case {
    let rank = s.between(1, 4);
    let shape = s.shape(rank);
    let axis = s.between(0, rank - 1);
    let dtype = if s.flag() { DType::F32 } else { s.pick(&TYPES) };
    match turn % 6 {
        0 => {
            let rank = s.between(0, 2);
            let indices = s.shape(rank);
            let indices = s.positions(&indices, shape[axis]);
            Case::new(Op::Gather { axis }, [s.any(dtype, &shape), indices])
        }
        1 => {
            let indices = within(s, &shape, axis);
            let indices = s.positions(&indices, shape[axis]);
            Case::new(Op::GatherElements { axis }, [s.any(dtype, &shape), indices])
        }
        2 => gather_nd(s, dtype, &shape),
        3 => scatter_elements(s, dtype, &shape, axis),
        4 => scatter_nd(s, dtype, &shape),
        _ => one_hot(s, &shape),
    }
}

/// A shape that exceeds `shape` at most along `axis`.
fn within(s: &mut Source, shape: &[usize], axis: usize) -> Vec<usize> {
    let extent = |(i, &extent): (usize, &usize)| s.between(1, if i == axis { 5 } else { extent });
    shape.iter().enumerate().map(extent).collect()
}

/// Replacing needs distinct positions to have one meaning everywhere; see `scatter_elements`.
fn mode(s: &mut Source, dtype: DType) -> ScatterMode {
    let modes = [
        ScatterMode::Replace,
        ScatterMode::Add,
        ScatterMode::Mul,
        ScatterMode::Max,
        ScatterMode::Min,
    ];
    if dtype == DType::Bool { ScatterMode::Replace } else { s.pick(&modes) }
}

fn scatter_elements(s: &mut Source, dtype: DType, shape: &[usize], axis: usize) -> Case {
    let mode = mode(s, dtype);
    let indices = within(s, shape, axis);
    let positions = s.positions(&indices, shape[axis]);
    let inputs = [s.any(dtype, shape), positions, s.any(dtype, &indices)];
    Case::new(Op::ScatterElements { axis, mode }, inputs)
}

/// Index tuples into dimensions of these extents.
fn tuples(s: &mut Source, outer: &[usize], extents: &[usize]) -> Tensor {
    let shape = [outer, &[extents.len()]].concat();
    let mut next = extents.iter().cycle();
    s.filled(&shape, |s| {
        let extent = *next.next().expect("a tuple has elements");
        s.between(0, 2 * extent - 1) as i64 - extent as i64
    })
}

fn gather_nd(s: &mut Source, dtype: DType, shape: &[usize]) -> Case {
    let batch_dims = s.between(0, shape.len() - 1);
    let depth = s.between(1, shape.len() - batch_dims);
    let outer = [&shape[..batch_dims], &[s.between(1, 3)]].concat();
    let indices = tuples(s, &outer, &shape[batch_dims..batch_dims + depth]);
    Case::new(Op::GatherNd { batch_dims }, [s.any(dtype, shape), indices])
}

fn scatter_nd(s: &mut Source, dtype: DType, shape: &[usize]) -> Case {
    let (mode, depth) = (mode(s, dtype), s.between(1, shape.len()));
    // ONNX Runtime does not order updates of one place: a single tuple, or modes that commute.
    let count = if mode == ScatterMode::Replace { 1 } else { s.between(1, 3) };
    let indices = tuples(s, &[count], &shape[..depth]);
    let updates = [&[count], &shape[depth..]].concat();
    Case::new(Op::ScatterNd { mode }, [s.any(dtype, shape), indices, s.any(dtype, &updates)])
}

fn one_hot(s: &mut Source, shape: &[usize]) -> Case {
    let (depth, axis) = (s.between(1, 5), s.between(0, shape.len()));
    // Some out of range.
    let indices = s.filled(shape, |s| s.between(0, 16) as i64 - 8);
    let dtype = s.pick(&[DType::F32, DType::I64]);
    Case::new(Op::OneHot { axis, depth }, [indices, s.any(dtype, &[2])])
}
