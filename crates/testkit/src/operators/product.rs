//! Matrix products.

use edgecut_graph::{DType, Gemm, Op};

use super::{Case, Source};

pub fn case(s: &mut Source, turn: usize) -> Case {
    match turn % 3 {
        0 => gemm(s),
        1 => {
            let [a, b] = stacks(s);
            Case::new(Op::MatMul, [s.floats(&a), s.floats(&b)])
        }
        _ => mat_mul_integer(s),
    }
}

fn gemm(s: &mut Source) -> Case {
    let (m, k, n) = (s.between(1, 5), s.between(1, 9), s.between(1, 5));
    let gemm = Gemm {
        alpha: s.float(0.5, 2.0),
        beta: s.float(0.5, 2.0),
        trans_a: s.flag(),
        trans_b: s.flag(),
    };
    let a = if gemm.trans_a { [k, m] } else { [m, k] };
    let b = if gemm.trans_b { [n, k] } else { [k, n] };
    let mut inputs = vec![Some(s.floats(&a)), Some(s.floats(&b))];
    if s.flag() {
        let c = s.narrower(&[m, n]);
        inputs.push(Some(s.floats(&c)));
    }
    Case { op: Op::Gemm(gemm), inputs }
}

/// Shapes of two stacks of matrices that broadcast.
fn stacks(s: &mut Source) -> [Vec<usize>; 2] {
    let rank = s.between(0, 2);
    let outer = s.shape(rank);
    let [mut a, mut b] = s.pair(&outer);
    let k = s.between(1, 9);
    a.extend([s.between(1, 5), k]);
    b.extend([k, s.between(1, 5)]);
    [a, b]
}

fn mat_mul_integer(s: &mut Source) -> Case {
    let [a, b] = stacks(s);
    let (a_type, b_type) = (s.pick(&[DType::U8, DType::I8]), s.pick(&[DType::U8, DType::I8]));
    let mut inputs = vec![Some(s.bytes(a_type, &a)), Some(s.bytes(b_type, &b))];
    if s.flag() {
        let zero = if s.flag() { vec![] } else { vec![b[b.len() - 1]] };
        inputs.extend([Some(s.bytes(a_type, &[])), Some(s.bytes(b_type, &zero))]);
    }
    Case { op: Op::MatMulInteger, inputs }
}
