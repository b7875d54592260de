//! ResNet-18 and ResNet-50 for ImageNet (He et al. 2015, arXiv:1512.03385, Table 1), under
//! torchvision's names: teachers for smaller networks.
//!
//! As in torchvision, a bottleneck has its stride in the 3x3 convolution. The width multiplier
//! scales all channels, rounded to multiples of 8.

use edgecut_graph::{Graph, Result, ValueId, Window};

use crate::channels::scale;
use crate::layers::{Act, Filter, Net, Style};
use crate::{Settings, ZooError};

/// A ResNet to be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResNet {
    /// Two 3x3 convolutions a block, two blocks a stage.
    R18,
    /// Bottlenecks: 1x1, 3x3, 1x1 to four times the channels; 3, 4, 6 and 3 of them.
    R50,
}

impl ResNet {
    /// The graph with fresh weights.
    pub fn build(&self, settings: &Settings) -> Result<Graph, ZooError> {
        let blocks = match self {
            ResNet::R18 => [2, 2, 2, 2],
            ResNet::R50 => [3, 4, 6, 3],
        };
        let (mut net, x) = settings.start(Style::TORCH)?;
        let stem = Filter::square(scale(64, settings.width), 7, 2);
        let x = net.conv_norm(x, ["conv1", "bn1"], stem, Act::Relu)?;
        let mut x = net.b.max_pool(x, Window::same(3, 2))?;
        for (stage, &blocks) in blocks.iter().enumerate() {
            let channels = scale(64 << stage, settings.width);
            for block in 0..blocks {
                let name = format!("layer{}.{block}", stage + 1);
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                x = net.residual_block(x, &name, self.filters(channels, stride))?;
            }
        }
        let x = net.pool(x)?;
        let x = net.linear(x, "fc", settings.classes)?;
        net.finish(x)
    }

    /// The convolutions of a block.
    fn filters(self, channels: usize, stride: usize) -> Vec<Filter> {
        let three = Filter::square(channels, 3, stride);
        match self {
            ResNet::R18 => vec![three, Filter::square(channels, 3, 1)],
            ResNet::R50 => vec![Filter::point(channels), three, Filter::point(4 * channels)],
        }
    }
}

impl Net {
    /// `conv1`, `bn1`, ... and, where the block changes the shape, `downsample`.
    fn residual_block(&mut self, x: ValueId, name: &str, filters: Vec<Filter>) -> Result<ValueId> {
        let (mut y, mut channels, mut stride) = (x, 0, 1);
        for (i, filter) in (1..).zip(&filters) {
            let act = if i == filters.len() { Act::None } else { Act::Relu };
            let names = [format!("{name}.conv{i}"), format!("{name}.bn{i}")];
            y = self.conv_norm(y, [&names[0], &names[1]], *filter, act)?;
            (channels, stride) = (filter.channels, stride * filter.strides[0]);
        }
        let mut shortcut = x;
        if stride != 1 || channels != self.channels(x)? {
            let names = [format!("{name}.downsample.0"), format!("{name}.downsample.1")];
            let point = Filter::square(channels, 1, stride);
            shortcut = self.conv_norm(x, [&names[0], &names[1]], point, Act::None)?;
        }
        let sum = self.b.add(y, shortcut)?;
        self.b.relu(sum)
    }
}
