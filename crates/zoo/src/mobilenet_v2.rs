//! MobileNetV2: inverted residuals with linear bottlenecks (Sandler et al. 2018,
//! arXiv:1801.04381, Table 2), as in torchvision.
//!
//! A block widens its input by a 1x1 convolution (`expansion` times), filters each channel by a
//! 3x3 depthwise convolution, and projects back by a 1x1 convolution without activation; where
//! stride is 1 and channels agree, the input is added. Each convolution has a BatchNorm instead of
//! a bias. The stage table is data, so that networks for small images are the same builder with
//! other strides.

use edgecut_graph::{Builder, Dim, Graph, ValueId, Window};

use crate::channels::scale;
use crate::settings::{in_range, out_of_range};
use crate::{Settings, ZooError};

/// Blocks of one output width: a row `t, c, n, s` of the paper's Table 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// t: how many times the block's input is widened inside.
    pub expansion: usize,
    /// c: output channels before the width multiplier.
    pub channels: usize,
    /// n: number of blocks.
    pub blocks: usize,
    /// s: stride of the first block; the others have 1.
    pub stride: usize,
}

/// The paper's Table 2.
const PAPER: [(usize, usize, usize, usize); 7] = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
];

/// A MobileNetV2 to be built. Channels are multiplied by `width` and rounded to multiples of 8
/// ([`crate::make_divisible`]).
#[derive(Clone, Debug, PartialEq)]
pub struct MobileNetV2 {
    /// Name of the graph.
    pub name: String,
    /// Width multiplier, 0.05 to 4.
    pub width: f32,
    /// Height and width of the input in pixels, 1 to 4096.
    pub resolution: usize,
    /// Number of classes, 1 to 100,000.
    pub classes: usize,
    /// Channels of the input, 1 to 1024.
    pub in_channels: usize,
    /// Channels of the first 3x3 convolution, before the multiplier.
    pub stem_channels: usize,
    /// Stride of the first 3x3 convolution.
    pub stem_stride: usize,
    /// The stages.
    pub stages: Vec<Stage>,
    /// Channels of the last 1x1 convolution, before the multiplier. A multiplier below 1 leaves
    /// them as they are, as in the paper.
    pub head_channels: usize,
    /// Seed of the weights.
    pub seed: u64,
}

impl MobileNetV2 {
    /// The paper's network for 224x224 colour images and 1,000 classes: 3,504,872 parameters,
    /// 300,774,272 multiply-adds.
    pub fn imagenet() -> MobileNetV2 {
        MobileNetV2 {
            name: "mobilenet-v2".into(),
            width: 1.0,
            resolution: 224,
            classes: 1000,
            in_channels: 3,
            stem_channels: 32,
            stem_stride: 2,
            stages: stages(&PAPER),
            head_channels: 1280,
            seed: 0,
        }
    }

    /// The paper's network for 32x32 images and 10 classes: stem and second stage keep their
    /// input's size, so that 8 instead of 32 pixels share a place of the last map.
    pub fn small_image() -> MobileNetV2 {
        let mut net = MobileNetV2 {
            name: "mobilenet-v2-s32".into(),
            resolution: 32,
            classes: 10,
            stem_stride: 1,
            ..MobileNetV2::imagenet()
        };
        net.stages[1].stride = 1;
        net
    }

    /// A compact network for 28x28 grey images such as Fashion-MNIST, about 5 million
    /// multiply-adds: maps of 28, 14 and 7 pixels, at most 48 channels between blocks.
    pub fn tiny_image() -> MobileNetV2 {
        MobileNetV2 {
            name: "mobilenet-v2-s28".into(),
            resolution: 28,
            in_channels: 1,
            stem_channels: 16,
            stages: stages(&[(1, 16, 1, 1), (3, 24, 2, 2), (4, 32, 2, 2), (4, 48, 2, 1)]),
            head_channels: 192,
            ..MobileNetV2::small_image()
        }
    }

    /// This network for the task of square `settings`.
    pub(crate) fn with(self, settings: &Settings) -> MobileNetV2 {
        let [in_channels, resolution, _] = settings.input;
        let Settings { name, width, classes, seed, .. } = settings.clone();
        MobileNetV2 { name, width, resolution, classes, in_channels, seed, ..self }
    }

