//! Convolutions, and the windows of convolutions and pools with their padding made explicit.
//!
//! Lines `[n, c, w]` are images of one row: `[n, c, 1, w]`.

use super::Family;
use crate::limits::MAX_WINDOW;
use crate::onnx::import::Importer;
use crate::onnx::node::{Meaning, NodeIn};
use crate::op::{Conv, ConvTranspose, Hw, Op, Window};
use crate::{Dim, Result, ValueId};

pub(super) const OPERATORS: &Family = &[("Conv", conv), ("ConvTranspose", conv_transpose)];

/// An image, or a line as an image.
pub(super) struct Image {
    pub id: ValueId,
    /// Whether it was a line.
    pub line: bool,
    /// Height and width, where they are known.
    pub size: [Option<usize>; 2],
}

impl Image {
    pub fn of(im: &mut Importer, node: &NodeIn, x: ValueId) -> Result<Image> {
        let (id, line) = match node.shape(im, x).rank() {
            4 => (x, false),
            3 => (im.emit(node, "image", Op::Unsqueeze { axes: vec![2] }, &[Some(x)])?, true),
            rank => {
                return Err(node.unsupported(format!(
                    "its input has {rank} dimensions: [n, c, w] and [n, c, h, w] are supported"
                )));
            }
        };
        let dims = &im.graph.value(id).shape.dims()[2..];
        let size = [Dim::fixed(&dims[0]), Dim::fixed(&dims[1])];
        Ok(Image { id, line, size })
    }

    /// `op`, whose result is a line where this was one.
    pub fn apply(
        &self,
        im: &mut Importer,
        node: &NodeIn,
        op: Op,
        inputs: Vec<Option<ValueId>>,
    ) -> Result<Meaning> {
        if !self.line {
            return Ok(Meaning::Op(op, inputs));
        }
        let image = im.emit(node, "row", op, &inputs)?;
        Ok(Meaning::Op(Op::Squeeze { axes: vec![2] }, vec![Some(image)]))
    }

    /// Two spatial numbers within the limits; of a line the row has `row`.
    pub fn pair(&self, node: &NodeIn, name: &str, values: &[i64], row: usize) -> Result<Hw> {
        if values.iter().any(|v| !(0..=MAX_WINDOW as i64).contains(v)) {
            return Err(node.unsupported(format!(
                "attribute '{name}' has values outside 0 to {MAX_WINDOW}: {values:?}"
            )));
        }
        match (values, self.line) {
            ([w], true) => Ok([row, *w as usize]),
            ([h, w], false) => Ok([*h as usize, *w as usize]),
            _ => Err(node.malformed(format!(
                "attribute '{name}' has {} numbers for each side, its input {} spatial dimensions",
                values.len(),
                if self.line { 1 } else { 2 }
            ))),
        }
    }

    /// The window of a node, padded as it says.
    pub fn window(&self, node: &mut NodeIn, kernel: Hw) -> Result<Window> {
        let mut window = self.steps(node, kernel)?;
        match node.string("auto_pad")?.unwrap_or("NOTSET") {
            "NOTSET" | "" => {}
            "VALID" => window.pads = [0; 4],
            "SAME_UPPER" => window.pads = self.same(node, &window, true)?,
            "SAME_LOWER" => window.pads = self.same(node, &window, false)?,
            other => return Err(node.malformed(format!("attribute 'auto_pad' is '{other}'"))),
        }
        Ok(window)
    }

    /// The window of a node with its explicit pads.
    fn steps(&self, node: &mut NodeIn, kernel: Hw) -> Result<Window> {
        let strides = node.ints("strides")?;
        let strides = strides.map_or(Ok([1; 2]), |v| self.pair(node, "strides", v, 1))?;
        let dilations = node.ints("dilations")?;
        let dilations = dilations.map_or(Ok([1; 2]), |v| self.pair(node, "dilations", v, 1))?;
        let pads = match node.ints("pads")? {
            Some(pads) => {
                let (before, after) = pads.split_at(pads.len() / 2);
                let before = self.pair(node, "pads", before, 0)?;
                let after = self.pair(node, "pads", after, 0)?;
                [before[0], before[1], after[0], after[1]]
            }
            None => [0; 4],
        };
        Ok(Window { kernel, strides, dilations, pads })
    }

    /// Padding that makes the output `ceil(size / stride)`; the odd element goes to the end
    /// (`upper`) or to the beginning.
    fn same(&self, node: &NodeIn, window: &Window, upper: bool) -> Result<[usize; 4]> {
        let mut pads = [0; 4];
        for i in 0..2 {
            let Some(size) = self.size[i] else {
                return Err(node.unsupported("automatic padding needs fixed height and width"));
            };
            let (kernel, stride) = (window.kernel[i], window.strides[i]);
            if kernel == 0 || stride == 0 {
                return Err(node.malformed("kernel extents and strides must be at least 1"));
            }
            let reach = window.dilations[i] * (kernel - 1) + 1;
            let last = size.div_ceil(stride).saturating_sub(1) * stride;
            let total = (last + reach).saturating_sub(size);
            (pads[i], pads[i + 2]) = halves(total, upper);
        }
        Ok(pads)
    }
}

