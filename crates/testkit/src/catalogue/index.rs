//! Operators that take positions as data.

use edgecut_graph::{DType, Op, ScatterMode, Tensor};

use super::numbers::{normal, numbers, positions, tensor};
use super::{Given, Stored, Table, of};

pub(super) fn add(table: &mut Table) {
    for dtype in [DType::F32, DType::U8, DType::I8, DType::I32, DType::I64, DType::Bool] {
        let data = || Given(numbers(dtype, &[3, 4, 5], 121));
        let what = of(dtype);
        let op = Op::Gather { axis: 1 };
        table.add(&what, op, vec![data(), Stored(positions(&[2, 3], 4, true))]);
        let op = Op::GatherElements { axis: 2 };
        table.add(&what, op, vec![data(), Given(positions(&[3, 4, 2], 5, true))]);
        let op = Op::GatherNd { batch_dims: 0 };
        table.add(&what, op, vec![data(), Given(positions(&[2, 2], 3, true))]);
        let op = Op::ScatterElements { axis: 1, mode: ScatterMode::Replace };
        let updates = Given(numbers(dtype, &[3, 1, 5], 122));
        table.add(&what, op, vec![data(), Given(positions(&[3, 1, 5], 4, true)), updates]);
        let op = Op::ScatterNd { mode: ScatterMode::Replace };
        let places = tensor(&[2, 1], vec![2i64, 0]);
        table.add(&what, op, vec![data(), Given(places), Given(numbers(dtype, &[2, 4, 5], 123))]);
    }
    let data = || Given(normal(&[3, 4, 5], 124));
    table.add("scalar", Op::Gather { axis: 0 }, vec![data(), Stored(tensor(&[], vec![-1i64]))]);
    table.add(
        "int32 positions",
        Op::Gather { axis: 2 },
        vec![data(), Given(positions(&[2], 5, false))],
    );
    let op = Op::GatherElements { axis: 0 };
    table.add("int32 positions", op, vec![data(), Given(positions(&[2, 4, 5], 3, false))]);
    let op = Op::GatherNd { batch_dims: 1 };
    table.add("batch", op.clone(), vec![data(), Given(positions(&[3, 2, 1], 4, true))]);
    table.add("int32 positions", op, vec![data(), Given(positions(&[3, 2, 2], 4, false))]);
    scatter(table);
    for (what, axis) in [("front", 0), ("middle", 1), ("back", 2)] {
        let indices = Given(tensor(&[2, 3], vec![0i64, 1, 2, -1, 3, 7]));
        let values = Stored(Tensor::vector(vec![-0.5f32, 2.0]));
        table.add(what, Op::OneHot { axis, depth: 4 }, vec![indices, values]);
    }
    let indices = Given(Tensor::vector(vec![2i64, 0]));
    let values = Stored(Tensor::vector(vec![0i64, 1]));
    table.add("int64", Op::OneHot { axis: 1, depth: 3 }, vec![indices, values]);
}

fn scatter(table: &mut Table) {
    use ScatterMode::{Add, Max, Min, Mul};
    let data = || Given(normal(&[3, 4, 5], 125));
    for mode in [Add, Mul, Max, Min] {
        let what = format!("{mode:?}").to_lowercase();
        let places = tensor(&[1, 4, 2], vec![0i64, 2, -1, 4, 1, 1, 3, 3]);
        let updates = Given(normal(&[1, 4, 2], 126));
        let op = Op::ScatterElements { axis: 2, mode };
        table.add(&what, op, vec![data(), Given(places), updates]);
        // The same place twice.
        let places = Given(tensor(&[3, 2], vec![0i64, 1, 2, 3, 0, 1]));
        let updates = Given(normal(&[3, 5], 127));
        table.add(&what, Op::ScatterNd { mode }, vec![data(), places, updates]);
    }
    let places = Given(tensor(&[2, 1], vec![1i32, 0]));
    let op = Op::ScatterNd { mode: ScatterMode::Replace };
    table.add("int32 places", op, vec![data(), places, Given(normal(&[2, 4, 5], 128))]);
}
