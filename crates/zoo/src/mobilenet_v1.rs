//! MobileNetV1: a stack of depthwise separable convolutions (Howard et al. 2017,
//! arXiv:1704.04861, Table 1), under the names of timm's `mobilenetv1_100`.
//!
//! The width multiplier is the paper's alpha: channels of every layer are multiplied by it and
//! rounded to multiples of 8, which changes nothing at 1, 0.75, 0.5 and 0.25. Activations are ReLU6,
//! as in the authors' release.

use edgecut_graph::Graph;

use crate::channels::scale;
use crate::init::Init;
use crate::layers::{Act, Filter, Style};
use crate::separable::Block;
use crate::{Settings, ZooError};

/// Channels and strides of the separable convolutions, grouped by resolution as timm does.
const STAGES: [&[(usize, usize)]; 5] = [
    &[(64, 1)],
    &[(128, 2), (128, 1)],
    &[(256, 2), (256, 1)],
    &[(512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1)],
    &[(1024, 2), (1024, 1)],
];

/// A MobileNetV1 to be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MobileNetV1;

impl MobileNetV1 {
    /// The graph with fresh weights.
    pub fn build(&self, settings: &Settings) -> Result<Graph, ZooError> {
        let style = Style { linear: Init::InverseFanOut, ..Style::TORCH };
        let (mut net, x) = settings.start(style)?;
        let stem = Filter::square(scale(32, settings.width), 3, 2);
        let mut x = net.conv_norm(x, ["conv_stem", "bn1"], stem, Act::Relu6)?;
        for (s, stage) in STAGES.iter().enumerate() {
            for (i, &(channels, stride)) in stage.iter().enumerate() {
                let channels = scale(channels, settings.width);
                let block = Block { channels, kernel: 3, stride, act: Act::Relu6 };
                x = net.separable(x, &format!("blocks.{s}.{i}"), block, Act::Relu6)?;
            }
        }
        let x = net.pool(x)?;
        let x = net.linear(x, "classifier", settings.classes)?;
        net.finish(x)
    }
}
