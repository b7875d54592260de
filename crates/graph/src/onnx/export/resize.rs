//! Resize, whose positions depend on how the output's size is stated.
//!
//! The graph holds both the extent of the output and the scale that decides positions. ONNX has
//! one of them and derives the other: an extent is `floor(input * scale)`, a scale is
//! `output / input`, or, where the aspect ratio is to be kept, one such ratio serves all
//! dimensions and extents are rounded.

use super::form::{Context, Form};
use crate::op::{Coordinates, Nearest, Resize, ResizeAxis, ResizeMode};
use crate::{Dim, Graph, Node, Result, Tensor};

/// How a file states sizes so that the same extents and scales come back.
#[derive(Clone, Debug, PartialEq)]
enum Statement {
    /// A scale for each dimension.
    Scales,
    /// A size for each dimension.
    Sizes,
    /// A size for each dimension resampled (opset 18).
    SizesOnAxes,
    /// These sizes for the dimensions resampled, none to be exceeded by the common scale
    /// (opset 18).
    NotLarger(Vec<usize>),
}

/// First operator set of ONNX that can state this resampling.
pub(super) fn since(graph: &Graph, node: &Node, resize: &Resize) -> Result<i64> {
    let stated = match statement(graph, node, resize)? {
        Statement::Scales | Statement::Sizes => 1,
        Statement::SizesOnAxes | Statement::NotLarger(_) => 18,
    };
    let symmetric = resize.coordinates == Coordinates::HalfPixelSymmetric;
    let positions = if symmetric { 19 } else { 1 };
    Ok(stated.max(positions).max(if resize.antialias { 18 } else { 1 }))
}

fn statement(graph: &Graph, node: &Node, resize: &Resize) -> Result<Statement> {
    let dims = graph.value(node.input(0)?).shape.dims();
    let size = |axis: &ResizeAxis| {
        graph.value(node.inputs[0].expect("seen above")).shape.extent(axis.axis, &node.name)
    };
    let sizes = resize.axes.iter().map(size).collect::<Result<Vec<usize>>>()?;
    let pairs = || resize.axes.iter().zip(&sizes);
    let crops = resize.coordinates == Coordinates::CropAndResize;
    if pairs().all(|(axis, &size)| floors(axis, size, crops)) {
        return Ok(Statement::Scales);
    }
    let ratio = |len: usize, size: usize| len as f32 / size as f32;
    // Positions in a cropped region depend on extents alone.
    if crops || pairs().all(|(axis, &size)| axis.scale == ratio(axis.len, size)) {
        let resampled = |i: usize| resize.axes.iter().any(|a| a.axis == i);
        let known = |(i, dim): (usize, &Dim)| resampled(i) || dim.fixed().is_some();
        let all = dims.iter().enumerate().all(known);
        return Ok(if all { Statement::Sizes } else { Statement::SizesOnAxes });
    }
    let first = &resize.axes[0];
    let scale = first.scale;
    let common = pairs().all(|(axis, &size)| {
        axis.scale == scale && (scale * size as f32 + 0.5).floor() == axis.len as f32
    });
    if common && pairs().any(|(axis, &size)| ratio(axis.len, size) == scale) {
        let bound = |(axis, &size): (&ResizeAxis, &usize)| {
            axis.len + usize::from(ratio(axis.len, size) < scale)
        };
        return Ok(Statement::NotLarger(pairs().map(bound).collect()));
    }
    Err(node.error(format!(
        "ONNX cannot state that scale {scale} leads from extent {} to {}: only extents rounded \
         down, or scales that are the ratio of extents",
        sizes[0], first.len
    )))
}

/// Whether a reader derives the extent from the scale, in either precision.
fn floors(axis: &ResizeAxis, size: usize, crops: bool) -> bool {
    let region = if crops { axis.region.1 - axis.region.0 } else { 1.0 };
    let single = size as f32 * region * axis.scale;
    let double = size as f64 * f64::from(region) * f64::from(axis.scale);
    single.floor() == axis.len as f32 && double.floor() == axis.len as f64
}

