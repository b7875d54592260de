//! ResNets for 32x32 images: ResNet-20 and -56 of He et al. 2015 (arXiv:1512.03385, section 4.2)
//! and ResNet-8 of MLPerf Tiny (Banbury et al. 2021, arXiv:2106.07597).
//!
//! The paper's have 6n+2 layers and shortcuts without weights: where a block halves the map, its
//! input is sampled at every second pixel and zeros fill the new channels, half of them on each
//! side (option A). ResNet-20 has 0.27 M parameters and ResNet-56 0.85 M, as in its Table 6.
//!
//! MLPerf Tiny's has one block a stage, a 1x1 convolution without BatchNorm as shortcut, biases in
//! all convolutions, and TensorFlow's SAME padding. Its 78,666 parameters include the running
//! statistics; 78,186 are trained.
//!
//! Layers are called `conv1`, `bn1`, `layer1.0.conv1` and so on, the shortcut `shortcut`, the
//! classifier `linear`. The width multiplier scales all channels, rounded to multiples of 8.

use edgecut_graph::{Cut, Graph, Op, PadMode, Result, ValueId};

use crate::channels::scale;
use crate::init::Init;
use crate::layers::{Act, Filter, Net, Padding, Style};
use crate::settings::in_range;
use crate::{Settings, ZooError};

/// A ResNet for small images to be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResNetCifar {
    /// The paper's, with n blocks in each of three stages: 3 give ResNet-20, 9 ResNet-56.
    Deep {
        /// n, 1 to 200.
        blocks: usize,
    },
    /// ResNet-8 of MLPerf Tiny.
    Tiny,
}

impl ResNetCifar {
    /// The graph with fresh weights.
    pub fn build(&self, settings: &Settings) -> Result<Graph, ZooError> {
        let he = Style { filters: Init::FanInNormal, ..Style::TORCH };
        let (blocks, style) = match *self {
            ResNetCifar::Deep { blocks } => (blocks, he),
            ResNetCifar::Tiny => {
                let (padding, linear) = (Padding::Same, Init::Glorot);
                (1, Style { epsilon: 1e-3, momentum: 0.99, bias: true, padding, linear, ..he })
            }
        };
        in_range("blocks", blocks, 200)?;
        let (mut net, x) = settings.start(style)?;
        let stem = Filter::square(scale(16, settings.width), 3, 1);
        let mut x = net.conv_norm(x, ["conv1", "bn1"], stem, Act::Relu)?;
        for stage in 0..3 {
            let channels = scale(16 << stage, settings.width);
            for block in 0..blocks {
                let name = format!("layer{}.{block}", stage + 1);
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                x = net.basic_block(x, &name, channels, stride)?;
            }
        }
        let x = net.pool(x)?;
        let x = net.linear(x, "linear", settings.classes)?;
        net.finish(x)
    }
}

impl Net {
    fn basic_block(
        &mut self,
        x: ValueId,
        name: &str,
        channels: usize,
        stride: usize,
    ) -> Result<ValueId> {
        let layer = |i: usize| [format!("{name}.conv{i}"), format!("{name}.bn{i}")];
        let [conv, norm] = layer(1);
        let filter = Filter::square(channels, 3, stride);
        let y = self.conv_norm(x, [&conv, &norm], filter, Act::Relu)?;
        let [conv, norm] = layer(2);
        let y = self.conv_norm(y, [&conv, &norm], Filter::square(channels, 3, 1), Act::None)?;
        let shortcut = match stride {
            1 => x,
            // A network with biases is MLPerf Tiny's, whose shortcuts have weights.
            _ if self.style.bias => {
                let point = Filter::square(channels, 1, stride);
                let init = self.style.filters;
                self.conv(x, &format!("{name}.shortcut"), point, init, true)?
            }
            _ => self.zero_shortcut(x, channels, stride)?,
        };
        let sum = self.b.add(y, shortcut)?;
        self.b.relu(sum)
    }

    fn zero_shortcut(&mut self, x: ValueId, channels: usize, stride: usize) -> Result<ValueId> {
        let shape = &self.b.graph().value(x).shape;
        let cut = |axis| -> Result<Cut> {
            let len = shape.extent(axis, "zoo")?.div_ceil(stride);
            Ok(Cut { axis, start: 0, len, step: stride })
        };
        let cuts = vec![cut(2)?, cut(3)?];
        let missing = channels.saturating_sub(self.channels(x)?);
        let x = self.b.apply("sample", Op::Slice { cuts }, &[x])?;
        let before = vec![0, missing / 2, 0, 0];
        let after = vec![0, missing - missing / 2, 0, 0];
        self.b.apply("widen", Op::Pad { before, after, mode: PadMode::Constant(0.0) }, &[x])
    }
}
