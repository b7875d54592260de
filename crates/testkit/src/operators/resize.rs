//! Resampling.

use edgecut_graph::{Coordinates, DType, Nearest, Op, Resize, ResizeAxis, ResizeMode};

use super::{Case, Source};

pub fn case(s: &mut Source, turn: usize) -> Case {
    let shape = s.map(2);
    let cropped = turn % 7 == 6;
    let mode = mode(s, turn);
    let coordinates = match turn % 7 {
        0 => Coordinates::HalfPixel,
        1 => Coordinates::HalfPixelSymmetric,
        2 => Coordinates::PytorchHalfPixel,
        3 => Coordinates::AlignCorners,
        4 => Coordinates::Asymmetric,
        5 if matches!(mode, ResizeMode::Nearest(_)) => Coordinates::TfHalfPixelForNearest,
        5 => Coordinates::HalfPixel,
        _ => Coordinates::CropAndResize,
    };
    let nearest = matches!(mode, ResizeMode::Nearest(_));
    // Scales that give the extents only when these are cut to whole numbers.
    let free = matches!(coordinates, Coordinates::HalfPixel | Coordinates::Asymmetric);
    let cut = free && s.flag();
    let first = if s.one_in(4) { 3 } else { 2 };
    let mut axis = |axis: usize| {
        let size = shape[axis];
        let len = match coordinates {
            // Positions of other scales are whole numbers but for their rounding.
            Coordinates::HalfPixelSymmetric if nearest => size * s.between(1, 3),
            // ONNX Runtime ignores the region of a dimension that keeps its extent.
            Coordinates::CropAndResize => size + s.between(1, 5),
            // Nor does it look at a scale that keeps the extent.
            _ if cut => Some(s.between(1, 12)).filter(|&len| len != size).unwrap_or(size + 1),
            _ => s.between(1, 12),
        };
        let exact = len as f32 / size as f32;
        let scale = if cut { (len as f32 + 0.3) / size as f32 } else { exact };
        let region = if cropped { (s.float(-0.3, 0.4), s.float(0.5, 1.3)) } else { (0.0, 1.0) };
        ResizeAxis { axis, len, scale, region }
    };
    let axes = (first..4).map(&mut axis).collect();
    let antialias = !nearest && !cropped && s.one_in(3);
    let resize = Resize {
        axes,
        mode,
        coordinates,
        antialias,
        exclude_outside: matches!(mode, ResizeMode::Cubic(_)) && s.flag(),
        extrapolation: if cropped { 7.0 } else { 0.0 },
    };
    let dtype = if nearest { s.pick(&[DType::F32, DType::U8, DType::I32]) } else { DType::F32 };
    Case::new(Op::Resize(resize), [s.any(dtype, &shape)])
}

fn mode(s: &mut Source, turn: usize) -> ResizeMode {
    match turn % 3 {
        0 => ResizeMode::Nearest(s.pick(&[
            Nearest::RoundPreferFloor,
            Nearest::RoundPreferCeil,
            Nearest::Floor,
            Nearest::Ceil,
        ])),
        1 => ResizeMode::Linear,
        _ => ResizeMode::Cubic(s.pick(&[-0.75, -0.5])),
    }
}
