//! A narrow place, put into a network to be trained: the device makes a few small integers, the server
//! goes on from what a decoder makes of them.
//!
//! ```text
//! image ─ encoder ─ codes ═ QuantizeLinear ══ link ══ DequantizeLinear ─ decoder ─ the network's rest
//! ```
//!
//! The decoder takes the place of the network's value at a cut, so that everything before it is gone;
//! trained to imitate that value and the network's answers (Matsubara et al., arXiv:2203.08875), with a
//! price on the entropy of the codes, it is a codec that knows what the answer needs. The result is an
//! ordinary graph: cut at the codes by [`Halves`](crate::Halves), integers cross, and
//! [`codec`](crate::codec) writes them without loss.

use edgecut_graph::{
    Builder, DType, Data, Graph, Op, Result as GraphResult, Tensor, Unary, ValueId, Window,
};

use crate::{CollabError, Result, graft};

/// The codes before they are rounded: whole numbers are one apart.
pub const CODES: &str = "bottleneck.codes";

/// The codes as integers.
pub const INTEGERS: &str = "bottleneck.integers";

/// What the decoder makes of them, in place of the value at the cut.
pub const DECODED: &str = "bottleneck.decoded";

/// What the names of all new nodes and constants begin with.
pub const PREFIX: &str = "bottleneck.";

/// What the names of the device's part begin with.
const ENCODER: &str = "bottleneck.encoder.";

/// Widths of encoders that are tried: multiples of this.
const WIDTH_STEP: usize = 4;

/// The widest encoder.
const MAX_WIDTH: usize = 128;

/// Size of a narrow place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bottleneck {
    /// Channels of the codes.
    pub channels: usize,
    /// Pixels of the image for each of the codes' in height and width: 2, 4, 8 or 16.
    pub stride: usize,
    /// Channels of the encoder's first half; twice as many in the second.
    pub encoder: usize,
    /// Channels of the decoder.
    pub decoder: usize,
}

/// Values that everything passes through: images `[n, c, h, w]` between input and output, in order.
pub fn cuts(graph: &Graph) -> Vec<ValueId> {
    let mut last = vec![0; graph.values().len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        node.inputs.iter().flatten().for_each(|id| last[id.index()] = index);
    }
    graph.outputs.iter().for_each(|id| last[id.index()] = graph.nodes.len());
    let mut varies = vec![false; graph.values().len()];
    let mut live: Vec<ValueId> = graph.inputs.clone();
    live.iter().for_each(|id| varies[id.index()] = true);
    let mut found = vec![];
    for (index, node) in graph.nodes.iter().enumerate() {
        if !node.inputs.iter().flatten().any(|id| varies[id.index()]) {
            continue;
        }
        node.outputs.iter().for_each(|id| varies[id.index()] = true);
        live.extend(&node.outputs);
        live.retain(|id| last[id.index()] > index);
        if let [only] = live[..]
            && graph.value(only).shape.rank() == 4
            && graph.value(only).dtype == DType::F32
            && !graph.is_output(only)
        {
            found.push(only);
        }
    }
    found
}

/// The narrowest encoder's size, made as wide as a share of the multiply-adds of `graph` allows.
///
/// # Errors
/// Where not even the narrowest is that cheap, and as [`insert`].
pub fn widest(graph: &Graph, at: ValueId, size: Bottleneck, share: f64) -> Result<Bottleneck> {
    let whole = edgecut_graph::cost::cost(graph, 1)?.macs;
    let mut fits = None;
    for encoder in (WIDTH_STEP..=MAX_WIDTH).step_by(WIDTH_STEP) {
        let size = Bottleneck { encoder, ..size };
        if encoder_macs(&insert(graph, at, size, 0)?)? as f64 > share * whole as f64 {
            break;
        }
        fits = Some(size);
    }
    fits.ok_or_else(|| {
        CollabError::Problem(format!("no encoder takes as little as {share} of the multiply-adds"))
    })
}

/// The nodes of the device: what the integers depend on. None where `graph` has no narrow place.
pub fn device(graph: &Graph) -> Option<Vec<bool>> {
    let integers = graph.find_value(INTEGERS)?;
    let mut needed = vec![false; graph.values().len()];
    needed[integers.index()] = true;
    let mut here = vec![false; graph.nodes.len()];
    for (node, here) in graph.nodes.iter().zip(&mut here).rev() {
        *here = node.outputs.iter().any(|id| needed[id.index()]);
        if *here {
            node.inputs.iter().flatten().for_each(|id| needed[id.index()] = true);
        }
    }
    Some(here)
}

/// Multiply-adds of the device's part of a graph with a narrow place.
///
/// # Errors
/// As [`cost`](edgecut_graph::cost::cost).
pub fn encoder_macs(graph: &Graph) -> Result<u64> {
    let cost = edgecut_graph::cost::cost(graph, 1)?;
    let own = cost.nodes.iter().filter(|node| node.name.starts_with(ENCODER));
    Ok(own.map(|node| node.macs).sum())
}

