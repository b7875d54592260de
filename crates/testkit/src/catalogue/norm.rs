//! Normalisations.

use edgecut_graph::Op;

use super::numbers::{between, normal};
use super::{Given, Stored, Table};

pub(super) fn add(table: &mut Table) {
    let image = || Given(normal(&[2, 4, 3, 5], 71));
    let vector = |seed| Stored(normal(&[4], seed));
    let variance = || Stored(between(&[4], 0.5, 2.0));
    let op = Op::BatchNorm { epsilon: 1e-3, momentum: 0.99 };
    table.add("", op.clone(), vec![image(), vector(72), vector(73), vector(74), variance()]);
    let matrix = Given(normal(&[3, 4], 75));
    table.add("matrix", op, vec![matrix, vector(72), vector(73), vector(74), variance()]);

    for (what, axis) in [("last", 3), ("map", 2), ("image", 1)] {
        let shape = &[2, 4, 3, 5][axis..];
        let op = Op::LayerNorm { axis, epsilon: 1e-4 };
        let scale = || Stored(normal(shape, 76));
        let args = vec![image(), scale(), Stored(normal(shape, 77))];
        table.add(what, op.clone(), args);
        table.add(&format!("{what} without bias"), op, vec![image(), scale()]);
    }
    let op = Op::InstanceNorm { epsilon: 1e-4 };
    table.add("", op, vec![image(), vector(78), vector(79)]);
    for groups in [1, 2, 4] {
        let op = Op::GroupNorm { groups, epsilon: 1e-4 };
        table.add(&format!("{groups} groups"), op, vec![image(), vector(80), vector(81)]);
    }
    for (what, size) in [("odd", 3), ("even", 2), ("wide", 9)] {
        let op = Op::LocalResponseNorm { alpha: 0.02, beta: 0.6, bias: 1.5, size };
        table.add(what, op, vec![image()]);
    }
    for (axis, p) in [(1, 1), (3, 2)] {
        table.add(&format!("{p}"), Op::LpNorm { axis, p }, vec![image()]);
    }
    for axis in [1, 3] {
        let what = format!("axis {axis}");
        table.add(&what, Op::Softmax { axis }, vec![image()]);
        table.add(&what, Op::LogSoftmax { axis }, vec![image()]);
        table.add(&what, Op::Hardmax { axis }, vec![image()]);
    }
}
