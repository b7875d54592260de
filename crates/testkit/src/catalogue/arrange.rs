//! Operators that move elements without changing them.

use edgecut_graph::{Cut, DType, DepthOrder, Op, PadMode, ReshapeDim};

use super::numbers::{normal, numbers};
use super::{Given, Stored, Table, of};

const TYPES: [DType; 6] = [DType::F32, DType::U8, DType::I8, DType::I32, DType::I64, DType::Bool];

pub(super) fn add(table: &mut Table) {
    shapes(table);
    pads(table);
    let cut = |axis, start, len, step| Cut { axis, start, len, step };
    for dtype in TYPES {
        let what = of(dtype);
        let x = || numbers(dtype, &[2, 4, 6, 5], 101);
        let other = Stored(numbers(dtype, &[2, 4, 2, 5], 102));
        table.add(&what, Op::Concat { axis: 2 }, vec![Given(x()), other]);
        table.one(&what, Op::Transpose { perm: vec![0, 2, 3, 1] }, x());
        table.one(&what, Op::Slice { cuts: vec![cut(1, 1, 2, 2), cut(3, 0, 3, 1)] }, x());
        table.one(
            &what,
            Op::Expand { shape: vec![2, 1, 4, 1, 5] },
            numbers(dtype, &[4, 3, 1], 103),
        );
        table.one(&what, Op::Tile { repeats: vec![2, 1, 3] }, numbers(dtype, &[2, 1, 3], 104));
        table.one(&what, Op::Trilu { upper: true, diagonal: 1 }, numbers(dtype, &[2, 4, 5], 105));
        for order in [DepthOrder::Dcr, DepthOrder::Crd] {
            let what = format!("{what} {order:?}");
            table.one(&what, Op::DepthToSpace { block: 2, order }, x());
        }
        let even = numbers(dtype, &[1, 2, 4, 6], 106);
        table.one(&what, Op::SpaceToDepth { block: 2 }, even);
        table.one(&what, Op::ChannelShuffle { groups: 2 }, x());
    }
    for (what, cuts) in [
        ("empty", vec![cut(2, 0, 0, 1)]),
        ("one", vec![cut(0, 1, 1, 3)]),
        ("whole", vec![cut(1, 0, 4, 1)]),
        ("none", vec![]),
        ("partly whole", vec![cut(0, 0, 2, 1), cut(2, 1, 3, 2)]),
    ] {
        table.one(what, Op::Slice { cuts }, normal(&[2, 4, 6, 5], 107));
    }
    for (upper, diagonal) in [(true, 0), (true, -1), (false, 0), (false, 2), (false, -7)] {
        let what = format!("{} {diagonal}", if upper { "upper" } else { "lower" });
        table.one(&what, Op::Trilu { upper, diagonal }, normal(&[4, 5], 108));
    }
    table.one("alone", Op::Concat { axis: 1 }, normal(&[2, 3], 109));
}

fn shapes(table: &mut Table) {
    use ReshapeDim::{Copy, Fixed, Infer};
    for (what, dims) in [
        ("copy and infer", vec![Copy, Infer, Fixed(10)]),
        ("fixed", vec![Fixed(8), Fixed(30)]),
        ("vector", vec![Infer]),
    ] {
        table.one(what, Op::Reshape { dims }, normal(&[2, 4, 6, 5], 111));
    }
    table.one("to a scalar", Op::Reshape { dims: vec![] }, normal(&[1, 1], 113));
    for axis in [0, 1, 2, 4] {
        table.one(&format!("axis {axis}"), Op::Flatten { axis }, normal(&[2, 3, 4, 5], 114));
    }
    for (what, axes) in [("", vec![1, 3]), ("none", vec![])] {
        table.one(what, Op::Squeeze { axes: axes.clone() }, normal(&[2, 1, 3, 1], 115));
        table.one(what, Op::Unsqueeze { axes }, normal(&[2, 3], 116));
    }
}

fn pads(table: &mut Table) {
    let sides = (vec![0, 1, 0, 2], vec![0, 0, 3, 1]);
    let pad = |mode| Op::Pad { before: sides.0.clone(), after: sides.1.clone(), mode };
    let modes = [
        ("zeros", PadMode::Constant(0.0)),
        ("reflect", PadMode::Reflect),
        ("edge", PadMode::Edge),
        ("wrap", PadMode::Wrap),
    ];
    for (what, mode) in modes {
        for dtype in TYPES {
            let x = numbers(dtype, &[1, 2, 4, 5], 117);
            table.one(&format!("{what} {dtype}"), pad(mode), x);
        }
    }
    table.one("number", pad(PadMode::Constant(-1.5)), normal(&[1, 2, 4, 5], 118));
    table.one("integer", pad(PadMode::Constant(7.0)), numbers(DType::I64, &[1, 2, 4, 5], 119));
}
