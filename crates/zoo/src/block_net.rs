//! A network that is described block by block, each stage of another family if need be: what an
//! architecture search makes.
//!
//! A stem (3x3 convolution, BatchNorm, activation), stages of blocks of which the first has the stage's
//! stride, a pointwise convolution, mean over space, and a linear layer. Blocks are those of
//! MobileNetV1 (arXiv:1704.04861), V2 (arXiv:1801.04381) and V3 (arXiv:1905.02244), ShuffleNetV1
//! (arXiv:1707.01083, two groups) and V2 (arXiv:1807.11164), and SqueezeNet's fire modules
//! (arXiv:1602.07360).

use edgecut_graph::{Graph, Result, ValueId};
use serde::{Deserialize, Serialize};

use crate::layers::{Act, Filter, Net, Style};
use crate::settings::{in_range, out_of_range};
use crate::{Settings, ZooError};

/// Groups of ShuffleNetV1's pointwise convolutions.
const GROUPS: usize = 2;

/// What the blocks of a stage are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Depthwise and pointwise convolution, each with an activation.
    #[serde(rename = "mobilenet-v1")]
    MobileNetV1,
    /// Pointwise to `expansion` times the channels, depthwise, pointwise without activation, and the
    /// input where it fits.
    #[serde(rename = "mobilenet-v2")]
    MobileNetV2,
    /// The same, with squeeze-and-excitation behind the depthwise convolution where asked for.
    #[serde(rename = "mobilenet-v3")]
    MobileNetV3,
    /// Grouped pointwise to a quarter of the channels, shuffle, depthwise, grouped pointwise, added to
    /// the input, or beside its means where the map is halved.
    #[serde(rename = "shufflenet-v1")]
    ShuffleNetV1,
    /// Half of the channels through pointwise, depthwise, pointwise; all of them, and both ways, where
    /// the map is halved.
    #[serde(rename = "shufflenet-v2")]
    ShuffleNetV2,
    /// An eighth of the channels, expanded by 1x1 and 3x3 filters side by side.
    Fire,
}

impl Family {
    /// Whether [`Block::kernel`] makes a difference.
    pub fn has_kernel(self) -> bool {
        self != Family::Fire
    }

    /// Whether [`Block::expansion`] makes a difference.
    pub fn has_expansion(self) -> bool {
        matches!(self, Family::MobileNetV2 | Family::MobileNetV3)
    }

    /// Whether [`Block::excite`] makes a difference.
    pub fn has_excite(self) -> bool {
        self == Family::MobileNetV3
    }

    /// Whether blocks are units that begin with one that halves the map.
    pub fn shuffles(self) -> bool {
        matches!(self, Family::ShuffleNetV1 | Family::ShuffleNetV2)
    }
}

/// What follows a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// max(x, 0)
    Relu,
    /// min(max(x, 0), 6)
    Relu6,
    /// x * min(max(x / 6 + 1/2, 0), 1)
    HardSwish,
}

/// One block of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    /// Side of the depthwise filters: 3, 5 or 7. Fire modules have 3.
    pub kernel: usize,
    /// Of MobileNetV2 and V3: channels inside over channels before the block.
    pub expansion: usize,
    /// Of MobileNetV3: whether there is squeeze-and-excitation.
    pub excite: bool,
}

/// Blocks of one family and width.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BlockStage {
    /// What the blocks are.
    pub family: Family,
    /// Channels of their output, a multiple of 8.
    pub channels: usize,
    /// 1, or 2 where the first block halves the map.
    pub stride: usize,
    /// Behind the convolutions of MobileNets. ShuffleNets and fire modules have ReLU.
    pub activation: Activation,
    /// The blocks, at least one.
    pub blocks: Vec<Block>,
}

/// A network described by its blocks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BlockNet {
    /// Name of the graph.
    pub name: String,
    /// Channels, height and width of the input.
    pub input: [usize; 3],
    /// Number of classes.
    pub classes: usize,
    /// Channels of the stem.
    pub stem: usize,
    /// Stride of the stem.
    pub stem_stride: usize,
    /// Behind the stem and the last pointwise convolution.
    pub activation: Activation,
    /// The stages.
    pub stages: Vec<BlockStage>,
    /// Channels of the last pointwise convolution; none without it.
    pub last: Option<usize>,
}

