//! EfficientNet-Lite 0 to 4: EfficientNet (Tan and Le 2019, arXiv:1905.11946) without
//! squeeze-and-excitation and with ReLU6 instead of swish, as its authors released it for edge
//! devices. Names of timm's `tf_efficientnet_lite*`; padding is TensorFlow's SAME.
//!
//! Variants scale channels and repeats of the stages. Unlike in EfficientNet, stem and head keep
//! their channels, the first and the last stage their single block. The width multiplier acts on
//! top of the variant's own, on the same channels.

use edgecut_graph::Graph;

use crate::channels::{decimal, make_divisible};
use crate::init::Init;
use crate::layers::{Act, Filter, Padding, Style};
use crate::separable::Block;
use crate::{Settings, ZooError};

/// Kernel, stride, expansion, channels and repeats of a stage (Table 1 of the paper).
const STAGES: [(usize, usize, usize, usize, usize); 7] = [
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
];

/// An EfficientNet-Lite to be built.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EfficientNetLite {
    /// Multiplier of the stages' channels, which become multiples of 8.
    pub width: f32,
    /// Multiplier of the repeats of all stages but the first and the last, rounded up.
    pub depth: f32,
}

impl EfficientNetLite {
    /// The variants 0 to 4, for images of 224, 240, 260, 280 and 300 pixels.
    pub const VARIANTS: [EfficientNetLite; 5] = [
        EfficientNetLite { width: 1.0, depth: 1.0 },
        EfficientNetLite { width: 1.0, depth: 1.1 },
        EfficientNetLite { width: 1.1, depth: 1.2 },
        EfficientNetLite { width: 1.2, depth: 1.4 },
        EfficientNetLite { width: 1.4, depth: 1.8 },
    ];

    /// The graph with fresh weights.
    pub fn build(&self, settings: &Settings) -> Result<Graph, ZooError> {
        let style = Style {
            epsilon: 1e-3,
            momentum: 0.99,
            padding: Padding::Same,
            linear: Init::InverseFanOut,
            ..Style::TORCH
        };
        let (mut net, x) = settings.start(style)?;
        let stem = Filter::square(32, 3, 2);
        let mut x = net.conv_norm(x, ["conv_stem", "bn1"], stem, Act::Relu6)?;
        let width = decimal(self.width) * decimal(settings.width);
        for (s, &(kernel, stride, expansion, channels, _)) in STAGES.iter().enumerate() {
            let channels = make_divisible(channels as f64 * width, 8);
            for i in 0..self.repeats(s) {
                let stride = if i == 0 { stride } else { 1 };
                let block = Block { channels, kernel, stride, act: Act::Relu6 };
                let name = format!("blocks.{s}.{i}");
                let y = match expansion {
                    1 => net.separable(x, &name, block, Act::None)?,
                    _ => net.inverted(x, &name, expansion * net.channels(x)?, block)?,
                };
                x = net.residual(x, y, stride)?;
            }
        }
        let x = net.conv_norm(x, ["conv_head", "bn2"], Filter::point(1280), Act::Relu6)?;
        let x = net.pool(x)?;
        let x = net.linear(x, "classifier", settings.classes)?;
        net.finish(x)
    }

    fn repeats(&self, stage: usize) -> usize {
        let repeats = STAGES[stage].4;
        match stage {
            0 | 6 => repeats,
            // Bounded, as the field is public: eight is more than twice the deepest variant.
            _ => (repeats as f64 * decimal(self.depth).clamp(0.0, 8.0)).ceil() as usize,
        }
    }
}
