//! Minimalistic MobileNetV3, from the authors' release: the tables of the paper (arXiv:1905.02244)
//! without squeeze-and-excitation, hard-swish and 5x5 windows, for accelerators that lack them.
//! Names of timm's `tf_mobilenetv3_*_minimal_100`; padding is TensorFlow's SAME.

use edgecut_graph::Graph;

use crate::channels::scale;
use crate::init::Init;
use crate::layers::{Act, Filter, Padding, Style};
use crate::separable::Block;
use crate::{MobileNetV3, Settings, ZooError};

impl MobileNetV3 {
    /// The graph of the minimalistic variant with fresh weights.
    pub fn build_minimal(&self, settings: &Settings) -> Result<Graph, ZooError> {
        let style = Style {
            epsilon: 1e-3,
            momentum: 0.99,
            padding: Padding::Same,
            linear: Init::InverseFanOut,
            ..Style::TORCH
        };
        let (mut net, x) = settings.start(style)?;
        let stem = Filter::square(scale(16, settings.width), 3, 2);
        let mut x = net.conv_norm(x, ["conv_stem", "bn1"], stem, Act::Relu)?;
        // Blocks of one width in the paper make a stage of timm's; the index counts within it.
        let (mut stage, mut index, mut last) = (0, 0, None);
        for (paper, row) in self.rows(1.0).iter().zip(self.rows(settings.width)) {
            (stage, index) = match last.replace(paper.channels) {
                None => (0, 0),
                Some(channels) if channels == paper.channels => (stage, index + 1),
                Some(_) => (stage + 1, 0),
            };
            let (name, channels) = (format!("blocks.{stage}.{index}"), row.channels);
            let block = Block { channels, kernel: 3, stride: row.stride, act: Act::Relu };
            let y = match row.hidden == net.channels(x)? {
                true => net.separable(x, &name, block, Act::None)?,
                false => net.inverted(x, &name, row.hidden, block)?,
            };
            x = net.residual(x, y, row.stride)?;
        }
        let names = [format!("blocks.{}.0.conv", stage + 1), format!("blocks.{}.0.bn1", stage + 1)];
        let point = Filter::point(6 * net.channels(x)?);
        let x = net.conv_norm(x, [&names[0], &names[1]], point, Act::Relu)?;
        let x = net.b.global_average_pool(x)?;
        let head = Filter::point(scale(self.last(), settings.width));
        let x = net.conv(x, "conv_head", head, Init::FanOutNormal, true)?;
        let x = net.b.relu(x)?;
        let x = net.b.flatten(x)?;
        let x = net.linear(x, "classifier", settings.classes)?;
        net.finish(x)
    }
}