impl BlockNet {
    /// The graph with fresh weights, a function of the description and `seed`.
    ///
    /// # Errors
    /// Fields out of their range, by name; blocks that cannot follow what is before them.
    pub fn build(&self, seed: u64) -> Result<Graph, ZooError> {
        self.check()?;
        let settings = Settings { seed, ..Settings::new(&self.name, self.input, self.classes) };
        let (mut net, x) = settings.start(Style::TORCH)?;
        let act = self.activation.act();
        let stem = Filter::square(self.stem, 3, self.stem_stride);
        let mut x = net.conv_norm(x, ["stem.conv", "stem.bn"], stem, act)?;
        for (s, stage) in self.stages.iter().enumerate() {
            for (b, block) in stage.blocks.iter().enumerate() {
                let stride = if b == 0 { stage.stride } else { 1 };
                x = net.block(x, &format!("stages.{s}.{b}"), stage, *block, stride)?;
            }
        }
        if let Some(channels) = self.last {
            x = net.conv_norm(x, ["last.conv", "last.bn"], Filter::point(channels), act)?;
        }
        let x = net.pool(x)?;
        let x = net.linear(x, "classifier", self.classes)?;
        net.finish(x)
    }

    /// Whether it can be built, without building it.
    ///
    /// # Errors
    /// As [`BlockNet::build`].
    pub fn check(&self) -> Result<(), ZooError> {
        in_range("stem", self.stem, 4096)?;
        in_range("stem_stride", self.stem_stride, 4)?;
        in_range("last", self.last.unwrap_or(1), 65_536)?;
        in_range("number of stages", self.stages.len(), 64)?;
        let mut channels = self.stem;
        for stage in &self.stages {
            stage.check(channels)?;
            channels = stage.channels;
        }
        Ok(())
    }
}

impl BlockStage {
    /// `before`: channels that the first block gets.
    fn check(&self, before: usize) -> Result<(), ZooError> {
        in_range("stage channels", self.channels, 4096)?;
        in_range("stage blocks", self.blocks.len(), 256)?;
        in_range("stage stride", self.stride, 2)?;
        if !self.channels.is_multiple_of(8) {
            return out_of_range("stage channels", self.channels, "multiples of 8");
        }
        if self.family.shuffles() && self.stride != 2 {
            return out_of_range("stage stride", self.stride, "2 for ShuffleNet units");
        }
        // Means of the input stand beside the new channels, which are at least one a group.
        if self.family == Family::ShuffleNetV1 && self.channels < before + GROUPS {
            let allowed = format!("more than the {before} before for ShuffleNetV1 units");
            return out_of_range("stage channels", self.channels, &allowed);
        }
        for block in &self.blocks {
            if ![3, 5, 7].contains(&block.kernel) {
                return out_of_range("block kernel", block.kernel, "3, 5 or 7");
            }
            in_range("block expansion", block.expansion, 64)?;
        }
        Ok(())
    }
}

impl Activation {
    fn act(self) -> Act {
        match self {
            Activation::Relu => Act::Relu,
            Activation::Relu6 => Act::Relu6,
            Activation::HardSwish => Act::HardSwish,
        }
    }
}

impl Net {
    fn block(
        &mut self,
        x: ValueId,
        name: &str,
        stage: &BlockStage,
        block: Block,
        stride: usize,
    ) -> Result<ValueId> {
        let (channels, kernel, act) = (stage.channels, block.kernel, stage.activation.act());
        match stage.family {
            Family::MobileNetV1 => {
                let block = crate::separable::Block { channels, kernel, stride, act };
                self.separable(x, name, block, act)
            }
            Family::MobileNetV2 => {
                self.expanded(x, name, stage, Block { excite: false, ..block }, stride)
            }
            Family::MobileNetV3 => self.expanded(x, name, stage, block, stride),
            Family::ShuffleNetV1 => {
                let groups = if self.channels(x)?.is_multiple_of(GROUPS) { GROUPS } else { 1 };
                self.shuffle_unit(x, name, channels, [kernel, stride], [groups, GROUPS])
            }
            Family::ShuffleNetV2 if stride == 2 => {
                self.widening_unit(x, name, channels / 2, kernel)
            }
            Family::ShuffleNetV2 => self.halving_unit(x, name, kernel),
            Family::Fire => {
                let x = if stride == 2 { self.halve(x)? } else { x };
                self.fire_of(x, name, channels / 8, channels / 2)
            }
        }
    }

