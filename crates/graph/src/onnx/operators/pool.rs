//! Pools.

use super::Family;
use super::window::Image;
use crate::onnx::import::Importer;
use crate::onnx::node::{Meaning, NodeIn};
use crate::op::{Binary, Op, Pool, Reduction, Unary};
use crate::{Result, ValueId};

pub(super) const OPERATORS: &Family = &[
    ("AveragePool", average_pool),
    ("GlobalAveragePool", global_average_pool),
    ("GlobalLpPool", global_lp_pool),
    ("GlobalMaxPool", global_max_pool),
    ("LpPool", lp_pool),
    ("MaxPool", max_pool),
];

fn max_pool(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    // Orders the second output, the indices, which is not computed.
    node.int("storage_order", 0)?;
    let x = node.value(im, 0)?;
    let (image, pool) = pool(im, node, x)?;
    image.apply(im, node, Op::MaxPool(pool), vec![Some(image.id)])
}

fn average_pool(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let (image, op) = average(im, node, x)?;
    image.apply(im, node, op, vec![Some(image.id)])
}

/// Reads the attributes of an average pool of `x`.
pub(super) fn average(im: &mut Importer, node: &mut NodeIn, x: ValueId) -> Result<(Image, Op)> {
    let count_include_pad = node.flag("count_include_pad", false)?;
    let (image, pool) = pool(im, node, x)?;
    Ok((image, Op::AveragePool(Pool { count_include_pad, ..pool })))
}

fn lp_pool(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let p = node.count("p", 2)?;
    let x = node.value(im, 0)?;
    let (image, pool) = pool(im, node, x)?;
    image.apply(im, node, Op::LpPool { pool, p }, vec![Some(image.id)])
}

fn pool(im: &mut Importer, node: &mut NodeIn, x: ValueId) -> Result<(Image, Pool)> {
    let image = Image::of(im, node, x)?;
    let Some(kernel) = node.ints("kernel_shape")? else {
        return Err(node.malformed("attribute 'kernel_shape' is missing"));
    };
    let kernel = image.pair(node, "kernel_shape", kernel, 1)?;
    let ceil_mode = node.flag("ceil_mode", false)?;
    let window = image.window(node, kernel)?;
    Ok((image, Pool { window, ceil_mode, count_include_pad: false }))
}

/// All dimensions behind the channels.
fn spatial(im: &Importer, node: &NodeIn, x: ValueId) -> Result<Vec<usize>> {
    match node.shape(im, x).rank() {
        rank @ 3.. => Ok((2..rank).collect()),
        rank => Err(node.malformed(format!("its input has {rank} dimensions, needs at least 3"))),
    }
}

fn global_average_pool(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let op = global_average(im, node, x)?;
    Ok(Meaning::Op(op, vec![Some(x)]))
}

/// The mean of `x` over space.
pub(super) fn global_average(im: &mut Importer, node: &NodeIn, x: ValueId) -> Result<Op> {
    let axes = spatial(im, node, x)?;
    Ok(match axes.len() {
        2 => Op::GlobalAveragePool,
        _ => Op::Reduce { kind: Reduction::Mean, axes, keep_dims: true },
    })
}

fn global_max_pool(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let axes = spatial(im, node, x)?;
    let op = Op::Reduce { kind: Reduction::Max, axes, keep_dims: true };
    Ok(Meaning::Op(op, vec![Some(x)]))
}

/// The p-th root of the sum of p-th powers of magnitudes.
fn global_lp_pool(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let x = node.value(im, 0)?;
    let axes = spatial(im, node, x)?;
    let p = node.count("p", 2)?;
    let kind = match p {
        0 => return Err(node.malformed("attribute 'p' is 0, needs at least 1")),
        1 => Reduction::L1,
        2 => Reduction::L2,
        _ => Reduction::Sum,
    };
    if p <= 2 {
        return Ok(Meaning::Op(Op::Reduce { kind, axes, keep_dims: true }, vec![Some(x)]));
    }
    let magnitude = im.unary(node, Unary::Abs, x)?;
    let (power, root) = (im.scalar(node, p as f32)?, im.scalar(node, 1.0 / p as f32)?);
    let powers = im.binary(node, Binary::Pow, magnitude, power)?;
    let sum = im.reduce(node, kind, powers, &axes)?;
    Ok(Meaning::Op(Op::Binary(Binary::Pow), vec![Some(sum), Some(root)]))
}
