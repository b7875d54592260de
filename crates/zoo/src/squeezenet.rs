//! SqueezeNet (Iandola et al. 2016, arXiv:1602.07360, Table 1) and the authors' version 1.1, under
//! torchvision's names.
//!
//! A fire module squeezes its input to few channels and expands them by 1x1 and 3x3 convolutions
//! side by side. There is no BatchNorm; the classifier is a convolution before the last pooling.
//! With `bypass`, the input of the modules 3, 5, 7 and 9 is added to their output (section 6). The
//! width multiplier scales all channels, rounded to multiples of 8.

use edgecut_graph::{Graph, Op, Pool, Result, ValueId, Window};

use crate::channels::scale;
use crate::init::Init;
use crate::layers::{Filter, Net, Padding, Style};
use crate::{Settings, ZooError};

/// A SqueezeNet to be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqueezeNet {
    /// Which one.
    pub version: SqueezeNetVersion,
    /// Whether every second fire module has a simple bypass.
    pub bypass: bool,
}

/// Versions of [`SqueezeNet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqueezeNetVersion {
    /// The paper's: a first convolution of 96 7x7 filters.
    V1_0,
    /// The authors' later one, 2.4 times cheaper: 64 3x3 filters, and pooling further forward.
    V1_1,
}

/// Squeezed channels of the fire modules 2 to 9; each expansion has four times as many.
const SQUEEZED: [usize; 8] = [16, 16, 32, 32, 48, 48, 64, 64];

impl SqueezeNet {
    /// The graph with fresh weights.
    pub fn build(&self, settings: &Settings) -> Result<Graph, ZooError> {
        let (filters, kernel, pooled) = match self.version {
            SqueezeNetVersion::V1_0 => (96, 7, [4, 8]),
            SqueezeNetVersion::V1_1 => (64, 3, [3, 5]),
        };
        let style = Style { filters: Init::FanInUniform, padding: Padding::Valid, ..Style::TORCH };
        let (mut net, x) = settings.start(style)?;
        let stem = Filter::square(scale(filters, settings.width), kernel, 2);
        let x = net.conv(x, "features.0", stem, style.filters, true)?;
        let x = net.b.relu(x)?;
        let mut x = net.halve(x)?;
        net.style.padding = Padding::Half;
        // features.1 is the activation, features.2 the pooling.
        let mut index = 3;
        for (module, &squeezed) in (2..).zip(&SQUEEZED) {
            let y = net.fire(x, &format!("features.{index}"), squeezed, settings.width)?;
            x = if self.bypass && module % 2 == 1 { net.b.add(x, y)? } else { y };
            index += 1;
            if pooled.contains(&module) {
                x = net.halve(x)?;
                index += 1;
            }
        }
        let point = Filter::point(settings.classes);
        let x = net.conv(x, "classifier.1", point, Init::Normal(0.01), true)?;
        let x = net.b.relu(x)?;
        let x = net.pool(x)?;
        net.finish(x)
    }
}

impl Net {
    fn fire(&mut self, x: ValueId, name: &str, squeezed: usize, width: f32) -> Result<ValueId> {
        self.fire_of(x, name, scale(squeezed, width), scale(4 * squeezed, width))
    }

    /// `squeezed` channels, then `wide` from filters of each size.
    pub(crate) fn fire_of(
        &mut self,
        x: ValueId,
        name: &str,
        squeezed: usize,
        wide: usize,
    ) -> Result<ValueId> {
        let mut layer = |x: ValueId, part: &str, filter: Filter| {
            let x = self.conv(x, &format!("{name}.{part}"), filter, Init::FanInUniform, true)?;
            self.b.relu(x)
        };
        let x = layer(x, "squeeze", Filter::point(squeezed))?;
        let one = layer(x, "expand1x1", Filter::point(wide))?;
        let three = layer(x, "expand3x3", Filter::square(wide, 3, 1))?;
        self.b.concat(&[one, three], 1)
    }

    /// Maximum over 3x3 at stride 2; a window that is cut off by the edge counts.
    pub(crate) fn halve(&mut self, x: ValueId) -> Result<ValueId> {
        let window = Window::new([3, 3], [2, 2]);
        let pool = Pool { window, ceil_mode: true, count_include_pad: false };
        self.b.apply("max_pool", Op::MaxPool(pool), &[x])
    }
}
