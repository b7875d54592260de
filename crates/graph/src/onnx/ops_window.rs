//! Convolution and pooling: windows with their padding made explicit.

use super::import::Importer;
use super::node::{Meaning, NodeIn};
use crate::limits::MAX_WINDOW;
use crate::op::{Conv, Hw, Op, Pool, Window};
use crate::{Result, ValueId};

pub(super) fn conv(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let inputs = node.values(im, 3)?;
    let (x, w) = (node.value(im, 0)?, node.value(im, 1)?);
    let size = node.image_size(im, x)?;
    let kernel = match (node.ints("kernel_shape")?, node.image_size(im, w)?) {
        (Some(kernel), _) => pair(node, "kernel_shape", kernel)?,
        (None, [Some(h), Some(w)]) => [h, w],
        (None, _) => return Err(node.unsupported("the weight's kernel extents must be fixed")),
    };
    let groups = node.int("group", 1)?;
    let groups = usize::try_from(groups)
        .map_err(|_| node.malformed(format!("attribute 'group' is {groups}, needs at least 1")))?;
    let window = window(node, kernel, size)?;
    Ok(Meaning::Op(Op::Conv(Conv { window, groups }), inputs))
}

pub(super) fn max_pool(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    // Orders the second output, the indices, which is not computed.
    node.int("storage_order", 0)?;
    let (pool, x) = pool(im, node)?;
    Ok(Meaning::Op(Op::MaxPool(pool), vec![Some(x)]))
}

pub(super) fn average_pool(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    let count_include_pad = node.flag("count_include_pad", false)?;
    let (pool, x) = pool(im, node)?;
    Ok(Meaning::Op(Op::AveragePool(Pool { count_include_pad, ..pool }), vec![Some(x)]))
}

fn pool(im: &mut Importer, node: &mut NodeIn) -> Result<(Pool, ValueId)> {
    node.values(im, 1)?;
    let x = node.value(im, 0)?;
    let size = node.image_size(im, x)?;
    let Some(kernel) = node.ints("kernel_shape")? else {
        return Err(node.malformed("attribute 'kernel_shape' is missing"));
    };
    let kernel = pair(node, "kernel_shape", kernel)?;
    let ceil_mode = node.flag("ceil_mode", false)?;
    let window = window(node, kernel, size)?;
    Ok((Pool { window, ceil_mode, count_include_pad: false }, x))
}

/// The window of a node. `size` are the extents of its input, which automatic padding needs.
fn window(node: &mut NodeIn, kernel: Hw, size: [Option<usize>; 2]) -> Result<Window> {
    let strides = match node.ints("strides")? {
        Some(strides) => pair(node, "strides", strides)?,
        None => [1, 1],
    };
    let dilations = match node.ints("dilations")? {
        Some(dilations) => pair(node, "dilations", dilations)?,
        None => [1, 1],
    };
    let pads = match node.ints("pads")? {
        Some(pads) => {
            let rows = pair(node, "pads", pads.get(..2).unwrap_or_default())?;
            let columns = pair(node, "pads", pads.get(2..).unwrap_or_default())?;
            [rows[0], rows[1], columns[0], columns[1]]
        }
        None => [0; 4],
    };
    let mut window = Window { kernel, strides, dilations, pads };
    match node.string("auto_pad")?.unwrap_or("NOTSET") {
        "NOTSET" | "" => {}
        "VALID" => window.pads = [0; 4],
        "SAME_UPPER" => window.pads = same(node, &window, size, true)?,
        "SAME_LOWER" => window.pads = same(node, &window, size, false)?,
        other => return Err(node.malformed(format!("attribute 'auto_pad' is '{other}'"))),
    }
    Ok(window)
}

/// Padding that makes the output `ceil(size / stride)`; the odd element goes to the end (`upper`)
/// or to the beginning.
fn same(
    node: &NodeIn,
    window: &Window,
    size: [Option<usize>; 2],
    upper: bool,
) -> Result<[usize; 4]> {
    let mut pads = [0; 4];
    for i in 0..2 {
        let Some(size) = size[i] else {
            return Err(node.unsupported("automatic padding needs fixed height and width"));
        };
        let (kernel, stride) = (window.kernel[i], window.strides[i]);
        if kernel == 0 || stride == 0 {
            return Err(node.malformed("kernel extents and strides must be at least 1"));
        }
        let reach = window.dilations[i] * (kernel - 1) + 1;
        let last = size.div_ceil(stride).saturating_sub(1) * stride;
        let total = (last + reach).saturating_sub(size);
        let small = total / 2;
        let (begin, end) = if upper { (small, total - small) } else { (total - small, small) };
        (pads[i], pads[i + 2]) = (begin, end);
    }
    Ok(pads)
}

/// Two spatial numbers within the limits.
fn pair(node: &NodeIn, name: &str, values: &[i64]) -> Result<Hw> {
    match values {
        [h, w] if [h, w].iter().all(|&&v| (0..=MAX_WINDOW as i64).contains(&v)) => {
            Ok([*h as usize, *w as usize])
        }
        [_, _] => Err(node.unsupported(format!(
            "attribute '{name}' has values outside 0 to {MAX_WINDOW}: {values:?}"
        ))),
        _ => Err(node.unsupported(format!(
            "attribute '{name}' has {} numbers for each side; only two spatial dimensions are \
             supported",
            values.len()
        ))),
    }
}
