//! Resampling.

use super::*;

/// Resampling of the last dimension of a vector of four.
fn line(mode: ResizeMode, coordinates: Coordinates, scale: f32, len: usize) -> Resize {
    Resize {
        axes: vec![ResizeAxis { axis: 0, len, scale, region: (0.0, 1.0) }],
        mode,
        coordinates,
        antialias: false,
        exclude_outside: false,
        extrapolation: -1.0,
    }
}

fn check(resize: Resize, expected: &[f32]) {
    let x = Tensor::vector(vec![0f32, 10.0, 20.0, 30.0]);
    expect(Op::Resize(resize), &[&x], &[expected.len()], expected);
}

#[test]
fn positions_of_linear_interpolation() {
    let linear = |coordinates, scale, len| line(ResizeMode::Linear, coordinates, scale, len);
    let half = [0.0, 2.5, 7.5, 12.5, 17.5, 22.5, 27.5, 30.0];
    check(linear(Coordinates::HalfPixel, 2.0, 8), &half);
    check(linear(Coordinates::AlignCorners, 1.75, 7), &[0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0]);
    let asymmetric = [0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 30.0];
    check(linear(Coordinates::Asymmetric, 2.0, 8), &asymmetric);
    check(linear(Coordinates::HalfPixel, 0.5, 2), &[5.0, 25.0]);
    check(linear(Coordinates::HalfPixel, 0.25, 1), &[15.0]);
    check(linear(Coordinates::PytorchHalfPixel, 0.25, 1), &[0.0]);
    check(linear(Coordinates::AlignCorners, 0.25, 1), &[0.0]);
    // 4 * 0.6 = 2.4, of which 2 remain, 0.2 from the edges; 0.6 in float32 is a little more.
    check(linear(Coordinates::HalfPixelSymmetric, 0.6, 2), &[6.666_667, 23.333_332]);
}

#[test]
fn nearest_elements() {
    let nearest =
        |rule, coordinates, scale, len| line(ResizeMode::Nearest(rule), coordinates, scale, len);
    // Positions 0.5 and 2.5.
    let half = |rule| nearest(rule, Coordinates::HalfPixel, 0.5, 2);
    check(half(Nearest::RoundPreferFloor), &[0.0, 20.0]);
    check(half(Nearest::RoundPreferCeil), &[10.0, 30.0]);
    check(half(Nearest::Floor), &[0.0, 20.0]);
    check(half(Nearest::Ceil), &[10.0, 30.0]);
    let twice = [0.0, 0.0, 10.0, 10.0, 20.0, 20.0, 30.0, 30.0];
    check(nearest(Nearest::Floor, Coordinates::Asymmetric, 2.0, 8), &twice);
    check(nearest(Nearest::Floor, Coordinates::TfHalfPixelForNearest, 0.5, 2), &[10.0, 30.0]);
    let bytes = Tensor::vector(vec![1u8, 2]);
    let op = Op::Resize(nearest(Nearest::Floor, Coordinates::Asymmetric, 2.0, 4));
    expect_any(op, &[&bytes], &[4], vec![1u8, 1, 2, 2]);
}

#[test]
fn a_rounded_quotient_means_the_quotient() {
    // 9 to 3: 1 / 0.33333334 is below 3, yet element 3 is meant.
    let resize = line(ResizeMode::Nearest(Nearest::Floor), Coordinates::Asymmetric, 3.0 / 9.0, 3);
    expect(Op::Resize(resize), &[&ramp(&[9])], &[3], &[0.0, 3.0, 6.0]);
}

#[test]
fn cubic_interpolation() {
    let cubic = |exclude_outside, antialias, scale, len| Resize {
        exclude_outside,
        antialias,
        ..line(ResizeMode::Cubic(-0.75), Coordinates::HalfPixel, scale, len)
    };
    // At 0.5: weights -0.09375, 0.59375, 0.59375, -0.09375; the edge stands for what lies outside.
    check(cubic(false, false, 0.5, 2), &[4.0625, 25.9375]);
    // Without it, the others are divided by 1.09375.
    let first = (0.59375 * 10.0 - 0.09375 * 20.0) / 1.09375;
    check(cubic(true, false, 0.5, 2), &[first, 30.0 - first]);
}

#[test]
fn antialiasing_widens_the_filter() {
    let resize =
        Resize { antialias: true, ..line(ResizeMode::Linear, Coordinates::HalfPixel, 0.5, 2) };
    // At 0.5: distances 1.5, 0.5, 0.5, 1.5 weigh 1, 3, 3, 1 of 8, the first one a copy of the edge.
    check(resize.clone(), &[(3.0 * 10.0 + 20.0) / 8.0, (10.0 + 3.0 * 20.0 + 4.0 * 30.0) / 8.0]);
    let inside = Resize { exclude_outside: true, ..resize };
    check(inside, &[50.0 / 7.0, (10.0 + 60.0 + 90.0) / 7.0]);
}

#[test]
fn what_a_crop_lacks_is_extrapolated() {
    let mut resize = line(ResizeMode::Linear, Coordinates::CropAndResize, 0.75, 3);
    resize.axes[0].region = (0.5, 1.5);
    // Positions 1.5, 3 and 4.5.
    check(resize.clone(), &[15.0, 30.0, -1.0]);
    resize.axes[0].len = 1;
    check(resize.clone(), &[30.0]);
    resize.axes[0].region = (-1.0, 0.0);
    check(resize, &[-1.0]);
}

#[test]
fn infinite_neighbours_without_weight_do_not_count() {
    let x = Tensor::vector(vec![1f32, f32::INFINITY, 3.0]);
    let resize = line(ResizeMode::Linear, Coordinates::AlignCorners, 5.0 / 3.0, 5);
    let inf = f32::INFINITY;
    expect(Op::Resize(resize), &[&x], &[5], &[1.0, inf, inf, inf, 3.0]);
}
