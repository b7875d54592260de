//! Resize of all operator sets, and Upsample that it replaced.

use super::Family;
use crate::limits::MAX_ELEMENTS;
use crate::onnx::import::Importer;
use crate::onnx::items::Item;
use crate::onnx::node::{Meaning, NodeIn};
use crate::op::{Coordinates, Nearest, Op, Resize, ResizeAxis, ResizeMode};
use crate::{Dim, Result, Shape, Tensor, ValueId};

pub(super) const OPERATORS: &Family = &[("Resize", resize), ("Upsample", upsample)];

/// How large the result is.
enum Target {
    Scales(Vec<f32>),
    /// Extents; `None` keeps a symbol.
    Sizes(Vec<Option<usize>>),
    /// One scale for all axes; extents are rounded, halves up.
    Common(f64),
}

/// Scales are an attribute up to opset 8, an input from 9 on.
fn upsample(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let scales = node.attributes.floats("scales");
    let scales = match node.attribute(scales)? {
        Some(scales) => scales.to_vec(),
        None => constant_floats(im, node, 1)?.unwrap_or_default(),
    };
    asymmetric(im, node, scales)
}

fn resize(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    if node.opset < 11 {
        let scales = constant_floats(im, node, 1)?.unwrap_or_default();
        return asymmetric(im, node, scales);
    }
    let x = node.value(im, 0)?;
    let shape = node.shape(im, x);
    let coordinates = coordinates(node)?;
    let mode = mode(node)?;
    let axes = match node.ints("axes")? {
        Some(axes) => axes.iter().map(|&a| node.axis(a, shape.rank())).collect::<Result<_>>()?,
        None => (0..shape.rank()).collect::<Vec<usize>>(),
    };
    let target = target(im, node, &shape, &axes)?;
    let policy = node.string("keep_aspect_ratio_policy")?.unwrap_or("stretch");
    let target = keep_aspect_ratio(node, policy, &shape, &axes, target)?;
    let mut resize = Resize {
        axes: vec![],
        mode,
        coordinates,
        antialias: node.flag("antialias", false)?,
        exclude_outside: node.flag("exclude_outside", false)?,
        extrapolation: node.float("extrapolation_value", 0.0)?,
    };
    let regions = match coordinates {
        Coordinates::CropAndResize => regions(im, node, axes.len())?,
        _ => vec![(0.0, 1.0); axes.len()],
    };
    for (i, &axis) in axes.iter().enumerate() {
        let made = resize_axis(node, &shape, axis, &target, i, regions[i])?;
        resize.axes.extend(made.filter(|made| changes(&shape, made, &resize)));
    }
    resize.axes.sort_by_key(|axis| axis.axis);
    finish(x, resize)
}

fn finish(x: ValueId, resize: Resize) -> Result<Meaning> {
    match resize.axes.is_empty() {
        true => Ok(Meaning::Same(x)),
        false => Ok(Meaning::Op(Op::Resize(resize), vec![Some(x)])),
    }
}

/// Before opset 11: position `i / scale`; the nearest element is the one before, or the one behind
/// where the result is smaller (as in ONNX Runtime; the specification says nothing).
fn asymmetric(im: &mut Importer, node: &mut NodeIn, scales: Vec<f32>) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let shape = node.shape(im, x);
    let smaller = scales.iter().any(|&s| s < 1.0);
    if smaller && scales.iter().any(|&s| s > 1.0) {
        return Err(
            node.unsupported("it enlarges one dimension and shrinks another, before opset 11")
        );
    }
    let mode = match node.string("mode")?.unwrap_or("nearest") {
        "nearest" if smaller => ResizeMode::Nearest(Nearest::Ceil),
        "nearest" => ResizeMode::Nearest(Nearest::Floor),
        "linear" | "bilinear" => ResizeMode::Linear,
        other => return Err(node.malformed(format!("attribute 'mode' is '{other}'"))),
    };
    if scales.len() != shape.rank() {
        return Err(node.malformed(format!("{} scales for input {shape}", scales.len())));
    }
    let mut resize = Resize {
        axes: vec![],
        mode,
        coordinates: Coordinates::Asymmetric,
        antialias: false,
        exclude_outside: false,
        extrapolation: 0.0,
    };
    let target = Target::Scales(scales);
    for axis in 0..shape.rank() {
        let made = resize_axis(node, &shape, axis, &target, axis, (0.0, 1.0))?;
        resize.axes.extend(made.filter(|made| changes(&shape, made, &resize)));
    }
    finish(x, resize)
}

