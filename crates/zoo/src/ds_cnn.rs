//! DS-CNN for keyword spotting (Zhang et al. 2017, arXiv:1711.07128): a rectangular convolution
//! over a spectrogram, then depthwise separable ones. The small one is MLPerf Tiny's benchmark
//! (Banbury et al. 2021, arXiv:2106.07597), whose 24,908 parameters include the running
//! statistics; 23,756 are trained.
//!
//! Input: 49 frames of 10 cepstral coefficients. The paper counts 5.4, 19.8 and 56.9 M operations,
//! two for each multiply-add. Convolutions have biases beside BatchNorm's, as in both releases;
//! padding is TensorFlow's SAME. The width multiplier scales all channels, rounded to multiples of
//! 4, which keeps the paper's.
//!
//! Layers are called `conv1`, `bn1`, `blocks.0.conv_dw`, `blocks.0.bn1`, `blocks.0.conv_pw`,
//! `blocks.0.bn2` and so on, `fc`.

use edgecut_graph::Graph;

use crate::channels::{decimal, make_divisible};
use crate::init::Init;
use crate::layers::{Act, Filter, Padding, Style};
use crate::separable::Block;
use crate::{Settings, ZooError};

/// A DS-CNN to be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DsCnn {
    /// 64 channels, 4 separable convolutions.
    Small,
    /// 172 channels, 4 separable convolutions, the first with stride 2.
    Medium,
    /// 276 channels, 5 separable convolutions, the first with stride 2.
    Large,
}

impl DsCnn {
    /// The graph with fresh weights.
    pub fn build(&self, settings: &Settings) -> Result<Graph, ZooError> {
        let (channels, strides, blocks, first) = match self {
            DsCnn::Small => (64, [2, 2], 4, 1),
            DsCnn::Medium => (172, [2, 1], 4, 2),
            DsCnn::Large => (276, [2, 1], 5, 2),
        };
        let channels = make_divisible(channels as f64 * decimal(settings.width), 4);
        let style = Style {
            epsilon: 1e-3,
            momentum: 0.99,
            padding: Padding::Same,
            bias: true,
            filters: Init::Glorot,
            linear: Init::Glorot,
        };
        let (mut net, x) = settings.start(style)?;
        let stem = Filter { channels, kernel: [10, 4], strides, groups: 1 };
        let mut x = net.conv_norm(x, ["conv1", "bn1"], stem, Act::Relu)?;
        for i in 0..blocks {
            let stride = if i == 0 { first } else { 1 };
            let block = Block { channels, kernel: 3, stride, act: Act::Relu };
            x = net.separable(x, &format!("blocks.{i}"), block, Act::Relu)?;
        }
        let x = net.pool(x)?;
        let x = net.linear(x, "fc", settings.classes)?;
        net.finish(x)
    }
}