pub(super) fn resize(ctx: &mut Context, resize: &Resize) -> Result<Form> {
    let statement = statement(ctx.graph, ctx.node, resize)?;
    let on_axes = matches!(statement, Statement::SizesOnAxes | Statement::NotLarger(_));
    let rank = ctx.shape(0)?.rank();
    let mut form = attributes(ctx, resize)?;
    if on_axes {
        let axes: Vec<usize> = resize.axes.iter().map(|a| a.axis).collect();
        form = form.ints("axes", &axes);
    }
    let spread = |f: &dyn Fn(&ResizeAxis) -> f32, rest: f32| -> Vec<f32> {
        let of = |i: usize| resize.axes.iter().find(|a| a.axis == i).map_or(rest, f);
        if on_axes { resize.axes.iter().map(f).collect() } else { (0..rank).map(of).collect() }
    };
    form = form.input(match resize.coordinates {
        Coordinates::CropAndResize => {
            let (starts, ends) = (spread(&|a| a.region.0, 0.0), spread(&|a| a.region.1, 1.0));
            ctx.small.name("region", &Tensor::vector([starts, ends].concat()))
        }
        _ => String::new(),
    });
    let lens = resize.axes.iter().map(|a| a.len);
    let sizes = match statement {
        Statement::Scales => {
            let scales = Tensor::vector(spread(&|a| a.scale, 1.0));
            return Ok(form.input(ctx.small.name("scales", &scales)));
        }
        Statement::Sizes => {
            let mut sizes = vec![0; rank];
            for (axis, size) in sizes.iter_mut().enumerate() {
                let resampled = resize.axes.iter().find(|a| a.axis == axis);
                let own = || ctx.shape(0)?.extent(axis, &ctx.node.name);
                *size = resampled.map_or_else(own, |a| Ok(a.len))?;
            }
            sizes
        }
        Statement::SizesOnAxes => lens.collect(),
        Statement::NotLarger(sizes) => {
            form = form.text("keep_aspect_ratio_policy", "not_larger");
            sizes
        }
    };
    Ok(form.input(String::new()).input(ctx.vector("sizes", sizes)))
}

fn attributes(ctx: &Context, resize: &Resize) -> Result<Form> {
    let positions = match resize.coordinates {
        Coordinates::HalfPixel => "half_pixel",
        Coordinates::HalfPixelSymmetric => "half_pixel_symmetric",
        Coordinates::PytorchHalfPixel => "pytorch_half_pixel",
        Coordinates::AlignCorners => "align_corners",
        Coordinates::Asymmetric => "asymmetric",
        Coordinates::CropAndResize => "tf_crop_and_resize",
        Coordinates::TfHalfPixelForNearest => {
            let problem = "coordinates tf_half_pixel_for_nn are for the nearest element only";
            return Err(ctx.node.error(problem));
        }
    };
    let form = ctx.plain().text("coordinate_transformation_mode", positions);
    let mut form = match resize.mode {
        ResizeMode::Nearest(nearest) => {
            form.text("mode", "nearest").text("nearest_mode", nearest_mode(nearest))
        }
        ResizeMode::Linear => form.text("mode", "linear"),
        ResizeMode::Cubic(coefficient) => {
            form.text("mode", "cubic").float("cubic_coeff_a", coefficient)
        }
    };
    if resize.antialias {
        form = form.int("antialias", 1);
    }
    if resize.exclude_outside {
        form = form.int("exclude_outside", 1);
    }
    if resize.coordinates == Coordinates::CropAndResize {
        form = form.float("extrapolation_value", resize.extrapolation);
    }
    Ok(form)
}

fn nearest_mode(nearest: Nearest) -> &'static str {
    match nearest {
        Nearest::RoundPreferFloor => "round_prefer_floor",
        Nearest::RoundPreferCeil => "round_prefer_ceil",
        Nearest::Floor => "floor",
        Nearest::Ceil => "ceil",
    }
}
