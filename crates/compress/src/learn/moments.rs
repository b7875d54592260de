//! Second moments of a layer's quantised inputs and float outputs.

use std::sync::Arc;

use edgecut_graph::{Graph, Node, ValueId};
use edgecut_kernels::gemm::{gemm_at_b, gemm_at_b_scratch_len};
use edgecut_kernels::{Ctx, Pool};

use super::window;
use crate::Result;
use crate::probe::Probe;
use crate::weights::Layout;

/// Output positions taken from each image.
const POSITIONS: usize = 64;
/// Floats that the sampled outputs of all layers may take.
const TARGET_FLOATS: usize = 48 << 20;
/// Share of the mean variance that is added to every input's own: without it the codes would fit
/// the sample where it has fewer rows than weights.
const DAMPING: f64 = 0.01;

/// Picks output positions of layers, the same whenever asked.
pub(super) struct Sampler {
    per_image: usize,
}

/// Sampled rows of a matrix.
pub(super) struct Rows {
    pub values: Vec<f32>,
    /// Elements of a row.
    pub width: usize,
}

impl Sampler {
    pub fn new(graph: &Graph, layers: &[&Node], probe: Probe) -> Result<Sampler> {
        let channels = |node: &&Node| graph.value(node.output()).shape.with_symbols(1)[1];
        let total: usize = layers.iter().map(channels).sum();
        let fit = TARGET_FLOATS / (total * probe.images.len()).max(1);
        Ok(Sampler { per_image: fit.clamp(1, POSITIONS) })
    }

    /// Positions of image `image` at layer number `layer` with `pixels` output pixels.
    fn positions(&self, layer: usize, image: usize, pixels: usize) -> Vec<usize> {
        let count = self.per_image.min(pixels);
        // Evenly spread, from an offset that differs from image to image and layer to layer.
        let offset = (image * 7919 + layer * 104_729) % pixels.max(1);
        (0..count).map(|i| (offset + i * pixels / count) % pixels).collect()
    }

    /// Float outputs of all `layers` at the sampled positions.
    pub fn targets(&self, graph: &Graph, layers: &[&Node], probe: Probe) -> Result<Vec<Rows>> {
        let values: Vec<ValueId> = layers.iter().map(|node| node.output()).collect();
        let width = |&id: &ValueId| graph.value(id).shape.with_symbols(1)[1];
        let mut targets: Vec<Rows> =
            values.iter().map(|id| Rows { values: vec![], width: width(id) }).collect();
        probe.run(graph, &values, &mut |image, layer, elements| {
            let rows = &mut targets[layer];
            let pixels = elements.len() / rows.width;
            for pixel in self.positions(layer, image, pixels) {
                rows.values.extend((0..rows.width).map(|c| elements[c * pixels + pixel]));
            }
            Ok(())
        })?;
        Ok(targets)
    }

