//! What a network is built for, whatever its architecture.

use edgecut_graph::{Builder, ValueId};

use crate::ZooError;
use crate::layers::{Net, Style};

/// What a caller may choose; `None` takes the architecture's own value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Width multiplier.
    pub width: Option<f32>,
    /// Height and width of the input in pixels.
    pub resolution: Option<usize>,
    /// Number of classes.
    pub classes: Option<usize>,
    /// Channels of the input.
    pub in_channels: Option<usize>,
    /// Seed of the weights.
    pub seed: u64,
}

/// Input, classes and width of a network to be built.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Name of the graph.
    pub name: String,
    /// Multiplier of the channels inside, 0.05 to 4. Each architecture says which channels it
    /// scales and what it rounds them to; at 1 they are the paper's.
    pub width: f32,
    /// Channels (1 to 1024), height and width (1 to 4096 pixels) of the input.
    pub input: [usize; 3],
    /// Number of classes, 1 to 100,000.
    pub classes: usize,
    /// Seed of the weights.
    pub seed: u64,
}

impl Settings {
    /// Settings for the paper's width and seed 0.
    pub fn new(name: impl Into<String>, input: [usize; 3], classes: usize) -> Settings {
        Settings { name: name.into(), width: 1.0, input, classes, seed: 0 }
    }

    /// These settings with what `options` sets. A resolution makes the input square.
    pub fn with(mut self, options: &Options) -> Settings {
        let [channels, height, width] = self.input;
        self.input = [
            options.in_channels.unwrap_or(channels),
            options.resolution.unwrap_or(height),
            options.resolution.unwrap_or(width),
        ];
        self.width = options.width.unwrap_or(self.width);
        self.classes = options.classes.unwrap_or(self.classes);
        self.seed = options.seed;
        self
    }

    /// Fails, naming the field, where a setting is out of its range: about 400 million weights at
    /// the extremes of the largest architecture.
    pub fn check(&self) -> Result<(), ZooError> {
        if !(0.05..=4.0).contains(&self.width) {
            return out_of_range("width", self.width, "0.05 to 4");
        }
        in_range("in_channels", self.input[0], 1024)?;
        in_range("resolution", self.input[1], 4096)?;
        in_range("resolution", self.input[2], 4096)?;
        in_range("classes", self.classes, 100_000)
    }

    /// An empty network and its input `[batch, channels, height, width]`.
    pub(crate) fn start(&self, style: Style) -> Result<(Net, ValueId), ZooError> {
        self.check()?;
        let mut b = Builder::new(&self.name, self.seed);
        let [channels, height, width] = self.input;
        let x = b.input("input", ["batch".into(), channels.into(), height.into(), width.into()]);
        Ok((Net { b, style }, x))
    }
}

/// Fails where `value` is not from 1 to `most`.
pub(crate) fn in_range(field: &'static str, value: usize, most: usize) -> Result<(), ZooError> {
    match value {
        v if (1..=most).contains(&v) => Ok(()),
        v => out_of_range(field, v, &format!("1 to {most}")),
    }
}

pub(crate) fn out_of_range<T>(
    field: &'static str,
    value: impl ToString,
    allowed: &str,
) -> Result<T, ZooError> {
    Err(ZooError::OutOfRange { field, value: value.to_string(), allowed: allowed.into() })
}