/// `graph` with a narrow place of this `size` instead of everything before the value `at`, its weights
/// drawn by `seed`.
///
/// # Errors
/// Where `at` is none of [`cuts`], the image is not a multiple of the stride, or the codes would be
/// larger than the value in height and width.
pub fn insert(graph: &Graph, at: ValueId, size: Bottleneck, seed: u64) -> Result<Graph> {
    let name = &graph.value(at).name;
    let fail = |problem: String| Err(CollabError::Problem(format!("bottleneck: {problem}")));
    let (&[image], true) = (&graph.inputs[..], cuts(graph).contains(&at)) else {
        return fail(format!("not everything passes through '{name}', or it is no image"));
    };
    if !size.stride.is_power_of_two() || !(2..=16).contains(&size.stride) {
        return fail(format!("a stride of {}, must be 2, 4, 8 or 16", size.stride));
    }
    if graph.values().iter().any(|value| value.name.starts_with(PREFIX)) {
        return fail("the graph has one already".into());
    }
    let extents = |id: ValueId| graph.value(id).shape.with_symbols(1);
    let &[_, _, h, w] = &extents(image)[..] else { return fail("the input is no image".into()) };
    let &[_, channels, rows, columns] = &extents(at)[..] else {
        return fail(format!("'{name}' is no image"));
    };
    let grid = [h / size.stride, w / size.stride];
    if grid.map(|side| side * size.stride) != [h, w] {
        return fail(format!(
            "an image of {h}x{w} has no whole number of strides of {}",
            size.stride
        ));
    }
    let growth = rows / grid[0].max(1);
    if !growth.is_power_of_two() || grid.map(|side| side * growth) != [rows, columns] {
        let [y, x] = grid;
        return fail(format!(
            "codes of {y}x{x} do not grow to {rows}x{columns}, those of '{name}'"
        ));
    }
    let producer = graph.producers()[at.index()].map(|node| &graph.nodes[node].op);
    let clamps = matches!(producer, Some(Op::Unary(Unary::Relu)));
    let mut narrow = graph.clone();
    let extents = [graph.value(image).shape.extent(1, name)?, h, w];
    let encoder = part(seed, extents, |b, image| encoder(b, image, size))?;
    let codes = graft::append(&mut narrow, &encoder, image)?;
    narrow.value_mut(codes).name = CODES.into();
    let received = link(&mut narrow, codes)?;
    let extents = [size.channels, grid[0], grid[1]];
    let grown = [size.decoder, channels, growth];
    let decoder = part(seed, extents, |b, codes| decoder(b, codes, grown, clamps))?;
    let decoded = graft::append(&mut narrow, &decoder, received)?;
    narrow.value_mut(decoded).name = DECODED.into();
    narrow.replace_uses(at, decoded);
    narrow.name = format!("{} (bottleneck)", graph.name);
    narrow.sort()?;
    narrow.remove_unused();
    narrow.validate()?;
    Ok(narrow)
}

/// A graph from one image to one value.
fn part(
    seed: u64,
    [c, h, w]: [usize; 3],
    build: impl FnOnce(&mut Builder, ValueId) -> GraphResult<ValueId>,
) -> GraphResult<Graph> {
    let mut b = Builder::new("part", seed);
    let x = b.input("bottleneck.input", ["n".into(), c.into(), h.into(), w.into()]);
    let y = build(&mut b, x)?;
    b.finish(&[y])
}

/// Convolutions that halve the image until it has the codes' size, with one more behind the first.
fn encoder(b: &mut Builder, image: ValueId, size: Bottleneck) -> GraphResult<ValueId> {
    let mut x = image;
    for step in 0..size.stride.trailing_zeros() {
        let maps = if step == 0 { size.encoder } else { 2 * size.encoder };
        x = layer(b, x, &format!("{ENCODER}{step}"), maps, 2)?;
        if step == 0 {
            x = layer(b, x, &format!("{ENCODER}deeper"), maps, 1)?;
        }
    }
    let window = Window::same(3, 1);
    b.conv(x, &format!("{ENCODER}last"), size.channels, window, 1, true)
}

/// What rounds the codes, and what the server reads.
fn link(graph: &mut Graph, codes: ValueId) -> GraphResult<ValueId> {
    let scale = Some(graph.add_constant(format!("{PREFIX}step"), Tensor::scalar(1f32)));
    let zero = Tensor::new(vec![], Data::from(vec![0i8]))?;
    let zero = Some(graph.add_constant(format!("{PREFIX}zero"), zero));
    let (quantize, dequantize) = (Op::Quantize { axis: 1 }, Op::Dequantize { axis: 1 });
    let integers =
        graph.add_node(format!("{PREFIX}quantize"), quantize, &[Some(codes), scale, zero])?;
    graph.value_mut(integers).name = INTEGERS.into();
    graph.add_node(format!("{PREFIX}dequantize"), dequantize, &[Some(integers), scale, zero])
}

/// Convolutions and enlargements to the value's size, and a residual block there.
fn decoder(
    b: &mut Builder,
    codes: ValueId,
    [width, channels, growth]: [usize; 3],
    clamps: bool,
) -> GraphResult<ValueId> {
    let name = |part: &str| format!("{PREFIX}decoder.{part}");
    let mut x = layer(b, codes, &name("first"), width, 1)?;
    for step in 0..growth.trailing_zeros() {
        x = b.upsample_nearest(x, 2)?;
        x = layer(b, x, &name(&step.to_string()), width, 1)?;
    }
    let y = layer(b, x, &name("residual.0"), width, 1)?;
    let y = b.conv(y, &name("residual.1"), width, Window::same(3, 1), 1, false)?;
    let y = b.batch_norm(y, &name("residual.1.norm"))?;
    let x = b.add(x, y)?;
    let x = b.relu(x)?;
    let x = b.conv(x, &name("last"), channels, Window::same(1, 1), 1, true)?;
    if clamps { b.relu(x) } else { Ok(x) }
}

/// A 3x3 convolution with BatchNorm and ReLU.
fn layer(
    b: &mut Builder,
    x: ValueId,
    name: &str,
    maps: usize,
    stride: usize,
) -> GraphResult<ValueId> {
    let x = b.conv(x, name, maps, Window::same(3, stride), 1, false)?;
    let x = b.batch_norm(x, &format!("{name}.norm"))?;
    b.relu(x)
}
