//! Operators that copy elements to other positions.

use edgecut_graph::{Cut, DType, DepthOrder, Op, PadMode, ReshapeDim};

use super::{Case, Source};

const TYPES: [DType; 6] = [DType::F32, DType::I32, DType::I64, DType::I8, DType::U8, DType::Bool];

pub fn case(s: &mut Source, turn: usize) -> Case {
    let dtype = if s.flag() { DType::F32 } else { s.pick(&TYPES) };
    let rank = s.between(1, 4);
    let shape = s.shape(rank);
    match turn % 14 {
        0 => concat(s, dtype, &shape),
        1 => {
            let dims = vec![ReshapeDim::Infer, ReshapeDim::Fixed(shape[rank - 1])];
            Case::new(Op::Reshape { dims }, [s.any(dtype, &shape)])
        }
        2 => Case::new(Op::Flatten { axis: s.between(0, rank) }, [s.any(dtype, &shape)]),
        3 => {
            let axes = s.axes(rank);
            let flat: Vec<usize> =
                (0..rank).map(|i| if axes.contains(&i) { 1 } else { shape[i] }).collect();
            Case::new(Op::Squeeze { axes }, [s.any(dtype, &flat)])
        }
        4 => {
            let extra = s.between(1, 2);
            let first = s.between(0, rank);
            let axes = (first..first + extra).collect();
            Case::new(Op::Unsqueeze { axes }, [s.any(dtype, &shape)])
        }
        5 => {
            let mut perm: Vec<usize> = (0..rank).collect();
            (1..rank).rev().for_each(|i| perm.swap(i, s.between(0, i)));
            Case::new(Op::Transpose { perm }, [s.any(dtype, &shape)])
        }
        6 => pad(s, dtype, &shape),
        7 => slice(s, dtype, &shape),
        8 => {
            let narrow = s.narrower(&shape);
            Case::new(Op::Expand { shape }, [s.any(dtype, &narrow)])
        }
        9 => {
            let repeats = (0..rank).map(|_| s.between(1, 3)).collect();
            Case::new(Op::Tile { repeats }, [s.any(dtype, &shape)])
        }
        10 => {
            let shape = [shape, s.shape(1)].concat();
            let op = Op::Trilu { upper: s.flag(), diagonal: s.between(0, 6) as i64 - 3 };
            Case::new(op, [s.any(dtype, &shape)])
        }
        11 => {
            let (block, order) = (s.between(1, 3), s.pick(&[DepthOrder::Dcr, DepthOrder::Crd]));
            let shape = s.map(block * block * 2);
            Case::new(Op::DepthToSpace { block, order }, [s.any(dtype, &shape)])
        }
        12 => {
            let block = s.between(1, 3);
            let [n, c, h, w] = [1, 2, 3, 4].map(|_| s.between(1, 3));
            let op = Op::SpaceToDepth { block };
            Case::new(op, [s.any(dtype, &[n, c, h * block, w * block])])
        }
        _ => {
            let (groups, inside) = (s.between(1, 4), s.between(1, 3));
            let shape = s.map(groups * inside);
            Case::new(Op::ChannelShuffle { groups }, [s.any(dtype, &shape)])
        }
    }
}

fn concat(s: &mut Source, dtype: DType, shape: &[usize]) -> Case {
    let axis = s.between(0, shape.len() - 1);
    let mut part = |_| {
        let mut own = shape.to_vec();
        own[axis] = s.between(1, 4);
        Some(s.any(dtype, &own))
    };
    let inputs = vec![part(0), part(1), part(2)];
    Case { op: Op::Concat { axis }, inputs }
}

/// Reflection reaches at most to the other end, as ONNX Runtime demands.
fn pad(s: &mut Source, dtype: DType, shape: &[usize]) -> Case {
    let mode = match s.between(0, 3) {
        0 => PadMode::Constant(s.between(0, 1) as f32),
        1 => PadMode::Reflect,
        2 => PadMode::Edge,
        _ => PadMode::Wrap,
    };
    let mut width = |extent: &usize| match mode {
        PadMode::Reflect | PadMode::Wrap => s.between(0, extent - 1),
        _ => s.between(0, 3),
    };
    let before = shape.iter().map(&mut width).collect();
    let after = shape.iter().map(&mut width).collect();
    Case::new(Op::Pad { before, after, mode }, [s.any(dtype, shape)])
}

fn slice(s: &mut Source, dtype: DType, shape: &[usize]) -> Case {
    let cut = |axis: usize, s: &mut Source| {
        let (start, step) = (s.between(0, shape[axis] - 1), s.between(1, 3));
        let most = (shape[axis] - start).div_ceil(step);
        Cut { axis, start, len: s.between(1, most), step }
    };
    let cuts = s.axes(shape.len()).into_iter().map(|axis| cut(axis, s)).collect();
    Case::new(Op::Slice { cuts }, [s.any(dtype, shape)])
}
