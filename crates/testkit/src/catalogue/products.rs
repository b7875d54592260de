//! Matrix products.

use edgecut_graph::{Gemm, Op};

use super::numbers::normal;
use super::{Given, Stored, Table};

/// Name, attributes, and shapes of A, B and C.
type GemmCase<'a> = (&'a str, Gemm, &'a [usize], &'a [usize], Option<&'a [usize]>);

pub(super) fn add(table: &mut Table) {
    let gemm = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: false };
    let cases: &[GemmCase] = &[
        ("", gemm, &[3, 4], &[4, 5], Some(&[5])),
        ("without C", gemm, &[3, 4], &[4, 5], None),
        ("linear", Gemm { trans_b: true, ..gemm }, &[3, 4], &[5, 4], Some(&[5])),
        ("column", Gemm { trans_a: true, ..gemm }, &[4, 3], &[4, 5], Some(&[3, 1])),
        ("scaled", Gemm { alpha: 0.5, beta: 0.25, ..gemm }, &[3, 4], &[4, 5], Some(&[3, 5])),
        ("scalar", Gemm { beta: 2.0, ..gemm }, &[3, 4], &[4, 5], Some(&[])),
    ];
    for (what, gemm, a, b, c) in cases {
        let mut args = vec![Given(normal(a, 1)), Stored(normal(b, 2))];
        args.extend(c.map(|c| Stored(normal(c, 3))));
        table.add(what, Op::Gemm(*gemm), args);
    }
    for (what, a, b) in [
        ("matrices", &[3, 4][..], &[4, 5][..]),
        ("batch", &[2, 3, 4], &[2, 4, 5]),
        ("broadcast", &[2, 1, 3, 4], &[3, 4, 2]),
        ("shared", &[2, 3, 4], &[4, 5]),
    ] {
        table.add(what, Op::MatMul, vec![Given(normal(a, 4)), Given(normal(b, 5))]);
    }
}