fn coordinates(node: &mut NodeIn) -> Result<Coordinates> {
    let name = node.string("coordinate_transformation_mode")?.unwrap_or("half_pixel");
    Ok(match name {
        "half_pixel" => Coordinates::HalfPixel,
        "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
        "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
        "align_corners" => Coordinates::AlignCorners,
        "asymmetric" => Coordinates::Asymmetric,
        "tf_half_pixel_for_nn" => Coordinates::TfHalfPixelForNearest,
        "tf_crop_and_resize" => Coordinates::CropAndResize,
        other => {
            let problem = format!("attribute 'coordinate_transformation_mode' is '{other}'");
            return Err(node.malformed(problem));
        }
    })
}

fn mode(node: &mut NodeIn) -> Result<ResizeMode> {
    let nearest = node.string("nearest_mode")?.unwrap_or("round_prefer_floor");
    let coefficient = node.float("cubic_coeff_a", -0.75)?;
    let nearest = match nearest {
        "round_prefer_floor" | "" => Nearest::RoundPreferFloor,
        "round_prefer_ceil" => Nearest::RoundPreferCeil,
        "floor" => Nearest::Floor,
        "ceil" => Nearest::Ceil,
        other => return Err(node.malformed(format!("attribute 'nearest_mode' is '{other}'"))),
    };
    Ok(match node.string("mode")?.unwrap_or("nearest") {
        "nearest" => ResizeMode::Nearest(nearest),
        "linear" => ResizeMode::Linear,
        "cubic" => ResizeMode::Cubic(coefficient),
        other => return Err(node.malformed(format!("attribute 'mode' is '{other}'"))),
    })
}

/// Scales where input 2 has any, else sizes, which may copy symbols of the input.
fn target(im: &mut Importer, node: &NodeIn, shape: &Shape, axes: &[usize]) -> Result<Target> {
    let scales = constant_floats(im, node, 2)?.filter(|scales| !scales.is_empty());
    let target = match (scales, node.input(3)) {
        (Some(scales), _) => Target::Scales(scales),
        (None, Some(name)) => {
            let Some(sizes) = im.items(name) else {
                return Err(
                    node.unsupported("its sizes must be computable without running the model")
                );
            };
            let own = |i: usize| axes.get(i).and_then(|&axis| shape.dims().get(axis));
            let extent = |(i, item): (usize, &Item)| match item {
                Item::Int(n) if (0..=MAX_ELEMENTS as i64).contains(n) => Ok(Some(*n as usize)),
                item if own(i).and_then(Item::of).as_ref() == Some(item) => Ok(None),
                _ => Err(node.unsupported(format!("resizes {shape} to {sizes}"))),
            };
            Target::Sizes(sizes.items().iter().enumerate().map(extent).collect::<Result<_>>()?)
        }
        (None, None) => return Err(node.malformed("has neither scales nor sizes")),
    };
    let count = match &target {
        Target::Scales(scales) => scales.len(),
        Target::Sizes(sizes) => sizes.len(),
        Target::Common(_) => axes.len(),
    };
    if count != axes.len() {
        return Err(node.malformed(format!("{count} scales or sizes for {} axes", axes.len())));
    }
    Ok(target)
}

