//! Reductions, and what orders or accumulates elements.

use edgecut_graph::{DType, Op, Reduction, Tensor};

use super::numbers::{between, normal, numbers};
use super::{Table, of};

pub(super) fn add(table: &mut Table) {
    let shape = [2, 3, 4, 5];
    for kind in Reduction::ALL {
        let x =
            if kind == Reduction::LogSum { between(&shape, 0.1, 2.0) } else { normal(&shape, 91) };
        for (what, axes, keep_dims) in [
            ("space", &[2, 3][..], true),
            ("channels", &[1], false),
            ("everything", &[0, 1, 2, 3], false),
            ("nothing", &[], true),
        ] {
            table.one(what, Op::Reduce { kind, axes: axes.to_vec(), keep_dims }, x.clone());
        }
        for dtype in [DType::I32, DType::I64] {
            let logarithm = matches!(kind, Reduction::LogSum | Reduction::LogSumExp);
            if !logarithm {
                let op = Op::Reduce { kind, axes: vec![1], keep_dims: true };
                table.one(&of(dtype), op, numbers(dtype, &[3, 3], 92));
            }
        }
    }
    for dtype in [DType::U8, DType::I8] {
        for kind in [Reduction::Max, Reduction::Min] {
            let op = Op::Reduce { kind, axes: vec![1], keep_dims: false };
            table.one(&of(dtype), op, numbers(dtype, &[3, 4], 93));
        }
    }
    ordered(table);
    for (exclusive, reverse) in [(false, false), (true, false), (false, true), (true, true)] {
        let what = match (exclusive, reverse) {
            (false, false) => "",
            (true, false) => "exclusive",
            (false, true) => "reverse",
            (true, true) => "exclusive reverse",
        };
        let op = Op::CumSum { axis: 1, exclusive, reverse };
        table.one(what, op.clone(), normal(&[2, 5, 3], 94));
        table.one(&format!("int64 {what}"), op, numbers(DType::I64, &[2, 5, 3], 95));
    }
}

/// Ties, so that which of equal elements counts shows.
fn ordered(table: &mut Table) {
    let ties = |dtype: DType| match dtype {
        DType::F32 => {
            Tensor::new([2, 6], vec![1f32, 3.0, 3.0, 0.0, 0.0, 2.0, 5.0, 1.0, 5.0, 1.0, 2.0, 3.0])
        }
        DType::I32 => Tensor::new([2, 6], vec![1i32, 3, 3, 0, 0, 2, 5, 1, 5, 1, 2, 3]),
        _ => Tensor::new([2, 6], vec![1i64, 3, 3, 0, 0, 2, 5, 1, 5, 1, 2, 3]),
    };
    for dtype in [DType::F32, DType::I32, DType::I64] {
        let x = ties(dtype).expect("twelve elements");
        for largest in [true, false] {
            let what = format!("{dtype} {}", if largest { "largest" } else { "smallest" });
            table.one(&what, Op::TopK { axis: 1, k: 3, largest }, x.clone());
        }
        for (largest, last, keep_dims) in
            [(true, false, true), (true, true, false), (false, false, false), (false, true, true)]
        {
            let what = format!("{dtype} {}", if last { "last" } else { "first" });
            let op = Op::ArgExtreme { largest, axis: 1, keep_dims, last };
            table.one(&what, op, x.clone());
        }
    }
    table.one("first axis", Op::TopK { axis: 0, k: 2, largest: true }, normal(&[4, 3], 96));
}
