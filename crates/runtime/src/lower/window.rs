//! Transposed convolution, and resampling between pixels.

use edgecut_graph::interpret::taps;
use edgecut_graph::{Conv, ConvTranspose, Coordinates, Node, Resize, ResizeMode};
use edgecut_kernels::Blob;
use edgecut_kernels::conv::ConvWeights;
use edgecut_kernels::resample::Taps;

use super::weights::{conv_matrix, conv_shape};
use super::{Effects, Lowering};
use crate::Result;
use crate::step::{self, Step};

impl Lowering<'_> {
    /// A transposed convolution with constant weights: the input gradient of the convolution that
    /// has the same weights, in the same order.
    pub(super) fn conv_transpose(&mut self, node: &Node, conv: &ConvTranspose) -> Result<bool> {
        let Some(weights) = self.constant(node.input(1)?)? else { return Ok(false) };
        let Some(bias) = self.optional_constant(node, 2)? else { return Ok(false) };
        let bias = bias.map(|b| b.f32s().map(Blob::from)).transpose()?;
        let forward = Conv { window: conv.window, groups: conv.groups };
        let (x, y) = (node.input(0)?, node.output());
        let shape = conv_shape(&forward, &self.shape(y), &self.shape(x));
        let mut packed = ConvWeights::default();
        packed.repack_for_input_gradient(&shape, &conv_matrix(&shape, weights.f32s()?));
        let (x, y) = (self.stored(x)?, self.produce(y));
        let step = step::ConvTranspose { x, y, shape, weights: packed.into(), bias };
        let effects = Effects::new("conv_transpose", &[x], &[y]).macs(shape.macs());
        self.emit(node, Step::ConvTranspose(Box::new(step)), effects);
        Ok(true)
    }

    /// Linear and cubic resampling of height and width.
    pub(super) fn resample(&mut self, node: &Node, resize: &Resize) -> Result<bool> {
        let from = self.shape(node.input(0)?);
        let spatial = from.len() == 4 && resize.axes.iter().all(|axis| axis.axis >= 2);
        let nearest = matches!(resize.mode, ResizeMode::Nearest(_));
        if !spatial
            || nearest
            || !self.may_tabulate(node)?
            || resize.coordinates == Coordinates::CropAndResize
        {
            return Ok(false);
        }
        let table = |dimension: usize| match resize.axes.iter().find(|a| a.axis == dimension) {
            Some(axis) => {
                let of = taps(axis, from[dimension], resize);
                let narrow = |(at, weight): (usize, f64)| (at, weight as f32);
                Taps::new((0..axis.len).map(|i| of(i).into_iter().map(narrow)))
            }
            None => Taps::new((0..from[dimension]).map(|i| [(i, 1.0)])),
        };
        let (rows, columns) = (table(2), table(3));
        let (x, y) = (self.stored(node.input(0)?)?, self.produce(node.output()));
        let image = [from[2], from[3], from[1]];
        let step = Step::Resample(Box::new(step::Resample { x, y, image, rows, columns }));
        self.emit(node, step, Effects::new("resize", &[x], &[y]));
        Ok(true)
    }
}