    /// The graph with fresh weights, a function of the fields alone.
    pub fn build(&self) -> Result<Graph, ZooError> {
        self.check()?;
        let mut net = Layers { b: Builder::new(&self.name, self.seed), index: 0 };
        let size = Dim::from(self.resolution);
        let dims = vec!["batch".into(), self.in_channels.into(), size.clone(), size];
        let mut x = net.b.input("input", dims);
        let mut channels = scale(self.stem_channels, self.width);
        x = net.stem(x, channels, self.stem_stride)?;
        for stage in &self.stages {
            for block in 0..stage.blocks {
                let stride = if block == 0 { stage.stride } else { 1 };
                let hidden = channels * stage.expansion;
                channels = scale(stage.channels, self.width);
                x = net.inverted_residual(x, hidden, channels, stride)?;
            }
        }
        x = net.head(x, scale(self.head_channels, self.width.max(1.0)), self.classes)?;
        net.b.rename(x, "logits");
        Ok(net.b.finish(&[x])?)
    }

    /// Bounds what a recipe can ask for: about 200 million weights at the extremes of width.
    fn check(&self) -> Result<(), ZooError> {
        if !(0.05..=4.0).contains(&self.width) {
            return out_of_range("width", self.width, "0.05 to 4");
        }
        in_range("resolution", self.resolution, 4096)?;
        in_range("classes", self.classes, 100_000)?;
        in_range("in_channels", self.in_channels, 1024)?;
        in_range("stem_channels", self.stem_channels, 4096)?;
        in_range("stem_stride", self.stem_stride, 16)?;
        in_range("head_channels", self.head_channels, 65_536)?;
        for stage in &self.stages {
            in_range("stage expansion", stage.expansion, 64)?;
            in_range("stage channels", stage.channels, 4096)?;
            in_range("stage blocks", stage.blocks, 256)?;
            in_range("stage stride", stage.stride, 16)?;
        }
        in_range("number of stages", self.stages.len(), 64)
    }
}

fn stages(rows: &[(usize, usize, usize, usize)]) -> Vec<Stage> {
    let stage =
        |&(expansion, channels, blocks, stride)| Stage { expansion, channels, blocks, stride };
    rows.iter().map(stage).collect()
}

/// Adds layers under torchvision's names: `features.I.conv...`, `classifier.1`.
struct Layers {
    b: Builder,
    index: usize,
}

impl Layers {
    fn stem(&mut self, x: ValueId, channels: usize, stride: usize) -> Result<ValueId, ZooError> {
        self.conv_norm(
            x,
            "features.0.0",
            "features.0.1",
            channels,
            Window::same(3, stride),
            1,
            true,
        )
    }

    fn inverted_residual(
        &mut self,
        x: ValueId,
        hidden: usize,
        channels: usize,
        stride: usize,
    ) -> Result<ValueId, ZooError> {
        self.index += 1;
        let stem = format!("features.{}.conv", self.index);
        let input = self.b.graph().value(x).shape.extent(1, &stem)?;
        let (point, mut part, mut y) = (Window::new([1, 1], [1, 1]), 0, x);
        if hidden != input {
            let (conv, norm) = (format!("{stem}.0.0"), format!("{stem}.0.1"));
            y = self.conv_norm(y, &conv, &norm, hidden, point, 1, true)?;
            part = 1;
        }
        let (conv, norm) = (format!("{stem}.{part}.0"), format!("{stem}.{part}.1"));
        y = self.conv_norm(y, &conv, &norm, hidden, Window::same(3, stride), hidden, true)?;
        let (conv, norm) = (format!("{stem}.{}", part + 1), format!("{stem}.{}", part + 2));
        y = self.conv_norm(y, &conv, &norm, channels, point, 1, false)?;
        Ok(if stride == 1 && input == channels { self.b.add(x, y)? } else { y })
    }

    fn head(&mut self, x: ValueId, channels: usize, classes: usize) -> Result<ValueId, ZooError> {
        self.index += 1;
        let (conv, norm) =
            (format!("features.{}.0", self.index), format!("features.{}.1", self.index));
        let x = self.conv_norm(x, &conv, &norm, channels, Window::new([1, 1], [1, 1]), 1, true)?;
        let x = self.b.global_average_pool(x)?;
        let x = self.b.flatten(x)?;
        Ok(self.b.linear(x, "classifier.1", classes)?)
    }

    fn conv_norm(
        &mut self,
        x: ValueId,
        conv: &str,
        norm: &str,
        channels: usize,
        window: Window,
        groups: usize,
        activate: bool,
    ) -> Result<ValueId, ZooError> {
        let x = self.b.conv(x, conv, channels, window, groups, false)?;
        let x = self.b.batch_norm(x, norm)?;
        Ok(if activate { self.b.relu6(x)? } else { x })
    }
}
