//! Which positions of which images learning looks at.

use std::ops::Range;

use edgecut_graph::{Binary, Graph, Node, Op, ValueId};

use crate::Result;
use crate::probe::Probe;

/// Output positions of a layer that are taken from all images together.
const ROWS: usize = 8192;
/// Floats that the sampled inputs of one layer may take.
const INPUT_FLOATS: usize = 24 << 20;
/// Floats that the sampled outputs of layers that are looked at together may take.
const TARGET_FLOATS: usize = 48 << 20;

/// Sampled rows of a matrix.
pub(super) struct Rows {
    pub values: Vec<f32>,
    /// Elements of a row.
    pub width: usize,
}

impl Rows {
    /// Row by row.
    pub fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.width.max(1))
    }

    /// The `columns` less their means, which come with them.
    pub fn centred(&self, columns: Range<usize>) -> (Vec<f32>, Vec<f64>) {
        let mut mean = vec![0f64; columns.len()];
        for row in self.rows() {
            let row = &row[columns.clone()];
            mean.iter_mut().zip(row).for_each(|(sum, &v)| *sum += f64::from(v));
        }
        let count = self.rows().count().max(1) as f64;
        mean.iter_mut().for_each(|sum| *sum /= count);
        let values = self.rows().flat_map(|row| row[columns.clone()].iter().zip(&mean));
        (values.map(|(&v, m)| (f64::from(v) - m) as f32).collect(), mean)
    }
}

/// A layer whose output positions are sampled.
pub(super) struct Place<'a> {
    pub node: &'a Node,
    /// What is added to the layer's result, where it is known before the layer is.
    residual: Option<Residual<'a>>,
    /// Positions taken from each image, at most.
    per_image: usize,
    channels: usize,
    /// Its number, which decides where positions lie.
    index: usize,
}

/// The sum that a layer's result goes into.
struct Residual<'a> {
    add: &'a Node,
    /// Which operand of the sum is not the layer's.
    other: usize,
}

impl<'a> Place<'a> {
    /// The layers `nodes` of `graph`, each of as many products an output as `k` says.
    pub fn all(
        graph: &'a Graph,
        nodes: &[&'a Node],
        k: &dyn Fn(&Node) -> Result<usize>,
        probe: Probe,
    ) -> Result<Vec<Place<'a>>> {
        let images = probe.images.len().max(1);
        let place = |(index, &node): (usize, &&'a Node)| {
            let rows = ROWS.min(INPUT_FLOATS / k(node)?.max(1));
            Ok(Place {
                node,
                residual: Residual::behind(graph, node),
                per_image: rows.div_ceil(images),
                channels: graph.value(node.output()).shape.with_symbols(1)[1],
                index,
            })
        };
        nodes.iter().enumerate().map(place).collect()
    }

    /// How many of the first `places` are looked at together.
    pub fn together(places: &[Place], probe: Probe) -> usize {
        let mut floats = 0;
        let fits = |place: &&Place| {
            floats += place.per_image * probe.images.len() * place.channels;
            floats <= TARGET_FLOATS
        };
        places.iter().take_while(fits).count().clamp(1, places.len())
    }

    /// What the float graph computes here: the layer's result, or the sum that it goes into.
    fn target(&self) -> ValueId {
        self.residual.as_ref().map_or(self.node, |residual| residual.add).output()
    }

    /// The rest of the sum in the quantised graph.
    fn rest(&self, quantised: &Graph) -> Option<ValueId> {
        let residual = self.residual.as_ref()?;
        let node = quantised.nodes.iter().find(|node| node.name == residual.add.name)?;
        node.input(residual.other).ok()
    }

    /// Positions of image `image` among `pixels` output pixels, the same whenever asked.
    fn positions(&self, image: usize, pixels: usize) -> impl Iterator<Item = usize> {
        let count = self.per_image.min(pixels);
        // Evenly spread, from an offset that differs from image to image and layer to layer.
        let offset = (image * 7919 + self.index * 104_729) % pixels.max(1);
        (0..count).map(move |i| (offset + i * pixels / count) % pixels)
    }

    /// Appends the channels of `elements` at the sampled positions.
    fn sample(&self, image: usize, elements: &[f32], rows: &mut Rows) {
        let pixels = elements.len() / rows.width.max(1);
        for pixel in self.positions(image, pixels) {
            rows.values.extend((0..rows.width).map(|c| elements[c * pixels + pixel]));
        }
    }
}

