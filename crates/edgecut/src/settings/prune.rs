//! How much to prune, and what.

use clap::{Args, ValueEnum};
use edgecut_compress::prune::{Bounds, Importance, Ranking};
use serde::{Deserialize, Serialize};

use super::{Wrong, check};

/// How the worth of a channel is estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Worth {
    /// Sum of the magnitudes of its weights
    L1,
    /// Root of the sum of their squares
    L2,
    /// Magnitude of BatchNorm's factor
    Bnscale,
    /// Squares of its weights over those of all channels that are worth more
    Lamp,
    /// Distance from the weights of the other channels
    Fpgm,
    /// Change of the loss without it to first order, on pictures with classes
    Taylor,
    /// Change of the loss without it to second order (optimal brain damage), on pictures with classes
    Hessian,
    /// Mean magnitude of what it holds on pictures
    Activation,
    /// A seeded draw, to compare with
    Random,
}

impl Worth {
    /// What the library calls it.
    pub fn importance(self) -> Importance {
        match self {
            Worth::L1 => Importance::L1,
            Worth::L2 => Importance::L2,
            Worth::Bnscale => Importance::BnScale,
            Worth::Lamp => Importance::Lamp,
            Worth::Fpgm => Importance::Fpgm,
            Worth::Taylor => Importance::Taylor,
            Worth::Hessian => Importance::Hessian,
            Worth::Activation => Importance::Activation,
            Worth::Random => Importance::Random,
        }
    }
}

/// What channels are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Rank {
    /// All channels of the network
    Global,
    /// Those of their layers: each loses the same share
    Layer,
    /// Those of layers with the same structure around them; each structure loses the same share
    Isomorphic,
    /// All channels, by how much the loss on training pictures rises without parts of their layers
    Sensitivity,
    /// The best of global, isomorphic and sensitivity: what is left of the network by each answers training
    /// pictures, once BatchNorm has statistics of its own
    Auto,
}

impl Rank {
    /// What the library calls it.
    pub fn ranking(self) -> Ranking {
        match self {
            Rank::Layer => Ranking::Layer,
            Rank::Isomorphic => Ranking::Isomorphic,
            // Rises of the loss compare everywhere.
            Rank::Global | Rank::Sensitivity => Ranking::Global,
            Rank::Auto => Ranking::default(),
        }
    }

    /// Those to choose from: itself, or what it stands for.
    pub fn candidates(self) -> Vec<Rank> {
        match self {
            Rank::Auto => vec![Rank::Isomorphic, Rank::Sensitivity, Rank::Global],
            one => vec![one],
        }
    }
}

/// How to choose channels.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PruneSettings {
    /// How the worth of a channel is estimated, all weights that go with it together
    #[arg(long, value_enum, default_value = "l2", value_name = "HOW")]
    pub importance: Worth,
    /// What channels are compared with
    #[arg(long, value_enum, default_value = "isomorphic", value_name = "WITH")]
    pub rank: Rank,
    /// Channels of a layer that are left are a multiple of this, such as 8 or 16, which kernels
    /// like
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub round: usize,
    /// Channels of each group of coupled layers that stay at least
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub min_channels: usize,
    /// Share of each group of coupled layers that may go at most
    #[arg(long, value_name = "SHARE", default_value_t = 0.9)]
    pub max_ratio: f64,
    /// Number of training pictures that importances look at
    #[arg(long = "images", value_name = "N", default_value_t = 128)]
    pub images: usize,
    /// Seed of importance random
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

impl Default for PruneSettings {
    fn default() -> PruneSettings {
        PruneSettings {
            importance: Worth::L2,
            rank: Rank::Isomorphic,
            round: 8,
            min_channels: 8,
            max_ratio: 0.9,
            images: 128,
            seed: 0,
        }
    }
}