/// One scale for all axes: the smallest or largest that the sizes ask for.
fn keep_aspect_ratio(
    node: &NodeIn,
    policy: &str,
    shape: &Shape,
    axes: &[usize],
    target: Target,
) -> Result<Target> {
    let join: fn(f64, f64) -> f64 = match policy {
        "stretch" => return Ok(target),
        "not_larger" => f64::min,
        "not_smaller" => f64::max,
        other => {
            let problem = format!("attribute 'keep_aspect_ratio_policy' is '{other}'");
            return Err(node.malformed(problem));
        }
    };
    let Target::Sizes(sizes) = target else { return Ok(target) };
    let mut scale = None;
    for (&axis, size) in axes.iter().zip(&sizes) {
        let own = shape.extent(axis, &node.name)?;
        let wanted = size.unwrap_or(own) as f64 / own.max(1) as f64;
        scale = Some(scale.map_or(wanted, |scale| join(scale, wanted)));
    }
    Ok(Target::Common(scale.unwrap_or(1.0)))
}

/// Starts of all axes, then ends, as parts of the extent.
fn regions(im: &mut Importer, node: &NodeIn, count: usize) -> Result<Vec<(f32, f32)>> {
    let roi = constant_floats(im, node, 1)?.unwrap_or_default();
    if roi.len() != 2 * count {
        return Err(
            node.malformed(format!("its region has {} numbers for {count} axes", roi.len()))
        );
    }
    Ok((0..count).map(|i| (roi[i], roi[count + i])).collect())
}

/// How `axis`, at `index` of the target, is resampled; `None` where a symbol stays.
fn resize_axis(
    node: &NodeIn,
    shape: &Shape,
    axis: usize,
    target: &Target,
    index: usize,
    region: (f32, f32),
) -> Result<Option<ResizeAxis>> {
    let dim = &shape.dims()[axis];
    let unchanged = match target {
        Target::Scales(scales) => scales[index] == 1.0,
        Target::Sizes(sizes) => sizes[index].is_none(),
        Target::Common(scale) => *scale == 1.0,
    };
    if unchanged && matches!(dim, Dim::Symbol(_)) {
        return Ok(None);
    }
    let size = shape.extent(axis, &node.name)?;
    let (len, scale) = match target {
        Target::Scales(scales) => {
            let scale = scales[index];
            let len = (size as f64 * f64::from(scale) * f64::from(region.1 - region.0)).floor();
            if !(0.0..=MAX_ELEMENTS as f64).contains(&len) {
                return Err(node.malformed(format!("scale {scale} of extent {size}")));
            }
            (len as usize, scale)
        }
        Target::Sizes(sizes) => {
            let len = sizes[index].unwrap_or(size);
            (len, len as f32 / size.max(1) as f32)
        }
        Target::Common(scale) => {
            (((size as f64 * scale + 0.5).floor() as usize).min(MAX_ELEMENTS), *scale as f32)
        }
    };
    Ok(Some(ResizeAxis { axis, len, scale, region }))
}

/// Whether resampling an axis can change anything: at scale 1 every position is an element.
fn changes(shape: &Shape, made: &ResizeAxis, resize: &Resize) -> bool {
    let same = made.scale == 1.0 && shape.dims()[made.axis] == Dim::Fixed(made.len);
    let own_positions = !matches!(
        resize.coordinates,
        Coordinates::CropAndResize | Coordinates::TfHalfPixelForNearest
    );
    !(same && own_positions)
}

/// The numbers at input `index`, known at import; `None` where the input is absent.
fn constant_floats(im: &mut Importer, node: &NodeIn, index: usize) -> Result<Option<Vec<f32>>> {
    let Some(id) = node.optional(im, index)? else { return Ok(None) };
    match im.graph.constant(id).map(Tensor::to_f32) {
        Some(values) => Ok(Some(values)),
        None => Err(node.unsupported(format!("input {index} must be a constant"))),
    }
}
