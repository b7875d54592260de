//! Normalisations and softmax.

use edgecut_graph::Op;

use super::{Case, Source};

pub fn case(s: &mut Source, turn: usize) -> Case {
    let epsilon = s.float(1e-5, 1e-2);
    let rank = s.between(1, 4);
    let shape = s.shape(rank);
    let axis = s.between(0, rank - 1);
    match turn % 9 {
        0 => {
            let c = s.between(1, 4);
            let (x, v) = (s.map(c), [c]);
            let positive = s.floats_in(&v, 0.1, 3.0);
            let parameters = [s.floats(&x), s.floats(&v), s.floats(&v), s.floats(&v), positive];
            Case::new(Op::BatchNorm { epsilon, momentum: 0.9 }, parameters)
        }
        1 => {
            let own = &shape[axis..];
            let mut inputs = vec![Some(s.floats(&shape)), Some(s.floats(own))];
            if s.flag() {
                inputs.push(Some(s.floats(own)));
            }
            Case { op: Op::LayerNorm { axis, epsilon }, inputs }
        }
        2 => channels(s, Op::InstanceNorm { epsilon }, 1),
        3 => {
            let groups = s.between(1, 3);
            channels(s, Op::GroupNorm { groups, epsilon }, groups)
        }
        4 => {
            let (size, c) = (2 * s.between(0, 2) + 1, s.between(1, 6));
            let (alpha, beta, bias) = (s.float(0.1, 1.0), s.float(0.5, 1.0), s.float(0.5, 2.0));
            let shape = s.map(c);
            Case::new(Op::LocalResponseNorm { alpha, beta, bias, size }, [s.floats(&shape)])
        }
        5 => Case::new(Op::LpNorm { axis, p: s.between(1, 2) }, [s.floats(&shape)]),
        6 => Case::new(Op::Softmax { axis }, [s.floats(&shape)]),
        7 => Case::new(Op::LogSoftmax { axis }, [s.floats(&shape)]),
        _ => {
            // Small integers, so that some are equal.
            let x = s.filled(&shape, |s| s.between(0, 3) as f32);
            Case::new(Op::Hardmax { axis }, [x])
        }
    }
}

/// A norm of maps whose channels are a multiple of `groups`.
fn channels(s: &mut Source, op: Op, groups: usize) -> Case {
    let c = groups * s.between(1, 3);
    let shape = s.map(c);
    Case::new(op, [s.floats(&shape), s.floats(&[c]), s.floats(&[c])])
}