impl PruneSettings {
    /// The first field out of range.
    pub fn validate(&self) -> Result<(), Wrong> {
        let (round, least, share, n) = (self.round, self.min_channels, self.max_ratio, self.images);
        check((1..=1024).contains(&round), "round", || format!("is {round}, must be 1 to 1024"))?;
        check((1..=65536).contains(&least), "min_channels", || {
            format!("is {least}, must be 1 to 65536")
        })?;
        check(share > 0.0 && share < 1.0, "max_ratio", || {
            format!("is {share}, must be between 0 and 1")
        })?;
        check((1..=100_000).contains(&n), "images", || format!("is {n}, must be 1 to 100000"))
    }

    /// Whether training pictures are looked at.
    pub fn needs_images(&self) -> bool {
        let rank = matches!(self.rank, Rank::Sensitivity | Rank::Auto);
        self.importance.importance().needs_images() || rank
    }

    /// What must stay.
    pub fn bounds(&self) -> Bounds {
        Bounds { round: self.round, min_channels: self.min_channels, max_ratio: self.max_ratio }
    }
}

/// A size or time to reach: a part of what it was, or a number of its unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Amount {
    /// Times what it was: `0.5x`.
    Times(f64),
    /// So many: `150M`, `3ms`, `500KiB`.
    Absolute(f64),
}

impl Amount {
    /// The amount where it was `before`.
    pub fn of(self, before: f64) -> f64 {
        match self {
            Amount::Times(factor) => factor * before,
            Amount::Absolute(amount) => amount,
        }
    }

    /// A number of operations or parameters.
    pub fn count(text: &str) -> Result<Amount, String> {
        let units = [("k", 1e3), ("K", 1e3), ("M", 1e6), ("G", 1e9), ("", 1.0)];
        parse(text, &units, "a part such as 0.5x, or a number such as 150M")
    }

    /// Bytes.
    pub fn bytes(text: &str) -> Result<Amount, String> {
        let (kib, mib) = (1024.0, 1024.0 * 1024.0);
        let units = [("KiB", kib), ("MiB", mib), ("kB", 1e3), ("MB", 1e6), ("B", 1.0), ("", kib)];
        parse(text, &units, "a part such as 0.5x, or a size such as 500KiB or 2MiB")
    }

    /// Millijoules.
    pub fn energy(text: &str) -> Result<Amount, String> {
        let units = [("mJ", 1.0), ("uJ", 1e-3), ("µJ", 1e-3), ("J", 1e3), ("", 1.0)];
        parse(text, &units, "a part such as 0.5x, or an energy such as 0.2mJ")
    }

    /// Milliseconds.
    pub fn time(text: &str) -> Result<Amount, String> {
        let units = [("ms", 1.0), ("us", 1e-3), ("µs", 1e-3), ("s", 1e3), ("", 1.0)];
        parse(text, &units, "a part such as 0.5x, or a time such as 3ms or 800us")
    }
}

fn parse(text: &str, units: &[(&str, f64)], expected: &str) -> Result<Amount, String> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|n| *n > 0.0 && *n < 1e15);
    let amount = match text.strip_suffix('x') {
        Some(factor) => number(factor).filter(|f| *f <= 1.0).map(Amount::Times),
        None => units
            .iter()
            .find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, scale)))
            .and_then(|(rest, scale)| Some(Amount::Absolute(number(rest)? * scale))),
    };
    amount.ok_or_else(|| format!("must be {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_parts_or_numbers() {
        assert_eq!(Amount::count("0.5x"), Ok(Amount::Times(0.5)));
        assert_eq!(Amount::count("150M"), Ok(Amount::Absolute(150e6)));
        assert_eq!(Amount::bytes("2MiB"), Ok(Amount::Absolute(2097152.0)));
        assert_eq!(Amount::time("800us"), Ok(Amount::Absolute(0.8)));
        assert_eq!(Amount::time("3"), Ok(Amount::Absolute(3.0)));
        for wrong in ["2x", "-1M", "x", "", "nan", "0"] {
            assert!(Amount::count(wrong).is_err(), "{wrong}");
        }
    }
}
