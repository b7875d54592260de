//! Settings of an architecture search.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use edgecut_search::ALGORITHMS;
use serde::{Deserialize, Serialize};

use super::{Amount, Amounts, Wrong, check};

/// What a network computes in on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Deployed {
    /// 8-bit integers
    Int8,
    /// Float32
    Float,
}

/// What to search, within which limits, and for how long.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SearchSettings {
    /// The space: one that comes along (mobile, families), or a TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = "mobile")]
    pub space: String,
    /// Side of the pictures in pixels; by default as they are, 224 where they differ
    #[arg(long, value_name = "PIXELS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<usize>,
    /// Most time of one picture on the device, such as 0.3ms
    #[arg(long, value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<String>,
    /// Most memory at run time, packed weights and activations, such as 200KiB
    #[arg(long, value_name = "SIZE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<String>,
    /// Largest ONNX file, such as 150KiB
    #[arg(long, value_name = "SIZE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Most energy of one picture, by a model that ranks networks and measures nothing, such as 0.05mJ
    #[arg(long, value_name = "ENERGY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy: Option<String>,
    /// What networks compute in on the device
    #[arg(long, value_enum, value_name = "PRECISION", default_value = "int8")]
    pub deploy: Deployed,
    /// The device is not this machine, but the one of this agent's pass (see edgecut agent)
    #[arg(long, value_name = "PASS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<PathBuf>,
    /// Have networks computed by the device and a server together, behind an uplink of so many megabits
    /// per second and a round trip in milliseconds, such as 5,40. Each is cut where that is best for it;
    /// --latency is then from the picture to the answer. All else is of the whole network on the device,
    /// which answers when the link is dead
    #[arg(long, value_name = "MBPS,RTT", requires = "server")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// How many times as fast as the device the server is, such as 10x
    #[arg(long, value_name = "Nx", requires = "link")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Threads that a network gets on the device
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub device_threads: usize,
    /// Networks of the space that are measured on the device, to predict the others from
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub measure: usize,
    /// Epochs of training for the weights that all networks of the space share
    #[arg(long, value_name = "N", default_value_t = 15)]
    pub shared_epochs: usize,
    /// Training pictures that are held out to judge networks by, at most a fifth of them
    #[arg(long, value_name = "N", default_value_t = 5000)]
    pub held_out: usize,
    /// How the next networks are chosen: predictor, nsga2, ehvi, evolution, random, or halving, which
    /// judges many by a part of the pictures and the best of them by more
    #[arg(long, value_name = "NAME", default_value = "predictor")]
    pub algorithm: String,
    /// Networks that are judged; by a part of the pictures counts as a part
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub trials: usize,
    /// Random networks that are ranked by scores that need no training; the best quarter of them begins
    /// the search
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub warm: usize,
    /// Networks of the front that are trained to the end, taught by the best of them
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub winners: usize,
    /// Epochs that each of them trains as integers
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub int8_epochs: usize,
}

impl Default for SearchSettings {
    fn default() -> SearchSettings {
        SearchSettings {
            space: "mobile".into(),
            resolution: None,
            latency: None,
            peak_memory: None,
            size: None,
            energy: None,
            deploy: Deployed::Int8,
            agent: None,
            link: None,
            server: None,
            device_threads: 1,
            measure: 60,
            shared_epochs: 15,
            held_out: 5000,
            algorithm: "predictor".into(),
            trials: 200,
            warm: 0,
            winners: 3,
            int8_epochs: 2,
        }
    }
}

impl SearchSettings {
    /// The limits in milliseconds, bytes and millijoules.
    pub fn limits(&self) -> Result<Amounts, Wrong> {
        let texts = [&self.latency, &self.peak_memory, &self.size, &self.energy];
        let amounts = Amounts::parse(texts)?;
        let all = [
            ("latency", amounts.latency),
            ("peak_memory", amounts.memory),
            ("size", amounts.size),
            ("energy", amounts.energy),
        ];
        match all.iter().find(|(_, amount)| matches!(amount, Some(Amount::Times(_)))) {
            None => Ok(amounts),
            Some(&(field, _)) => Err(Wrong {
                field,
                problem: "is a part, and there is no network yet that it is a part of".into(),
            }),
        }
    }

    /// The first field out of range.
    pub fn validate(&self) -> Result<(), Wrong> {
        self.limits()?;
        let count = |field: &'static str, n: usize, [least, most]: [usize; 2]| {
            check((least..=most).contains(&n), field, || {
                format!("is {n}, must be {least} to {most}")
            })
        };
        count("resolution", self.resolution.unwrap_or(224), [8, 1024])?;
        count("device_threads", self.device_threads, [1, 256])?;
        count("measure", self.measure, [10, 10_000])?;
        count("shared_epochs", self.shared_epochs, [1, 100_000])?;
        count("held_out", self.held_out, [10, 10_000_000])?;
        count("trials", self.trials, [1, 1_000_000])?;
        count("warm", self.warm, [0, 100_000])?;
        count("winners", self.winners, [1, 100])?;
        count("int8_epochs", self.int8_epochs, [0, 100_000])?;
        check(ALGORITHMS.contains(&self.algorithm.as_str()), "algorithm", || {
            format!("is '{}'; there are {}", self.algorithm, ALGORITHMS.join(", "))
        })
    }
}