impl<'a> Residual<'a> {
    /// The sum behind `node`, if nothing else reads the result and the other operand comes before.
    fn behind(graph: &'a Graph, node: &Node) -> Option<Residual<'a>> {
        let y = node.output();
        let mut readers = graph.nodes.iter().filter(|n| n.inputs.contains(&Some(y)));
        let add = readers.next().filter(|n| n.op == Op::Binary(Binary::Add))?;
        let [a, b] = [add.input(0).ok()?, add.input(1).ok()?];
        let (x, other) = if a == y { (b, 1) } else { (a, 0) };
        let place = |id: ValueId| graph.nodes.iter().position(|n| n.outputs.contains(&id));
        let before = graph.constant(x).is_none()
            && graph.value(x).shape == graph.value(y).shape
            && place(x).is_some_and(|x| Some(x) < place(y));
        (before && readers.next().is_none() && !graph.is_output(y))
            .then_some(Residual { add, other })
    }
}

/// What the results at `places` should be, in float.
pub(super) fn targets(graph: &Graph, places: &[Place], probe: Probe) -> Result<Vec<Rows>> {
    let values: Vec<ValueId> = places.iter().map(Place::target).collect();
    let mut targets: Vec<Rows> =
        places.iter().map(|place| Rows { values: vec![], width: place.channels }).collect();
    probe.run(graph, &values, &mut |image, position, elements| {
        places[position].sample(image, elements, &mut targets[position]);
        Ok(())
    })?;
    Ok(targets)
}

/// What the layer at `place` reads as `x` in `quantised`: input channel by input channel, tap by
/// tap. What is added to its result there is taken off `target`: so the layer makes up for the
/// error of the other branch as well as its own.
pub(super) fn inputs(
    quantised: &Graph,
    x: ValueId,
    place: &Place,
    target: &mut Rows,
    probe: Probe,
) -> Result<Rows> {
    let shape = quantised.value(x).shape.with_symbols(1);
    let mut rows = Rows { values: vec![], width: 0 };
    let mut rest = Rows { values: vec![], width: place.channels };
    let other = place.rest(quantised);
    let values: Vec<ValueId> = std::iter::once(x).chain(other.filter(|&id| id != x)).collect();
    probe.run(quantised, &values, &mut |image, position, elements| {
        if Some(values[position]) == other {
            place.sample(image, elements, &mut rest);
        }
        if position == 1 {
            return Ok(());
        }
        match window(place.node) {
            Some(window) => {
                let [h, w] = [shape[2], shape[3]];
                let extent = |d: usize, size: usize| {
                    let span = window.dilations[d] * (window.kernel[d] - 1) + 1;
                    (size + window.pads[d] + window.pads[d + 2] - span) / window.strides[d] + 1
                };
                let (oh, ow) = (extent(0, h), extent(1, w));
                for pixel in place.positions(image, oh * ow) {
                    patch(elements, [h, w], &window, [pixel / ow, pixel % ow], &mut rows.values);
                }
                rows.width = elements.len() / (h * w) * window.kernel[0] * window.kernel[1];
            }
            None => {
                rows.values.extend_from_slice(elements);
                rows.width = elements.len();
            }
        }
        Ok(())
    })?;
    target.values.iter_mut().zip(&rest.values).for_each(|(t, r)| *t -= r);
    Ok(rows)
}

/// The node's window, for what reads pixels.
fn window(node: &Node) -> Option<edgecut_graph::Window> {
    match &node.op {
        Op::Conv(conv) => Some(conv.window),
        _ => None,
    }
}

/// Appends the input pixels that the output pixel at `[y, x]` meets; 0 in the padding.
fn patch(
    image: &[f32],
    [h, w]: [usize; 2],
    window: &edgecut_graph::Window,
    [y, x]: [usize; 2],
    out: &mut Vec<f32>,
) {
    for plane in image.chunks_exact(h * w) {
        for ky in 0..window.kernel[0] {
            let row =
                (y * window.strides[0] + ky * window.dilations[0]).wrapping_sub(window.pads[0]);
            for kx in 0..window.kernel[1] {
                let column =
                    (x * window.strides[1] + kx * window.dilations[1]).wrapping_sub(window.pads[1]);
                let inside = row < h && column < w;
                out.push(if inside { plane[row * w + column] } else { 0.0 });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgecut_graph::{Builder, Window};

    #[test]
    fn patches_are_what_a_convolution_meets() {
        let image: Vec<f32> = (1..=9).map(|v| v as f32).collect();
        let mut out = vec![];
        patch(&image, [3, 3], &Window::same(3, 1), [0, 0], &mut out);
        assert_eq!(out, [0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 4.0, 5.0]);
    }

    /// Of two branches of a sum the later makes up for the earlier.
    #[test]
    fn the_rest_of_a_sum_comes_before() {
        let mut b = Builder::new("branches", 1);
        let x = b.input("image", ["batch".into(), 3.into(), 4.into(), 4.into()]);
        let left = b.conv(x, "left", 4, Window::same(1, 1), 1, true).unwrap();
        let right = b.conv(x, "right", 4, Window::same(3, 1), 1, true).unwrap();
        let y = b.add(right, left).unwrap();
        let graph = b.finish(&[y]).unwrap();
        assert!(Residual::behind(&graph, &graph.nodes[0]).is_none());
        let residual = Residual::behind(&graph, &graph.nodes[1]).unwrap();
        assert_eq!((residual.add.input(residual.other).unwrap(), residual.other), (left, 1));
    }
}
