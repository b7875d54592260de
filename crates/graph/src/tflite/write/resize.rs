//! Resampling of images.

use super::flat::Table;
use super::values::{Writer, usual};
use crate::tflite::schema::options;
use crate::{Coordinates, Nearest, Node, Resize, ResizeAxis, ResizeMode, Result};

/// How TensorFlow Lite places the elements of the output.
const PLACEMENTS: [(bool, bool); 3] = [(false, false), (false, true), (true, false)];

impl Writer<'_> {
    pub(super) fn resize(&mut self, node: &Node, resize: &Resize) -> Result<()> {
        let id = node.input(0)?;
        let extent = |axis: usize| self.graph.value(id).shape.extent(axis, &node.name);
        if self.rank(id) != 4 || resize.axes.iter().any(|a| a.axis < 2) {
            return Err(node.error("TFLite resamples height and width of images only"));
        }
        if resize.antialias || resize.exclude_outside {
            return Err(node.error("TFLite resamples without antialias or exclude_outside"));
        }
        let from = [extent(2)?, extent(3)?];
        let to = self.graph.value(node.output());
        let to = [to.shape.extent(2, &node.name)?, to.shape.extent(3, &node.name)?];
        let (op, member, first) = match resize.mode {
            ResizeMode::Linear => ("RESIZE_BILINEAR", options::RESIZE_BILINEAR, 2),
            ResizeMode::Nearest(_) => ("RESIZE_NEAREST_NEIGHBOR", options::RESIZE_NEAREST, 0),
            ResizeMode::Cubic(_) => return Err(node.error("TFLite has no cubic resampling")),
        };
        let fits = |&(align, half): &(bool, bool)| {
            resize.axes.iter().all(|axis| {
                let from = from[axis.axis - 2];
                match resize.mode {
                    ResizeMode::Nearest(rule) => {
                        same_elements(resize, axis, from, rule, (align, half))
                    }
                    _ => same_positions(resize, axis, from, (align, half)),
                }
            })
        };
        let Some((align, half)) = PLACEMENTS.into_iter().find(|p| fits(p)) else {
            return Err(node.error(format!(
                "TFLite places no elements like {:?} from {from:?} to {to:?}",
                resize.coordinates
            )));
        };
        let x = self.moved(id, &usual(4))?;
        let y = self.move_to(node, x, &usual(4));
        let size = to.map(|n| n as i32);
        let size = self.file.ints(&format!("{}.size", node.name), &[2], &size)?;
        let table = Table::default().with(first, align).with(first + 1, half);
        let least = match op {
            "RESIZE_BILINEAR" if half => 3,
            "RESIZE_NEAREST_NEIGHBOR" if half || align => 3,
            _ => 1,
        };
        self.file.call(op, &[Some(x), Some(size)], &[y], Some((member, table)), least);
        Ok(())
    }
}

/// The position in the input of element `i` of the output, as the graph has it.
fn position(resize: &Resize, axis: &ResizeAxis, from: usize, i: usize) -> Option<f32> {
    let (i, scale) = (i as f32, axis.scale);
    Some(match resize.coordinates {
        Coordinates::HalfPixel => (i + 0.5) / scale - 0.5,
        Coordinates::PytorchHalfPixel if axis.len > 1 => (i + 0.5) / scale - 0.5,
        Coordinates::PytorchHalfPixel => 0.0,
        Coordinates::AlignCorners if axis.len > 1 => {
            i * (from as f32 - 1.0) / (axis.len as f32 - 1.0)
        }
        Coordinates::AlignCorners => 0.0,
        Coordinates::Asymmetric => i / scale,
        Coordinates::TfHalfPixelForNearest => (i + 0.5) / scale,
        Coordinates::HalfPixelSymmetric => {
            let adjustment = axis.len as f32 / (scale * from as f32);
            let center = from as f32 / 2.0;
            center * (1.0 - adjustment) + (i + 0.5) / scale - 0.5
        }
        Coordinates::CropAndResize => return None,
    })
}

/// TensorFlow Lite's position of element `i`, before any rounding.
fn placed((align, half): (bool, bool), from: usize, to: usize, i: usize, nearest: bool) -> f32 {
    let scale = match align && to > 1 {
        true => (from - 1) as f32 / (to - 1) as f32,
        false => from as f32 / to as f32,
    };
    match (half, nearest) {
        (true, true) => (i as f32 + 0.5) * scale,
        (true, false) => (i as f32 + 0.5) * scale - 0.5,
        _ => i as f32 * scale,
    }
}

fn same_positions(resize: &Resize, axis: &ResizeAxis, from: usize, place: (bool, bool)) -> bool {
    (0..axis.len).all(|i| {
        let last = from as f32 - 1.0;
        let ours = position(resize, axis, from, i).map(|p| p.clamp(0.0, last));
        let theirs = placed(place, from, axis.len, i, false).clamp(0.0, last);
        ours.is_some_and(|p| (p - theirs).abs() <= 1e-4)
    })
}

fn same_elements(
    resize: &Resize,
    axis: &ResizeAxis,
    from: usize,
    rule: Nearest,
    place: (bool, bool),
) -> bool {
    let last = from as f32 - 1.0;
    (0..axis.len).all(|i| {
        let ours = position(resize, axis, from, i).map(|p| match rule {
            Nearest::RoundPreferFloor => (p - 0.5).ceil(),
            Nearest::RoundPreferCeil => (p + 0.5).floor(),
            Nearest::Floor => p.floor(),
            Nearest::Ceil => p.ceil(),
        });
        let theirs = placed(place, from, axis.len, i, true);
        let theirs = if place.0 { theirs.round() } else { theirs.floor() };
        ours.is_some_and(|p| p.clamp(0.0, last) == theirs.clamp(0.0, last))
    })
}
