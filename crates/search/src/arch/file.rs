//! What stands in a file that describes a space.

use std::path::Path;

use edgecut_zoo::{Activation, Family};
use serde::{Deserialize, Serialize};

use super::choices::{Choice, Choices};
use crate::error::{Result, SearchError};

/// A space of architectures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SpaceFile {
    /// Its name.
    pub name: String,
    /// Pixels of the square input; by default those of the pictures, and 7/8 and 3/4 of them.
    pub resolution: Option<Choices<usize>>,
    /// The first convolution.
    pub stem: StemFile,
    /// Behind the convolutions of MobileNets, the stem and the last convolution.
    #[serde(default = "relu")]
    pub activation: Choices<Activation>,
    /// Channels of the last pointwise convolution; 0 is none.
    #[serde(default = "none")]
    pub last: Choices<usize>,
    /// The stages, in order.
    #[serde(rename = "stage")]
    pub stages: Vec<StageFile>,
}

/// The first convolution, 3x3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StemFile {
    /// Its channels.
    pub channels: Choices<usize>,
    /// Its stride.
    #[serde(default = "one")]
    pub stride: usize,
}

/// Blocks of one family and width.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StageFile {
    /// What the blocks are.
    pub block: Choices<Family>,
    /// Channels of their output, multiples of 8.
    pub channels: Choices<usize>,
    /// How many there are.
    pub depth: Choices<usize>,
    /// 1, or 2 where the first block halves the map.
    #[serde(default = "one")]
    pub stride: usize,
    /// Side of the depthwise filter of each block: 3, 5 or 7.
    #[serde(default = "three")]
    pub kernel: Choices<usize>,
    /// Of each block of MobileNetV2 and V3: channels inside over channels before it.
    #[serde(default = "six")]
    pub expansion: Choices<usize>,
    /// Of each block of MobileNetV3: whether it has squeeze-and-excitation.
    #[serde(default = "excited")]
    pub excite: Choices<bool>,
    /// Bits of the weights of its convolutions on the device, 8 or 4; activations have 8.
    #[serde(default = "eight")]
    pub bits: Choices<usize>,
}

fn relu() -> Choices<Activation> {
    Choices::one(Activation::Relu)
}

fn none() -> Choices<usize> {
    Choices::one(0)
}

fn one() -> usize {
    1
}

fn three() -> Choices<usize> {
    Choices::one(3)
}

fn six() -> Choices<usize> {
    Choices::one(6)
}

fn eight() -> Choices<usize> {
    Choices::one(8)
}

fn excited() -> Choices<bool> {
    Choices::one(true)
}

impl Choice for Family {
    fn range(_: &str) -> Option<Vec<Family>> {
        None
    }
}

impl Choice for Activation {
    fn range(_: &str) -> Option<Vec<Activation>> {
        None
    }
}

/// Spaces that come along, by name.
pub const SPACES: [(&str, &str); 3] = [
    ("mobile", include_str!("../../spaces/mobile.toml")),
    ("mixed", include_str!("../../spaces/mixed.toml")),
    ("families", include_str!("../../spaces/families.toml")),
];

impl SpaceFile {
    /// The space that comes along under this name.
    ///
    /// # Errors
    /// Where there is none; lists those that are.
    pub fn named(name: &str) -> Result<SpaceFile> {
        let Some((_, text)) = SPACES.iter().find(|(known, _)| *known == name) else {
            let known = SPACES.map(|(known, _)| known).join(", ");
            return Err(SearchError::Input(format!("no space '{name}'; there are {known}")));
        };
        SpaceFile::parse(text)
    }

    /// The space that comes along under this name, or the one in the file of that name.
    ///
    /// # Errors
    /// Where there is neither, or the file describes none; names it.
    pub fn open(name: &str) -> Result<SpaceFile> {
        let path = Path::new(name);
        match SpaceFile::named(name) {
            Err(unknown) if !name.ends_with(".toml") && !path.exists() => {
                Err(SearchError::Input(format!("{unknown}; or name a TOML file")))
            }
            Err(_) => {
                let text = std::fs::read_to_string(path).map_err(|e| SearchError::io(path, e))?;
                SpaceFile::parse(&text).map_err(|e| SearchError::Input(format!("{name}: {e}")))
            }
            known => known,
        }
    }

    /// Pixels of the input for pictures of `side` pixels.
    pub(super) fn sides(&self, side: usize) -> Choices<usize> {
        // Multiples of 4, so that maps can be halved twice.
        let part = |eighths: usize| (side * eighths / 8).next_multiple_of(4).min(side);
        let usual = || Choices::ascending(vec![part(6), part(7), side]);
        self.resolution.clone().unwrap_or_else(usual)
    }

    /// The space without its choices of bits: of networks that stay float.
    pub fn in_float(mut self) -> SpaceFile {
        self.stages.iter_mut().for_each(|stage| stage.bits = eight());
        self
    }

    /// Reads the description `text` of a space.
    ///
    /// # Errors
    /// The line and field where it is none, or the stage and field that is out of range.
    pub fn parse(text: &str) -> Result<SpaceFile> {
        let file: SpaceFile =
            toml::from_str(text).map_err(|e| SearchError::Input(e.to_string()))?;
        file.check()?;
        Ok(file)
    }

    fn check(&self) -> Result<()> {
        let within = |what: &str, values: &Choices<usize>, [least, most]: [usize; 2]| {
            let wrong = values.values().iter().find(|value| !(least..=most).contains(value));
            let say = |value| format!("{what}: {value} is not within {least} to {most}");
            wrong.map_or(Ok(()), |value| Err(SearchError::Input(say(value))))
        };
        if let Some(sides) = &self.resolution {
            within("resolution", sides, [8, 1024])?;
        }
        within("stem.channels", &self.stem.channels, [1, 4096])?;
        within("stem.stride", &Choices::one(self.stem.stride), [1, 4])?;
        within("last", &self.last, [0, 65_536])?;
        if self.stages.is_empty() || self.stages.len() > 16 {
            return Err(SearchError::Input("a space has 1 to 16 [[stage]]s".into()));
        }
        for (number, stage) in (1..).zip(&self.stages) {
            let name = |field: &str| format!("stage {number}: {field}");
            within(&name("channels"), &stage.channels, [8, 4096])?;
            within(&name("depth"), &stage.depth, [1, 16])?;
            within(&name("stride"), &Choices::one(stage.stride), [1, 2])?;
            within(&name("kernel"), &stage.kernel, [3, 7])?;
            within(&name("expansion"), &stage.expansion, [1, 64])?;
            stage.check(number)?;
        }
        Ok(())
    }
}

impl StageFile {
    fn check(&self, number: usize) -> Result<()> {
        let wrong = |problem: String| Err(SearchError::Input(format!("stage {number}: {problem}")));
        if let Some(even) = self.kernel.values().iter().find(|&&kernel| kernel % 2 == 0) {
            return wrong(format!("kernel: {even} is not 3, 5 or 7"));
        }
        if let Some(other) = self.bits.values().iter().find(|bits| ![4, 8].contains(bits)) {
            return wrong(format!("bits: {other} is not 4 or 8"));
        }
        if let Some(odd) = self.channels.values().iter().find(|&&channels| channels % 8 != 0) {
            return wrong(format!("channels: {odd} is no multiple of 8"));
        }
        if self.stride != 2 && self.block.values().iter().any(|family| family.shuffles()) {
            return wrong("block: ShuffleNet's units begin with stride = 2".into());
        }
        Ok(())
    }
}
