//! Constants, and operators that leave nothing behind.

use super::Family;
use crate::onnx::import::Importer;
use crate::onnx::node::{Meaning, NodeIn};
use crate::op::Compare;
use crate::{DType, Data, Op, Result, Tensor};

pub(super) const OPERATORS: &Family = &[
    ("Constant", constant),
    ("ConstantOfShape", of_shapes),
    ("Dropout", dropout),
    ("EyeLike", eye_like),
    ("Identity", same),
    ("Range", range),
    ("Shape", of_shapes),
    ("Size", of_shapes),
];

/// What `shapes` evaluates, and did not here.
fn of_shapes(_: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    Err(node.unsupported("its input must be a shape, or integers known at import"))
}

fn same(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    Ok(Meaning::Same(node.value(im, 0)?))
}

/// Inference only: the input, whatever the ratio and seed. Opset 12 made ratio and mode inputs. The
/// mask is true everywhere.
fn dropout(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let mut ratio = node.float("ratio", 0.5)?;
    node.int("seed", 0)?;
    if node.opset < 7 {
        node.flag("is_test", false)?;
    }
    if let Some(id) = node.optional(im, 2)? {
        let training = im.graph.constant(id).map(Tensor::to_f32);
        if node.input(1).is_some() {
            ratio = node.constant_float(im, 1)?.unwrap_or(ratio);
        }
        if training.is_none_or(|t| t.iter().any(|&v| v != 0.0)) && ratio != 0.0 {
            return Err(node.unsupported("its training mode must be the constant false"));
        }
    }
    let x = node.value(im, 0)?;
    if !node.has_output(1) {
        return Ok(Meaning::Same(x));
    }
    // True for every element, and of the input's shape whatever its symbols: a truth equals itself.
    let x_is_nan = im.emit(node, "nan", Op::IsNan, &[Some(x)])?;
    let same = Op::Compare(Compare::Equal);
    let mask = im.emit(node, "mask", same, &[Some(x_is_nan), Some(x_is_nan)])?;
    let dtype = if node.opset < 10 { node.dtype(im, x) } else { DType::Bool };
    Ok(Meaning::Values(vec![x, im.cast(node, mask, dtype)?]))
}

fn constant(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let place = format!("constant of node '{}'", node.name);
    let tensor = node.attributes.tensor("value");
    let tensor = if let Some(proto) = node.attribute(tensor)? {
        im.stored(proto, &place)?
    } else if node.attributes.has("value_float") {
        Tensor::scalar(node.float("value_float", 0.0)?)
    } else if node.attributes.has("value_int") {
        Tensor::new([], vec![node.int("value_int", 0)?])?
    } else if let Some(ints) = node.ints("value_ints")? {
        Tensor::vector(ints.to_vec())
    } else {
        let floats = node.attributes.floats("value_floats");
        match node.attribute(floats)? {
            Some(floats) => Tensor::vector(floats.to_vec()),
            None => return Err(node.unsupported("it must hold a dense tensor of numbers")),
        }
    };
    Ok(Meaning::Constant(tensor))
}

/// Ones on a diagonal of a matrix as large as the input.
fn eye_like(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let (offset, dtype) = (node.int("k", 0)?, node.int("dtype", 0)?);
    let dtype = match dtype {
        0 => node.dtype(im, x),
        kind => node.element_type("dtype", kind)?,
    };
    let Some(&[rows, columns]) = node.shape(im, x).to_fixed().as_deref() else {
        return Err(node.unsupported("its input must be a matrix of fixed extents"));
    };
    im.count_folded(rows.saturating_mul(columns), &node.name)?;
    let mut ones = vec![0i64; rows * columns];
    for row in 0..rows {
        let column = i64::try_from(row).ok().and_then(|row| row.checked_add(offset));
        if let Some(column) = column.and_then(|c| usize::try_from(c).ok()).filter(|&c| c < columns)
        {
            ones[row * columns + column] = 1;
        }
    }
    let ones = im.add_constant(&node.name, Tensor::new([rows, columns], ones)?)?;
    Ok(Meaning::Op(Op::Cast { to: dtype }, vec![Some(ones)]))
}

/// `start, start + delta, ...` up to before `limit`, each computed on its own: of floats in float64.
fn range(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let mut bounds = vec![];
    for index in 0..3 {
        let id = node.value(im, index)?;
        match im.graph.constant(id).filter(|t| t.len() == 1) {
            Some(tensor) => bounds.push(tensor.clone()),
            None => return Err(node.unsupported("its bounds must be constants")),
        }
    }
    let dtype = bounds[0].dtype();
    if bounds.iter().any(|b| b.dtype() != dtype) {
        return Err(node.malformed("its bounds have different types"));
    }
    let count = match dtype {
        DType::F32 => float_steps(&bounds),
        DType::I32 | DType::I64 => integer_steps(&bounds)?,
        other => return Err(node.unsupported(format!("of {other}: float32, int32 and int64 are"))),
    };
    let Some(count) = count else { return Err(node.malformed("its bounds give no end")) };
    im.count_folded(count, &node.name)?;
    let data: Data = match dtype {
        DType::F32 => {
            let [start, _, delta] = floats(&bounds);
            (0..count).map(|i| (start + delta * i as f64) as f32).collect::<Vec<_>>().into()
        }
        _ => {
            let (start, delta) = (bounds[0].to_i64()?[0], bounds[2].to_i64()?[0]);
            // Between `start` and `limit`, so right even where the product alone wraps.
            let values = (0..count as i64).map(|i| start.wrapping_add(delta.wrapping_mul(i)));
            match dtype {
                DType::I32 => values.map(|v| v as i32).collect::<Vec<_>>().into(),
                _ => values.collect::<Vec<_>>().into(),
            }
        }
    };
    Ok(Meaning::Constant(Tensor::new([count], data)?))
}

fn floats(bounds: &[Tensor]) -> [f64; 3] {
    [0, 1, 2].map(|i| f64::from(bounds[i].to_f32()[0]))
}

/// How many numbers there are; `None` where there is no end. A huge number saturates.
fn float_steps(bounds: &[Tensor]) -> Option<usize> {
    let [start, limit, delta] = floats(bounds);
    let count = ((limit - start) / delta).ceil().max(0.0);
    count.is_finite().then_some(count as usize)
}

fn integer_steps(bounds: &[Tensor]) -> Result<Option<usize>> {
    let mut numbers = [0i128; 3];
    for (number, bound) in numbers.iter_mut().zip(bounds) {
        *number = bound.to_i64()?[0].into();
    }
    let [start, limit, delta] = numbers;
    if delta == 0 {
        return Ok(None);
    }
    // Towards positive steps, then rounded up.
    let (way, step) = if delta > 0 { (limit - start, delta) } else { (start - limit, -delta) };
    let count = if way <= 0 { 0 } else { (way - 1) / step + 1 };
    Ok(Some(usize::try_from(count).unwrap_or(usize::MAX)))
}
