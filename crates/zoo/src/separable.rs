//! Blocks of depthwise and pointwise convolutions under timm's names: `conv_pw`, `conv_dw`,
//! `conv_pwl`, with `bn1`, `bn2`, `bn3` in the order of execution.

use edgecut_graph::{Result, ValueId};

use crate::layers::{Act, Filter, Net};

/// A block's output channels, window and activation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub channels: usize,
    pub kernel: usize,
    pub stride: usize,
    pub act: Act,
}

impl Net {
    /// Depthwise and pointwise convolution; `last` is the activation behind the second.
    pub fn separable(
        &mut self,
        x: ValueId,
        name: &str,
        block: Block,
        last: Act,
    ) -> Result<ValueId> {
        let depthwise = Filter::depthwise(self.channels(x)?, block.kernel, block.stride);
        let [conv, norm] = names(name, "conv_dw", 1);
        let y = self.conv_norm(x, [&conv, &norm], depthwise, block.act)?;
        let [conv, norm] = names(name, "conv_pw", 2);
        self.conv_norm(y, [&conv, &norm], Filter::point(block.channels), last)
    }

    /// Pointwise to `hidden` channels, depthwise, and pointwise without activation.
    pub fn inverted(
        &mut self,
        x: ValueId,
        name: &str,
        hidden: usize,
        block: Block,
    ) -> Result<ValueId> {
        let [conv, norm] = names(name, "conv_pw", 1);
        let y = self.conv_norm(x, [&conv, &norm], Filter::point(hidden), block.act)?;
        let [conv, norm] = names(name, "conv_dw", 2);
        let depthwise = Filter::depthwise(hidden, block.kernel, block.stride);
        let y = self.conv_norm(y, [&conv, &norm], depthwise, block.act)?;
        let [conv, norm] = names(name, "conv_pwl", 3);
        self.conv_norm(y, [&conv, &norm], Filter::point(block.channels), Act::None)
    }

    /// `y`, with the block's input `x` added where `stride` is 1 and channels agree.
    pub fn residual(&mut self, x: ValueId, y: ValueId, stride: usize) -> Result<ValueId> {
        if stride == 1 && self.channels(x)? == self.channels(y)? { self.b.add(y, x) } else { Ok(y) }
    }
}

fn names(block: &str, conv: &str, norm: usize) -> [String; 2] {
    [format!("{block}.{conv}"), format!("{block}.bn{norm}")]
}
