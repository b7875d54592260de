//! ShuffleNet (Zhang et al. 2017, arXiv:1707.01083, Table 1).
//!
//! A bottleneck of two grouped pointwise convolutions around a depthwise one; a channel shuffle
//! behind the first lets the groups see each other's channels. Units with stride 2 concatenate
//! their pooled input instead of adding it. The first unit's first convolution is not grouped, as
//! its 24 channels are few. Average pooling counts its padding, as in the authors' release.
//!
//! The width multiplier is the paper's s. Channels are rounded so that groups divide them: outputs
//! to multiples of four times the groups, which keeps every number of Table 1.
//!
//! Layers are called `conv1`, `stage2.0.conv1` and so on, with `bn` for `conv` in their BatchNorms.

use edgecut_graph::{Graph, Op, Pool, Result, ValueId, Window};

use crate::channels::{decimal, make_divisible};
use crate::layers::{Act, Filter, Net, Style};
use crate::settings::out_of_range;
use crate::{Settings, ZooError};

/// A ShuffleNet to be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShuffleNetV1 {
    /// g: groups of the pointwise convolutions; 1, 2, 3, 4 or 8.
    pub groups: usize,
}

/// Output channels of the second stage at scale 1; each further stage doubles them.
const CHANNELS: [(usize, usize); 5] = [(1, 144), (2, 200), (3, 240), (4, 272), (8, 384)];

/// Units of the stages 2, 3 and 4.
const UNITS: [usize; 3] = [4, 8, 4];

impl ShuffleNetV1 {
    /// The graph with fresh weights. Fails where the paper has no such number of groups.
    pub fn build(&self, settings: &Settings) -> Result<Graph, ZooError> {
        let g = self.groups;
        let Some(&(_, channels)) = CHANNELS.iter().find(|(groups, _)| *groups == g) else {
            return out_of_range("groups", g, "1, 2, 3, 4 or 8");
        };
        let scaled =
            |c: usize, divisor| make_divisible(c as f64 * decimal(settings.width), divisor);
        let (mut net, x) = settings.start(Style::TORCH)?;
        // What a unit of stride 2 adds to its input's channels must be a multiple of g as well. From
        // a scale of 1 on, the first convolution has 24 for each whole one: the 292 M and 524 M
        // multiply-adds that the paper gives for the scales 1.5 and 2 (g = 3) are those of 24 and 48.
        let stem = match settings.width {
            whole if whole >= 1.0 => 24 * whole as usize,
            _ => scaled(24, if g == 3 { 12 } else { g.max(4) }),
        };
        let x = net.conv_norm(x, ["conv1", "bn1"], Filter::square(stem, 3, 2), Act::Relu)?;
        let mut x = net.b.max_pool(x, Window::same(3, 2))?;
        let stages = UNITS.iter().zip([channels, channels * 2, channels * 4]).enumerate();
        for (stage, (&units, channels)) in stages {
            // The multiplier may leave fewer channels than the stem has.
            let channels =
                scaled(channels, 4 * g).max(net.channels(x)?.next_multiple_of(4 * g) + 4 * g);
            for unit in 0..units {
                let name = format!("stage{}.{unit}", stage + 2);
                let first = if (stage, unit) == (0, 0) { 1 } else { g };
                let stride = if unit == 0 { 2 } else { 1 };
                x = net.shuffle_unit(x, &name, channels, [3, stride], [first, g])?;
            }
        }
        let x = net.pool(x)?;
        let x = net.linear(x, "fc", settings.classes)?;
        net.finish(x)
    }
}

impl Net {
    /// `groups`: of the first and of the second pointwise convolution. The depthwise one has this kernel
    /// and stride.
    pub(crate) fn shuffle_unit(
        &mut self,
        x: ValueId,
        name: &str,
        channels: usize,
        [kernel, stride]: [usize; 2],
        groups: [usize; 2],
    ) -> Result<ValueId> {
        let hidden = channels / 4;
        let branch = if stride == 2 { channels - self.channels(x)? } else { channels };
        let layer = |i: usize| [format!("{name}.conv{i}"), format!("{name}.bn{i}")];
        let [conv, norm] = layer(1);
        let point = Filter::point(hidden).groups(groups[0]);
        let y = self.conv_norm(x, [&conv, &norm], point, Act::Relu)?;
        let y = if groups[1] > 1 { self.b.channel_shuffle(y, groups[1])? } else { y };
        let [conv, norm] = layer(2);
        let depthwise = Filter::depthwise(hidden, kernel, stride);
        let y = self.conv_norm(y, [&conv, &norm], depthwise, Act::None)?;
        let [conv, norm] = layer(3);
        let point = Filter::point(branch).groups(groups[1]);
        let y = self.conv_norm(y, [&conv, &norm], point, Act::None)?;
        let joined = if stride == 2 {
            let window = Window::same(3, 2);
            let pool = Pool { window, ceil_mode: false, count_include_pad: true };
            let pooled = self.b.apply("average_pool", Op::AveragePool(pool), &[x])?;
            self.b.concat(&[pooled, y], 1)?
        } else {
            self.b.add(x, y)?
        };
        self.b.relu(joined)
    }
}
