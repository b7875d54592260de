//! Convolutions and pooling.

use edgecut_graph::{Conv, ConvTranspose, DType, Op, Pool, Window};

use super::{Case, Source};

pub fn case(s: &mut Source, turn: usize) -> Case {
    match turn % 7 {
        0 => conv(s),
        1 => conv_transpose(s),
        2 => conv_integer(s),
        3 => {
            let pool = Pool { count_include_pad: false, ..pool(s, true) };
            let dtype = s.pick(&[DType::F32, DType::U8, DType::I8]);
            let shape = s.map(2);
            Case::new(Op::MaxPool(pool), [s.any(dtype, &shape)])
        }
        4 => {
            let (pool, shape) = (pool(s, false), s.map(2));
            Case::new(Op::AveragePool(pool), [s.floats(&shape)])
        }
        5 => {
            let pool = Pool { count_include_pad: false, ceil_mode: false, ..pool(s, false) };
            let (p, shape) = (s.between(1, 3), s.map(2));
            Case::new(Op::LpPool { pool, p }, [s.floats(&shape)])
        }
        _ => {
            let shape = s.map(3);
            Case::new(Op::GlobalAveragePool, [s.floats(&shape)])
        }
    }
}

/// A window of at most 3x3 taps. Maps are at least 3x3 large, so that it always fits.
fn window(s: &mut Source, dilated: bool) -> Window {
    let mut hw = |high| [s.between(1, high), s.between(1, high)];
    let (kernel, strides) = (hw(3), hw(3));
    let dilate = |kernel: usize, s: &mut Source| {
        if dilated && kernel == 2 { s.between(1, 2) } else { 1 }
    };
    let dilations = kernel.map(|k| dilate(k, s));
    let pads = [0, 1, 2, 3].map(|i| s.between(0, kernel[i % 2] - 1));
    Window { kernel, strides, dilations, pads }
}

fn pool(s: &mut Source, dilated: bool) -> Pool {
    Pool { window: window(s, dilated), ceil_mode: s.flag(), count_include_pad: s.flag() }
}

/// Groups, channels for each, maps for each.
fn groups(s: &mut Source) -> [usize; 3] {
    [s.between(1, 3), s.between(1, 3), s.between(1, 3)]
}

fn conv(s: &mut Source) -> Case {
    let ([groups, own, maps], window) = (groups(s), window(s, true));
    let [kh, kw] = window.kernel;
    let (x, w) = (s.map(groups * own), [groups * maps, own, kh, kw]);
    let mut inputs = vec![Some(s.floats(&x)), Some(s.floats(&w))];
    if s.flag() {
        inputs.push(Some(s.floats(&[groups * maps])));
    }
    Case { op: Op::Conv(Conv { window, groups }), inputs }
}

fn conv_transpose(s: &mut Source) -> Case {
    let ([groups, own, maps], window) = (groups(s), window(s, true));
    let [kh, kw] = window.kernel;
    // ONNX Runtime wants the output padding below stride or dilation.
    let output_padding = [0, 1].map(|i| s.between(0, window.strides[i] - 1));
    let (x, w) = (s.map(groups * own), [groups * own, maps, kh, kw]);
    let mut inputs = vec![Some(s.floats(&x)), Some(s.floats(&w))];
    if s.flag() {
        inputs.push(Some(s.floats(&[groups * maps])));
    }
    Case { op: Op::ConvTranspose(ConvTranspose { window, groups, output_padding }), inputs }
}

fn conv_integer(s: &mut Source) -> Case {
    let ([groups, own, maps], window) = (groups(s), window(s, true));
    let [kh, kw] = window.kernel;
    let (x, w) = (s.map(groups * own), [groups * maps, own, kh, kw]);
    let (x_type, w_type) = (s.pick(&[DType::U8, DType::I8]), s.pick(&[DType::U8, DType::I8]));
    let mut inputs = vec![Some(s.bytes(x_type, &x)), Some(s.bytes(w_type, &w))];
    if s.flag() {
        inputs.push(Some(s.bytes(x_type, &[])));
        let per_map = s.flag();
        inputs.push(Some(s.bytes(w_type, if per_map { &w[..1] } else { &[] })));
    }
    Case { op: Op::ConvInteger(Conv { window, groups }), inputs }
}
