//! Resampling.

use edgecut_graph::{Coordinates, DType, Nearest, Op, Resize, ResizeAxis, ResizeMode};

use super::Table;
use super::numbers::{normal, numbers};

/// Over the last two dimensions of a map of 5 by 6.
fn axes(sizes: [usize; 2], scales: Option<[f32; 2]>) -> Vec<ResizeAxis> {
    let from = [5, 6];
    (0..2)
        .map(|i| ResizeAxis {
            axis: 2 + i,
            len: sizes[i],
            scale: scales.map_or(sizes[i] as f32 / from[i] as f32, |s| s[i]),
            region: (0.0, 1.0),
        })
        .collect()
}

fn resize(mode: ResizeMode, coordinates: Coordinates) -> Resize {
    Resize {
        axes: axes([8, 3], None),
        mode,
        coordinates,
        antialias: false,
        exclude_outside: false,
        extrapolation: 0.0,
    }
}

pub(super) fn add(table: &mut Table) {
    use Coordinates::*;
    let image = || normal(&[1, 2, 5, 6], 131);
    let nearest =
        [Nearest::RoundPreferFloor, Nearest::RoundPreferCeil, Nearest::Floor, Nearest::Ceil];
    for coordinates in [HalfPixel, HalfPixelSymmetric, PytorchHalfPixel, AlignCorners, Asymmetric] {
        for nearest in nearest {
            let op = resize(ResizeMode::Nearest(nearest), coordinates);
            table.one(&format!("{nearest:?} {coordinates:?}"), Op::Resize(op), image());
        }
        for (what, mode) in [("linear", ResizeMode::Linear), ("cubic", ResizeMode::Cubic(-0.75))] {
            let op = resize(mode, coordinates);
            table.one(&format!("{what} {coordinates:?}"), Op::Resize(op), image());
        }
    }
    let tf = resize(ResizeMode::Nearest(Nearest::Floor), TfHalfPixelForNearest);
    table.one("tf", Op::Resize(tf), image());
    sizes(table);
    for (what, mode) in [("linear", ResizeMode::Linear), ("cubic", ResizeMode::Cubic(-0.5))] {
        let small = Resize { axes: axes([3, 2], None), antialias: true, ..resize(mode, HalfPixel) };
        table.one(&format!("antialias {what}"), Op::Resize(small), image());
        let outside =
            Resize { exclude_outside: true, ..resize(ResizeMode::Cubic(-0.5), HalfPixel) };
        if what == "cubic" {
            table.one("exclude outside", Op::Resize(outside), image());
        }
        let mut cropped = Resize { extrapolation: 9.0, ..resize(mode, CropAndResize) };
        cropped.axes[0].region = (0.25, 0.75);
        cropped.axes[1].region = (-0.2, 0.9);
        table.one(&format!("crop {what}"), Op::Resize(cropped), image());
    }
    for dtype in [DType::U8, DType::I8, DType::I32, DType::I64, DType::Bool] {
        let op = resize(ResizeMode::Nearest(Nearest::Floor), Asymmetric);
        table.one(&super::of(dtype), Op::Resize(op), numbers(dtype, &[1, 2, 5, 6], 132));
    }
}

/// How sizes may be stated.
fn sizes(table: &mut Table) {
    let linear = resize(ResizeMode::Linear, Coordinates::HalfPixel);
    let cases = [
        ("twice", [10, 12], Some([2.0, 2.0])),
        ("rounded down", [13, 9], Some([2.7, 1.6])),
        ("one axis", [5, 9], Some([1.0, 1.5])),
        ("kept ratio", [4, 5], Some([0.8, 0.8])),
    ];
    for (what, sizes, scales) in cases {
        let op = Resize { axes: axes(sizes, scales), ..linear.clone() };
        table.one(what, Op::Resize(op), normal(&[1, 2, 5, 6], 133));
    }
    let op = Resize { axes: vec![], ..linear };
    table.one("no axis", Op::Resize(op), normal(&[1, 2, 5, 6], 134));
}