    /// What `node`, layer number `layer`, reads at the sampled positions of `x` in `graph`: input
    /// channel by input channel, tap by tap.
    pub fn inputs(
        &self,
        graph: &Graph,
        x: ValueId,
        layer: usize,
        node: &Node,
        probe: Probe,
    ) -> Result<Rows> {
        let shape = graph.value(x).shape.with_symbols(1);
        let mut rows = Rows { values: vec![], width: 0 };
        probe.run(graph, &[x], &mut |image, _, elements| {
            match window(node) {
                Some(window) => {
                    let [h, w] = [shape[2], shape[3]];
                    let extent = |d: usize, size: usize| {
                        let span = window.dilations[d] * (window.kernel[d] - 1) + 1;
                        (size + window.pads[d] + window.pads[d + 2] - span) / window.strides[d] + 1
                    };
                    let (oh, ow) = (extent(0, h), extent(1, w));
                    for pixel in self.positions(layer, image, oh * ow) {
                        patch(
                            elements,
                            [h, w],
                            &window,
                            [pixel / ow, pixel % ow],
                            &mut rows.values,
                        );
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
        Ok(rows)
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

/// Means and covariances, by group of channels.
pub(super) struct Moments {
    k: usize,
    channels: usize,
    groups: Vec<Group>,
    output_mean: Vec<f64>,
}

struct Group {
    gram: Vec<f32>,
    cross: Vec<f32>,
    mean: Vec<f64>,
    damping: f32,
}

impl Moments {
    /// Of `inputs` (rows of `groups * k`) and `outputs` (rows of the output channels).
    pub fn of(layout: &Layout, inputs: &Rows, outputs: &Rows, pool: &Arc<Pool>) -> Moments {
        let (k, channels) = (layout.k, layout.channels / layout.groups);
        let output_mean = means(&outputs.values, outputs.width);
        let y = centred(outputs, 0, outputs.width, &output_mean);
        let groups = (0..layout.groups).map(|group| {
            let part = column_block(inputs, group * k, k);
            let mean = means(&part, k);
            let x = centred(&Rows { values: part, width: k }, 0, k, &mean);
            let y = &y[group * channels..];
            Group::of(&x, k, y, outputs.width, channels, mean, pool)
        });
        Moments { k, channels, groups: groups.collect(), output_mean }
    }

    /// Covariance of the inputs of `group`, `[k, k]`.
    pub fn gram(&self, group: usize) -> &[f32] {
        debug_assert_eq!(self.groups[group].gram.len(), self.k * self.k);
        &self.groups[group].gram
    }

    /// Covariance of inputs and outputs of `group`, `[k, channels]`.
    pub fn cross(&self, group: usize) -> &[f32] {
        debug_assert_eq!(self.groups[group].cross.len(), self.k * self.channels);
        &self.groups[group].cross
    }

    /// What was added to the variance of each input of `group`.
    pub fn damping(&self, group: usize) -> f32 {
        self.groups[group].damping
    }

    pub fn input_mean(&self, group: usize) -> &[f64] {
        &self.groups[group].mean
    }

    pub fn output_mean(&self) -> &[f64] {
        &self.output_mean
    }
}

impl Group {
    /// From centred rows: x is `[rows, k]`, y has its rows `y_stride` apart.
    fn of(
        x: &[f32],
        k: usize,
        y: &[f32],
        y_stride: usize,
        channels: usize,
        mean: Vec<f64>,
        pool: &Arc<Pool>,
    ) -> Group {
        let rows = x.len() / k.max(1);
        let mut gram = product(x, k, x, k, k, rows, pool);
        let cross = product(x, k, y, y_stride, channels, rows, pool);
        let variance = (0..k).map(|i| f64::from(gram[i * k + i])).sum::<f64>() / k.max(1) as f64;
        // A constant input has no variance at all; then every rounding is as good.
        let damping = (variance * DAMPING).max(1e-20) as f32;
        (0..k).for_each(|i| gram[i * k + i] += damping);
        Group { gram, cross, mean, damping }
    }
}

/// `A^T B / rows` for A of `k` columns and B of `n`, whose rows are `b_stride` apart.
fn product(
    a: &[f32],
    k: usize,
    b: &[f32],
    b_stride: usize,
    n: usize,
    rows: usize,
    pool: &Arc<Pool>,
) -> Vec<f32> {
    let mut out = vec![0f32; k * n];
    let mut scratch = vec![0f32; gemm_at_b_scratch_len(rows, k, n)];
    let ctx = Ctx::new(pool);
    gemm_at_b(ctx, rows, a, k, k, b, b_stride, n, &mut out, n, &mut scratch, false);
    let share = 1.0 / rows.max(1) as f32;
    out.iter_mut().for_each(|v| *v *= share);
    out
}

fn means(values: &[f32], width: usize) -> Vec<f64> {
    let mut sums = vec![0f64; width];
    for row in values.chunks_exact(width.max(1)) {
        sums.iter_mut().zip(row).for_each(|(sum, &v)| *sum += f64::from(v));
    }
    let rows = (values.len() / width.max(1)).max(1) as f64;
    sums.iter().map(|sum| sum / rows).collect()
}

fn column_block(rows: &Rows, first: usize, width: usize) -> Vec<f32> {
    rows.values
        .chunks_exact(rows.width.max(1))
        .flat_map(|row| &row[first..first + width])
        .copied()
        .collect()
}

fn centred(rows: &Rows, first: usize, width: usize, mean: &[f64]) -> Vec<f32> {
    let part = rows.values.chunks_exact(rows.width.max(1));
    let part = part.flat_map(|row| row[first..first + width].iter().zip(mean));
    part.map(|(&v, &m)| (f64::from(v) - m) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgecut_graph::{Conv, Op, Window};

    /// Of y = 2 a - b + 1, moments say so.
    #[test]
    fn moments_of_a_linear_function() {
        let values: Vec<f32> = vec![0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0];
        let y: Vec<f32> = values.chunks(2).map(|x| 2.0 * x[0] - x[1] + 1.0).collect();
        let conv = Conv { window: Window::same(1, 1), groups: 1 };
        let node = Node { name: "l".into(), op: Op::Conv(conv), inputs: vec![], outputs: vec![] };
        let layout = Layout::of(&node, &[1, 2, 1, 1]);
        let (x, y) = (Rows { values, width: 2 }, Rows { values: y, width: 1 });
        let moments = Moments::of(&layout, &x, &y, &Arc::new(Pool::new(1)));
        assert_eq!((moments.input_mean(0), moments.output_mean()), (&[0.5, 0.5][..], &[1.5][..]));
        let close = |a: f32, b: f32| (a - b).abs() < 1e-2;
        let (gram, cross) = (moments.gram(0), moments.cross(0));
        assert!(close(gram[0], 0.25) && close(gram[1], 0.0), "{gram:?}");
        assert!(close(cross[0], 0.5) && close(cross[1], -0.25), "{cross:?}");
    }

    #[test]
    fn patches_are_what_a_convolution_meets() {
        let image: Vec<f32> = (1..=9).map(|v| v as f32).collect();
        let mut out = vec![];
        patch(&image, [3, 3], &Window::same(3, 1), [0, 0], &mut out);
        assert_eq!(out, [0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 4.0, 5.0]);
    }
}