/// Half of `total` at each side; the odd one at the end (`upper`) or at the beginning.
fn halves(total: usize, upper: bool) -> (usize, usize) {
    let small = total / 2;
    if upper { (small, total - small) } else { (total - small, small) }
}

/// A convolution that is not applied yet.
pub(super) struct Convolution {
    pub image: Image,
    pub weight: ValueId,
    pub conv: Conv,
}

/// Reads the attributes of a convolution of `x` with `weight`.
pub(super) fn convolution(
    im: &mut Importer,
    node: &mut NodeIn,
    x: ValueId,
    weight: ValueId,
) -> Result<Convolution> {
    let image = Image::of(im, node, x)?;
    let (weight, kernel) = kernel(im, node, &image, weight)?;
    let groups = node.count("group", 1)?;
    let window = image.window(node, kernel)?;
    Ok(Convolution { image, weight, conv: Conv { window, groups } })
}

/// The weight of an image like `image`, and its extents, which the node may repeat.
fn kernel(
    im: &mut Importer,
    node: &mut NodeIn,
    image: &Image,
    weight: ValueId,
) -> Result<(ValueId, Hw)> {
    let weight = Image::of(im, node, weight)?;
    if weight.line != image.line {
        return Err(node.malformed("weight and input have different numbers of dimensions"));
    }
    let kernel = match (node.ints("kernel_shape")?, weight.size) {
        (Some(kernel), _) => image.pair(node, "kernel_shape", kernel, 1)?,
        (None, [Some(h), Some(w)]) => [h, w],
        (None, _) => return Err(node.unsupported("the weight's kernel extents must be fixed")),
    };
    Ok((weight.id, kernel))
}

fn conv(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    node.values(im, 3)?;
    let (x, w) = (node.value(im, 0)?, node.value(im, 1)?);
    let bias = node.optional(im, 2)?;
    let Convolution { image, weight, conv } = convolution(im, node, x, w)?;
    image.apply(im, node, Op::Conv(conv), vec![Some(image.id), Some(weight), bias])
}

fn conv_transpose(im: &mut Importer, node: &mut NodeIn) -> Result<Meaning> {
    node.values(im, 3)?;
    let (x, w) = (node.value(im, 0)?, node.value(im, 1)?);
    let bias = node.optional(im, 2)?;
    let image = Image::of(im, node, x)?;
    let (weight, kernel) = kernel(im, node, &image, w)?;
    let groups = node.count("group", 1)?;
    let mut window = image.steps(node, kernel)?;
    let padding = node.ints("output_padding")?;
    let mut output_padding =
        padding.map_or(Ok([0; 2]), |v| image.pair(node, "output_padding", v, 0))?;
    let shape = node.ints("output_shape")?;
    let auto_pad = node.string("auto_pad")?.unwrap_or("NOTSET");
    let upper = auto_pad == "SAME_UPPER";
    let wanted = match (shape, auto_pad) {
        (Some(shape), _) => Some(image.pair(node, "output_shape", spatial(shape, &image), 1)?),
        (None, "NOTSET" | "") => None,
        (None, "VALID") => {
            window.pads = [0; 4];
            None
        }
        (None, "SAME_UPPER" | "SAME_LOWER") => {
            let size = known_size(node, &image)?;
            Some([0, 1].map(|i| size[i].saturating_mul(window.strides[i])))
        }
        (None, other) => {
            return Err(node.malformed(format!("attribute 'auto_pad' is '{other}'")));
        }
    };
    if let Some(wanted) = wanted {
        let size = known_size(node, &image)?;
        for i in 0..2 {
            let reach = window.dilations[i] * window.kernel[i].saturating_sub(1) + 1;
            let whole = size[i].saturating_sub(1) * window.strides[i] + output_padding[i] + reach;
            (window.pads[i], window.pads[i + 2]) = halves(whole.saturating_sub(wanted[i]), upper);
            // What the windows do not reach is added at the end.
            output_padding[i] += wanted[i].saturating_sub(whole);
        }
    }
    let op = Op::ConvTranspose(ConvTranspose { window, groups, output_padding });
    image.apply(im, node, op, vec![Some(image.id), Some(weight), bias])
}

/// The spatial extents of an output shape, which may begin with batch and channels.
fn spatial<'a>(shape: &'a [i64], image: &Image) -> &'a [i64] {
    let count = if image.line { 1 } else { 2 };
    if shape.len() == count + 2 { &shape[2..] } else { shape }
}

fn known_size(node: &NodeIn, image: &Image) -> Result<Hw> {
    match image.size {
        [Some(h), Some(w)] => Ok([h, w]),
        _ => Err(node.unsupported("a given output extent needs fixed height and width")),
    }
}
