//! Reductions, order and running sums.

use edgecut_graph::{DType, Op, Reduction};

use super::{Case, Source};

pub fn case(s: &mut Source, turn: usize) -> Case {
    let rank = s.between(1, 4);
    let shape = s.shape(rank);
    let axis = s.between(0, rank - 1);
    let dtype = s.pick(&[DType::F32, DType::F32, DType::I32, DType::I64]);
    match turn % 4 {
        0 | 1 => reduce(s, turn / 2, dtype, &shape),
        2 => {
            let op =
                Op::ArgExtreme { largest: s.flag(), axis, keep_dims: s.flag(), last: s.flag() };
            Case::new(op, [s.any(dtype, &shape)])
        }
        _ if s.flag() => {
            let (k, largest) = (s.between(1, shape[axis]), s.flag());
            Case::new(Op::TopK { axis, k, largest }, [s.any(dtype, &shape)])
        }
        _ => {
            let op = Op::CumSum { axis, exclusive: s.flag(), reverse: s.flag() };
            Case::new(op, [s.any(dtype, &shape)])
        }
    }
}

fn reduce(s: &mut Source, turn: usize, dtype: DType, shape: &[usize]) -> Case {
    let kind = Reduction::ALL[turn % Reduction::ALL.len()];
    let (axes, keep_dims) = (s.axes(shape.len()), s.flag());
    let x = match kind {
        // The logarithm of a positive sum.
        Reduction::LogSum => s.floats_in(shape, 0.1, 3.0),
        Reduction::LogSumExp => s.floats(shape),
        // At most 25 factors of 2: a product within 32 bits.
        Reduction::Prod if dtype == DType::I32 => {
            return Case::new(
                Op::Reduce { kind, axes: vec![0], keep_dims },
                [s.filled(&shape[..shape.len().min(2)], |s| s.between(0, 4) as i32 - 2)],
            );
        }
        Reduction::Prod => s.floats(shape),
        _ => s.any(dtype, shape),
    };
    Case::new(Op::Reduce { kind, axes, keep_dims }, [x])
}
