//! Between float and integers.

use edgecut_graph::{DType, Op, Tensor};

use super::{Case, Source};

pub fn case(s: &mut Source, turn: usize) -> Case {
    let rank = s.between(1, 4);
    let shape = s.shape(rank);
    let axis = s.between(0, rank - 1);
    // One scale for everything, or one for each position along the axis.
    let parameters = if s.flag() { vec![] } else { vec![shape[axis]] };
    let scale = s.filled(&parameters, |s| s.pick(&[0.25, 0.1, 0.007_843_138, 3.0]));
    match turn % 3 {
        0 => {
            let dtype = s.pick(&[DType::U8, DType::I8]);
            // Multiples of an eighth, so that some are ties.
            let x = s.filled(&shape, |s| (s.between(0, 800) as f32 - 400.0) / 8.0);
            Case::new(Op::Quantize { axis }, [x, scale, s.bytes(dtype, &parameters)])
        }
        1 => {
            let dtype = s.pick(&[DType::U8, DType::I8, DType::I32]);
            let x = if dtype == DType::I32 { s.any(dtype, &shape) } else { s.bytes(dtype, &shape) };
            let mut inputs = vec![Some(x), Some(scale)];
            if dtype != DType::I32 && s.flag() {
                inputs.push(Some(s.bytes(dtype, &parameters)));
            }
            Case { op: Op::Dequantize { axis }, inputs }
        }
        _ => {
            let (low, high) = (s.float(-3.0, 1.0), s.float(1.0, 5.0));
            let x: Tensor = s.floats_in(&shape, low, high);
            Case::new(Op::DynamicQuantize, [x])
        }
    }
}
