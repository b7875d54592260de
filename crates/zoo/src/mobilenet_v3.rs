//! MobileNetV3 (Howard et al. 2019, arXiv:1905.02244, Tables 1 and 2), under torchvision's names.
//! The minimalistic variants of the authors' release are in `mobilenet_v3_minimal`.
//!
//! The network for small images is the same builder with a table of its own.
//!
//! An inverted residual with squeeze-and-excitation after the depthwise convolution, hard-swish in
//! the later layers, and a last stage that is cheap because it runs on one pixel. The width
//! multiplier scales all channels, rounded to multiples of 8.

use edgecut_graph::{Graph, Result, ValueId};

use crate::channels::{make_divisible, scale};
use crate::init::Init;
use crate::layers::{Act, Filter, Net, Style};
use crate::{Settings, ZooError};

/// A MobileNetV3 to be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MobileNetV3 {
    /// Table 1 of the paper.
    Large,
    /// Table 2 of the paper.
    Small,
    /// For 28x28 grey images such as Fashion-MNIST, 3.9 million multiply-adds: maps of 28, 14, 7
    /// and 4 pixels, at most 64 channels between blocks.
    Tiny,
}

/// A block: kernel, expanded channels, output channels, squeeze-and-excitation, hard-swish (or
/// ReLU), stride.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub kernel: usize,
    pub hidden: usize,
    pub channels: usize,
    pub excite: bool,
    pub swish: bool,
    pub stride: usize,
}

const fn row(
    kernel: usize,
    hidden: usize,
    channels: usize,
    excite: bool,
    swish: bool,
    stride: usize,
) -> Row {
    Row { kernel, hidden, channels, excite, swish, stride }
}

const LARGE: &[Row] = &[
    row(3, 16, 16, false, false, 1),
    row(3, 64, 24, false, false, 2),
    row(3, 72, 24, false, false, 1),
    row(5, 72, 40, true, false, 2),
    row(5, 120, 40, true, false, 1),
    row(5, 120, 40, true, false, 1),
    row(3, 240, 80, false, true, 2),
    row(3, 200, 80, false, true, 1),
    row(3, 184, 80, false, true, 1),
    row(3, 184, 80, false, true, 1),
    row(3, 480, 112, true, true, 1),
    row(3, 672, 112, true, true, 1),
    row(5, 672, 160, true, true, 2),
    row(5, 960, 160, true, true, 1),
    row(5, 960, 160, true, true, 1),
];

const SMALL: &[Row] = &[
    row(3, 16, 16, true, false, 2),
    row(3, 72, 24, false, false, 2),
    row(3, 88, 24, false, false, 1),
    row(5, 96, 40, true, true, 2),
    row(5, 240, 40, true, true, 1),
    row(5, 240, 40, true, true, 1),
    row(5, 120, 48, true, true, 1),
    row(5, 144, 48, true, true, 1),
    row(5, 288, 96, true, true, 2),
    row(5, 576, 96, true, true, 1),
    row(5, 576, 96, true, true, 1),
];

const TINY: &[Row] = &[
    row(3, 16, 16, true, false, 2),
    row(3, 48, 24, false, false, 1),
    row(5, 72, 40, true, true, 2),
    row(5, 160, 40, true, true, 1),
    row(5, 200, 64, true, true, 2),
    row(5, 256, 64, true, true, 1),
];

impl MobileNetV3 {
    /// The table's blocks, channels multiplied by `width`.
    pub(crate) fn rows(self, width: f32) -> Vec<Row> {
        let table = match self {
            MobileNetV3::Large => LARGE,
            MobileNetV3::Small => SMALL,
            MobileNetV3::Tiny => TINY,
        };
        let scaled = |row: &Row| Row {
            hidden: scale(row.hidden, width),
            channels: scale(row.channels, width),
            ..*row
        };
        table.iter().map(scaled).collect()
    }

    /// Stride of the first convolution: small images keep their size.
    fn stem_stride(self) -> usize {
        match self {
            MobileNetV3::Large | MobileNetV3::Small => 2,
            MobileNetV3::Tiny => 1,
        }
    }

    /// Channels of the layer before the classifier, before the multiplier.
    pub(crate) fn last(self) -> usize {
        match self {
            MobileNetV3::Large => 1280,
            MobileNetV3::Small => 1024,
            MobileNetV3::Tiny => 256,
        }
    }

    /// The graph with fresh weights.
    pub fn build(&self, settings: &Settings) -> Result<Graph, ZooError> {
        let style =
            Style { epsilon: 1e-3, momentum: 0.99, linear: Init::Normal(0.01), ..Style::TORCH };
        let (mut net, x) = settings.start(style)?;
        let stem = Filter::square(scale(16, settings.width), 3, self.stem_stride());
        let mut x = net.conv_norm(x, ["features.0.0", "features.0.1"], stem, Act::HardSwish)?;
        let rows = self.rows(settings.width);
        for (i, &row) in rows.iter().enumerate() {
            x = net.bneck(x, &format!("features.{}.block", i + 1), row)?;
        }
        let last = format!("features.{}", rows.len() + 1);
        let point = Filter::point(6 * net.channels(x)?);
        let names = [format!("{last}.0"), format!("{last}.1")];
        let x = net.conv_norm(x, [&names[0], &names[1]], point, Act::HardSwish)?;
        let x = net.pool(x)?;
        let x = net.linear(x, "classifier.0", scale(self.last(), settings.width))?;
        let x = net.act(x, Act::HardSwish)?;
        let x = net.linear(x, "classifier.3", settings.classes)?;
        net.finish(x)
    }
}

impl Net {
    fn bneck(&mut self, x: ValueId, block: &str, row: Row) -> Result<ValueId> {
        let act = if row.swish { Act::HardSwish } else { Act::Relu };
        let (mut y, mut part) = (x, 0);
        if row.hidden != self.channels(x)? {
            y = self.part(y, block, part, Filter::point(row.hidden), act)?;
            part += 1;
        }
        let depthwise = Filter::depthwise(row.hidden, row.kernel, row.stride);
        y = self.part(y, block, part, depthwise, act)?;
        part += 1;
        if row.excite {
            y = self.excite(y, &format!("{block}.{part}"))?;
            part += 1;
        }
        y = self.part(y, block, part, Filter::point(row.channels), Act::None)?;
        self.residual(x, y, row.stride)
    }

    fn part(
        &mut self,
        x: ValueId,
        block: &str,
        part: usize,
        filter: Filter,
        act: Act,
    ) -> Result<ValueId> {
        let names = [format!("{block}.{part}.0"), format!("{block}.{part}.1")];
        self.conv_norm(x, [&names[0], &names[1]], filter, act)
    }

    /// Squeeze-and-excitation: each channel times a number from 0 to 1 that two layers compute from
    /// the means of all channels; a quarter of the channels between them.
    pub(crate) fn excite(&mut self, x: ValueId, name: &str) -> Result<ValueId> {
        let (channels, init) = (self.channels(x)?, self.style.filters);
        let squeezed = Filter::point(make_divisible((channels / 4) as f64, 8));
        let s = self.b.global_average_pool(x)?;
        let s = self.conv(s, &format!("{name}.fc1"), squeezed, init, true)?;
        let s = self.b.relu(s)?;
        let s = self.conv(s, &format!("{name}.fc2"), Filter::point(channels), init, true)?;
        let s = self.b.hard_sigmoid(s)?;
        self.b.mul(x, s)
    }
}
