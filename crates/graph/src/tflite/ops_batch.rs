//! Products of computed matrices, and blocks of pixels as images of a batch.

use super::node::OpIn;
use super::values::Importer;
use crate::{Cut, Op, PadMode, ReshapeDim, Result, ValueId};

/// `value` with its last two dimensions exchanged.
fn transposed(im: &mut Importer, op: &OpIn, value: ValueId) -> Result<ValueId> {
    let rank = im.rank(value);
    if rank < 2 {
        return Err(op.malformed("needs matrices"));
    }
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(rank - 2, rank - 1);
    im.push(&format!("{}.transposed", op.name), Op::Transpose { perm }, &[value])
}

pub(super) fn batch_mat_mul(im: &mut Importer, op: &OpIn) -> Result<()> {
    let mut inputs = [im.native(op.input(0)?)?, im.native(op.input(1)?)?];
    for (i, input) in inputs.iter_mut().enumerate() {
        if op.flag(i)? {
            *input = transposed(im, op, *input)?;
        }
    }
    let value = im.push(&format!("{}.matmul", op.name), Op::MatMul, &inputs)?;
    im.set_native(op, op.output(0)?, value)
}

/// The block and the two pairs of numbers of SPACE_TO_BATCH_ND and its inverse, over height and
/// width.
fn block(im: &mut Importer, op: &OpIn, x: ValueId) -> Result<([usize; 2], [usize; 4])> {
    let (block, pairs) = (im.ints(op, 1)?, im.ints(op, 2)?);
    if im.rank(x) != 4 || block.len() != 2 || pairs.len() != 4 {
        return Err(op.unsupported("only height and width of images are supported"));
    }
    let counts = |values: &[i64]| -> Option<Vec<usize>> {
        values.iter().map(|&v| usize::try_from(v).ok()).collect()
    };
    match (counts(&block), counts(&pairs)) {
        (Some(block), Some(p)) if block.iter().all(|&b| b > 0) => {
            Ok(([block[0], block[1]], [p[0], p[1], p[2], p[3]]))
        }
        _ => Err(op.malformed(format!("its block is {block:?}, its pairs {pairs:?}"))),
    }
}

fn reshape(im: &mut Importer, op: &OpIn, x: ValueId, dims: &[usize], at: usize) -> Result<ValueId> {
    let rule = |(i, &n): (usize, &usize)| match i == at {
        true => ReshapeDim::Infer,
        false => ReshapeDim::Fixed(n),
    };
    let dims = dims.iter().enumerate().map(rule).collect();
    im.push(&format!("{}.blocks", op.name), Op::Reshape { dims }, &[x])
}

/// Each position in the block becomes an image of its own, the batch changing fastest.
pub(super) fn space_to_batch(im: &mut Importer, op: &OpIn) -> Result<()> {
    let mut x = im.operand(op.input(0)?)?;
    let ([bh, bw], [top, bottom, left, right]) = block(im, op, x)?;
    let (before, after) = (vec![0, 0, top, left], vec![0, 0, bottom, right]);
    let pad = Op::Pad { before, after, mode: PadMode::Constant(0.0) };
    x = im.push(&format!("{}.pad", op.name), pad, &[x])?;
    let extent = |im: &Importer, i| im.graph.value(x).shape.extent(i, &op.name);
    let (c, h, w) = (extent(im, 1)?, extent(im, 2)?, extent(im, 3)?);
    if h % bh != 0 || w % bw != 0 {
        return Err(op.malformed(format!("blocks of {bh}x{bw} do not divide {h}x{w}")));
    }
    let x = reshape(im, op, x, &[0, c, h / bh, bh, w / bw, bw], 0)?;
    let perm = vec![3, 5, 0, 1, 2, 4];
    let x = im.push(&format!("{}.moved", op.name), Op::Transpose { perm }, &[x])?;
    let x = reshape(im, op, x, &[0, c, h / bh, w / bw], 0)?;
    im.set(op, op.output(0)?, x)
}

/// The inverse of [`space_to_batch`]; the pairs are cut off.
pub(super) fn batch_to_space(im: &mut Importer, op: &OpIn) -> Result<()> {
    let x = im.operand(op.input(0)?)?;
    let ([bh, bw], [top, bottom, left, right]) = block(im, op, x)?;
    let extent = |i| im.graph.value(x).shape.extent(i, &op.name);
    let (c, h, w) = (extent(1)?, extent(2)?, extent(3)?);
    let x = reshape(im, op, x, &[bh, bw, 0, c, h, w], 2)?;
    let perm = vec![2, 3, 4, 0, 5, 1];
    let x = im.push(&format!("{}.moved", op.name), Op::Transpose { perm }, &[x])?;
    let (h, w) = (h.saturating_mul(bh), w.saturating_mul(bw));
    let x = reshape(im, op, x, &[0, c, h, w], 0)?;
    let len = |whole: usize, before: usize, after: usize| {
        let kept = whole.checked_sub(before).and_then(|n| n.checked_sub(after));
        kept.ok_or_else(|| op.malformed("cuts more than there is"))
    };
    let cuts = vec![
        Cut { axis: 2, start: top, len: len(h, top, bottom)?, step: 1 },
        Cut { axis: 3, start: left, len: len(w, left, right)?, step: 1 },
    ];
    let x = im.push(&format!("{}.slice", op.name), Op::Slice { cuts }, &[x])?;
    im.set(op, op.output(0)?, x)
}
