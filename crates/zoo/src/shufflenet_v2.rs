//! ShuffleNetV2 (Ma et al. 2018, arXiv:1807.11164, Table 5), under torchvision's names.
//!
//! A unit leaves half of its channels as they are, convolves the other half, and shuffles both
//! together; units with stride 2 convolve all channels on two branches. The width multiplier acts
//! on top of the variant's channels and rounds them to multiples of 4, so that halves stay even.

use edgecut_graph::{Graph, Result, ValueId, Window};

use crate::channels::{decimal, make_divisible};
use crate::init::Init;
use crate::layers::{Act, Filter, Net, Style};
use crate::{Settings, ZooError};

/// A ShuffleNetV2 to be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShuffleNetV2 {
    /// About 41 M multiply-adds.
    X0_5,
    /// About 146 M multiply-adds.
    X1_0,
    /// About 299 M multiply-adds.
    X1_5,
    /// About 591 M multiply-adds.
    X2_0,
}

/// Units of the stages 2, 3 and 4.
const UNITS: [usize; 3] = [4, 8, 4];

impl ShuffleNetV2 {
    /// Output channels of the stages 2, 3 and 4, and of the last convolution.
    fn channels(self) -> [usize; 4] {
        match self {
            ShuffleNetV2::X0_5 => [48, 96, 192, 1024],
            ShuffleNetV2::X1_0 => [116, 232, 464, 1024],
            ShuffleNetV2::X1_5 => [176, 352, 704, 1024],
            ShuffleNetV2::X2_0 => [244, 488, 976, 2048],
        }
    }

    /// The graph with fresh weights.
    pub fn build(&self, settings: &Settings) -> Result<Graph, ZooError> {
        let scaled = |c: usize| make_divisible(c as f64 * decimal(settings.width), 4);
        let [stages @ .., last] = self.channels();
        let style = Style { filters: Init::InverseFanIn, ..Style::TORCH };
        let (mut net, x) = settings.start(style)?;
        let stem = Filter::square(scaled(24), 3, 2);
        let x = net.conv_norm(x, ["conv1.0", "conv1.1"], stem, Act::Relu)?;
        let mut x = net.b.max_pool(x, Window::same(3, 2))?;
        for (stage, (&units, channels)) in UNITS.iter().zip(stages).enumerate() {
            for unit in 0..units {
                let name = format!("stage{}.{unit}", stage + 2);
                x = match unit {
                    0 => net.widening_unit(x, &name, scaled(channels) / 2, 3)?,
                    _ => net.halving_unit(x, &name, 3)?,
                };
            }
        }
        let last = Filter::point(scaled(last));
        let x = net.conv_norm(x, ["conv5.0", "conv5.1"], last, Act::Relu)?;
        let x = net.pool(x)?;
        let x = net.linear(x, "fc", settings.classes)?;
        net.finish(x)
    }
}

impl Net {
    pub(crate) fn widening_unit(
        &mut self,
        x: ValueId,
        name: &str,
        half: usize,
        kernel: usize,
    ) -> Result<ValueId> {
        let branch = |i: usize| format!("{name}.branch1.{i}");
        let depthwise = Filter::depthwise(self.channels(x)?, kernel, 2);
        let left = self.conv_norm(x, [&branch(0), &branch(1)], depthwise, Act::None)?;
        let point = Filter::point(half);
        let left = self.conv_norm(left, [&branch(2), &branch(3)], point, Act::Relu)?;
        let right = self.branch2(x, name, half, [kernel, 2])?;
        self.join(left, right)
    }

    pub(crate) fn halving_unit(
        &mut self,
        x: ValueId,
        name: &str,
        kernel: usize,
    ) -> Result<ValueId> {
        let half = self.channels(x)? / 2;
        let halves = self.b.split(x, 1, &[half, half])?;
        let right = self.branch2(halves[1], name, half, [kernel, 1])?;
        self.join(halves[0], right)
    }

    fn branch2(
        &mut self,
        x: ValueId,
        name: &str,
        half: usize,
        [kernel, stride]: [usize; 2],
    ) -> Result<ValueId> {
        let branch = |i: usize| format!("{name}.branch2.{i}");
        let point = Filter::point(half);
        let x = self.conv_norm(x, [&branch(0), &branch(1)], point, Act::Relu)?;
        let depthwise = Filter::depthwise(half, kernel, stride);
        let x = self.conv_norm(x, [&branch(3), &branch(4)], depthwise, Act::None)?;
        self.conv_norm(x, [&branch(5), &branch(6)], point, Act::Relu)
    }

    fn join(&mut self, left: ValueId, right: ValueId) -> Result<ValueId> {
        let joined = self.b.concat(&[left, right], 1)?;
        self.b.channel_shuffle(joined, 2)
    }
}
