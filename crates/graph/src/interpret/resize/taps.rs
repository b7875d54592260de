//! Where the elements of a resampled dimension come from, and with which weights.

use crate::{Coordinates, Nearest, Resize, ResizeAxis, ResizeMode};

/// Positions in the input and their weights, for one element of the output.
pub type Taps = Vec<(usize, f64)>;

/// The positions of a dimension of `size` elements that output elements correspond to.
struct Positions {
    axis: ResizeAxis,
    size: f64,
    /// Extent of the output before rounding.
    whole: f64,
    coordinates: Coordinates,
}

impl Positions {
    fn new(axis: &ResizeAxis, size: usize, coordinates: Coordinates) -> Positions {
        // A scale that is the float32 nearest to the quotient of the extents stands for the
        // quotient: 9 elements to 3 at 0.33333334 have positions at whole numbers.
        let quotient = axis.len as f32 / size as f32;
        let exact = axis.scale == quotient || coordinates == Coordinates::CropAndResize;
        let size = size as f64;
        let whole = if exact { axis.len as f64 } else { f64::from(axis.scale) * size };
        Positions { axis: *axis, size, whole, coordinates }
    }

    /// The position that element `i` of the output corresponds to.
    fn at(&self, i: usize) -> f64 {
        let (i, last) = (i as f64, self.size - 1.0);
        let half_pixel = (i + 0.5) * self.size / self.whole - 0.5;
        let single = self.whole == 1.0;
        match self.coordinates {
            Coordinates::HalfPixel => half_pixel,
            Coordinates::HalfPixelSymmetric => {
                let adjustment = self.axis.len as f64 / self.whole;
                self.size / 2.0 * (1.0 - adjustment) + half_pixel
            }
            Coordinates::PytorchHalfPixel if self.axis.len == 1 => 0.0,
            Coordinates::PytorchHalfPixel => half_pixel,
            Coordinates::AlignCorners if single => 0.0,
            Coordinates::AlignCorners => i * last / (self.whole - 1.0),
            Coordinates::Asymmetric => i * self.size / self.whole,
            Coordinates::TfHalfPixelForNearest => half_pixel + 0.5,
            Coordinates::CropAndResize => {
                let (start, end) = (f64::from(self.axis.region.0), f64::from(self.axis.region.1));
                if single {
                    return 0.5 * (start + end) * last;
                }
                start * last + i * (end - start) * last / (self.whole - 1.0)
            }
        }
    }
}

/// The nearest position to each element of the output; ends repeat.
pub fn nearest(
    axis: &ResizeAxis,
    size: usize,
    coordinates: Coordinates,
    rule: Nearest,
) -> Vec<usize> {
    let positions = Positions::new(axis, size, coordinates);
    let pick = |i| {
        let position = positions.at(i);
        let (floor, ceil) = (position.floor(), position.ceil());
        let rounded = match rule {
            Nearest::Floor => floor,
            Nearest::Ceil => ceil,
            Nearest::RoundPreferFloor if position - floor <= 0.5 => floor,
            Nearest::RoundPreferCeil if position - floor < 0.5 => floor,
            Nearest::RoundPreferFloor | Nearest::RoundPreferCeil => ceil,
        };
        rounded.clamp(0.0, size as f64 - 1.0) as usize
    };
    (0..axis.len).map(pick).collect()
}

/// Whether each element of the output lies outside the input.
pub(super) fn outside(axis: &ResizeAxis, size: usize) -> Vec<bool> {
    let positions = Positions::new(axis, size, Coordinates::CropAndResize);
    let beyond = |i| !(0.0..=size as f64 - 1.0).contains(&positions.at(i));
    (0..axis.len).map(beyond).collect()
}

/// Weights of linear and cubic interpolation for each element of the output.
///
/// An input element counts by the filter's value at its distance. Antialiasing widens the filter
/// by the factor of shrinking and normalises its sum.
pub fn taps(axis: &ResizeAxis, size: usize, resize: &Resize) -> impl Fn(usize) -> Taps {
    let positions = Positions::new(axis, size, resize.coordinates);
    let scale = match resize.coordinates {
        Coordinates::CropAndResize => f64::from(axis.scale),
        _ => positions.whole / positions.size,
    };
    let narrow = if resize.antialias { scale.min(1.0) } else { 1.0 };
    let filter = Filter { mode: resize.mode, narrow, size };
    move |i| filter.taps(positions.at(i), resize)
}

struct Filter {
    mode: ResizeMode,
    /// What distances are multiplied by: at most 1.
    narrow: f64,
    /// Extent of the input.
    size: usize,
}

impl Filter {
    /// Distance at which weights become zero.
    fn reach(&self) -> f64 {
        if matches!(self.mode, ResizeMode::Cubic(_)) {
            2.0 / self.narrow
        } else {
            1.0 / self.narrow
        }
    }

    /// Weight of an element at a distance.
    fn weight(&self, distance: f64) -> f64 {
        match self.mode {
            ResizeMode::Cubic(a) => cubic(distance * self.narrow, a.into()),
            _ => (1.0 - distance * self.narrow).max(0.0),
        }
    }

    fn taps(&self, position: f64, resize: &Resize) -> Taps {
        let (last, inside) = (self.size as i64 - 1, |i: &i64| (0..self.size as i64).contains(i));
        // Beyond its reach from an end, the filter sees nothing but copies of that end.
        let reach = self.reach();
        let centre = position.clamp(-reach - 1.0, last as f64 + reach + 1.0);
        let places = (centre - reach).floor() as i64..=(centre + reach).ceil() as i64;
        let mut taps = Taps::new();
        for place in places.filter(|place| !resize.exclude_outside || inside(place)) {
            let (source, weight) =
                (place.clamp(0, last) as usize, self.weight((place as f64 - centre).abs()));
            match taps.last_mut() {
                Some((previous, sum)) if *previous == source => *sum += weight,
                _ => taps.push((source, weight)),
            }
        }
        let total: f64 = taps.iter().map(|(_, weight)| weight).sum();
        if total == 0.0 {
            return vec![(position.clamp(0.0, last as f64) as usize, 1.0)];
        }
        if resize.antialias || resize.exclude_outside {
            taps.iter_mut().for_each(|(_, weight)| *weight /= total);
        }
        // An infinite element without weight must not make NaN.
        taps.retain(|(_, weight)| *weight != 0.0);
        taps
    }
}

/// Keys' cubic convolution kernel with coefficient `a` (IEEE Trans. ASSP 29(6), 1981).
fn cubic(distance: f64, a: f64) -> f64 {
    let d = distance;
    if d <= 1.0 {
        ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
    } else if d < 2.0 {
        ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a
    } else {
        0.0
    }
}