    /// Pointwise, depthwise, squeeze-and-excitation, pointwise.
    fn expanded(
        &mut self,
        x: ValueId,
        name: &str,
        stage: &BlockStage,
        block: Block,
        stride: usize,
    ) -> Result<ValueId> {
        let act = stage.activation.act();
        let hidden = self.channels(x)? * block.expansion;
        let names = |layer: &str| [format!("{name}.{layer}.conv"), format!("{name}.{layer}.bn")];
        let mut y = x;
        if block.expansion > 1 {
            let [conv, norm] = names("expand");
            y = self.conv_norm(y, [&conv, &norm], Filter::point(hidden), act)?;
        }
        let [conv, norm] = names("depthwise");
        let filter = Filter::depthwise(hidden, block.kernel, stride);
        y = self.conv_norm(y, [&conv, &norm], filter, act)?;
        if block.excite {
            y = self.excite(y, &format!("{name}.excite"))?;
        }
        let [conv, norm] = names("project");
        let y = self.conv_norm(y, [&conv, &norm], Filter::point(stage.channels), Act::None)?;
        self.residual(x, y, stride)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgecut_graph::cost::cost;

    const FAMILIES: [Family; 6] = [
        Family::MobileNetV1,
        Family::MobileNetV2,
        Family::MobileNetV3,
        Family::ShuffleNetV1,
        Family::ShuffleNetV2,
        Family::Fire,
    ];

    fn net(family: Family, channels: usize, stride: usize) -> BlockNet {
        let block = Block { kernel: 3, expansion: 4, excite: true };
        let activation = Activation::HardSwish;
        let blocks = vec![block, Block { kernel: 5, ..block }];
        BlockNet {
            name: "net".into(),
            input: [1, 28, 28],
            classes: 10,
            stem: 16,
            stem_stride: 1,
            activation,
            stages: vec![BlockStage { family, channels, stride, activation, blocks }],
            last: Some(64),
        }
    }

    #[test]
    fn every_family_builds_and_halves_the_map() {
        for family in FAMILIES {
            let graph = net(family, 32, 2).build(1).unwrap();
            let pooled = graph.nodes.iter().find(|n| n.op.name() == "GlobalAveragePool").unwrap();
            assert_eq!(graph.value(graph.outputs[0]).shape.to_string(), "[batch, 10]");
            let last = graph.nodes.iter().rfind(|n| n.op.name() == "GlobalAveragePool").unwrap();
            let shape = &graph.value(last.input(0).unwrap()).shape;
            assert_eq!(shape.to_string(), "[batch, 64, 14, 14]", "{family:?} {}", pooled.name);
        }
    }

    /// A MobileNetV2 block by hand: 16 to 64, 3x3 on 64, 64 to 32, and BatchNorm's two numbers each.
    #[test]
    fn parameters_of_an_inverted_residual() {
        let mut whole = net(Family::MobileNetV2, 32, 2);
        whole.stages[0].blocks.truncate(1);
        let mut without = whole.clone();
        without.stages = vec![BlockStage { family: Family::Fire, ..whole.stages[0].clone() }];
        let parameters = |net: &BlockNet| cost(&net.build(1).unwrap(), 1).unwrap().parameters;
        let inverted = 16 * 64 + 64 * 9 + 64 * 32 + 2 * (64 + 64 + 32);
        let fire = 16 * 4 + 4 + 4 * 16 + 16 + 4 * 16 * 9 + 16;
        assert_eq!(parameters(&whole) - parameters(&without), inverted - fire);
    }

    #[test]
    fn what_cannot_be_built_is_said() {
        let said = |net: BlockNet| net.build(1).unwrap_err().to_string();
        assert!(said(net(Family::ShuffleNetV1, 16, 2)).contains("more than the 16 before"));
        assert!(said(net(Family::ShuffleNetV2, 32, 1)).contains("2 for ShuffleNet units"));
        assert!(said(net(Family::MobileNetV1, 12, 1)).contains("multiples of 8"));
        let mut even = net(Family::MobileNetV1, 16, 1);
        even.stages[0].blocks[0].kernel = 4;
        assert!(said(even).contains("3, 5 or 7"));
    }
}
