//! What a network costs on a device, and what it may cost.

use serde::{Deserialize, Serialize};

use crate::settings::Amounts;
use crate::term;

/// What one picture costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// Median milliseconds: measured, or predicted where the device is a profile.
    pub latency_ms: f64,
    /// Bytes of packed weights and activations.
    pub memory: u64,
    /// Bytes of the ONNX file.
    pub size: u64,
    /// By the device's model; none without a profile.
    pub millijoules: Option<f64>,
}

/// A cost that can have a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cost {
    /// Median latency.
    Latency,
    /// Memory at run time.
    Memory,
    /// Size of the file.
    Size,
    /// Energy by a model.
    Energy,
}

impl Costs {
    /// The number of `cost`.
    pub fn of(&self, cost: Cost) -> f64 {
        match cost {
            Cost::Latency => self.latency_ms,
            Cost::Memory => self.memory as f64,
            Cost::Size => self.size as f64,
            Cost::Energy => self.millijoules.unwrap_or(0.0),
        }
    }
}

impl Cost {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Cost::Latency => "latency",
            Cost::Memory => "memory",
            Cost::Size => "file",
            Cost::Energy => "energy (model)",
        }
    }

    /// A number of it with its unit.
    pub fn text(self, value: f64) -> String {
        match self {
            Cost::Latency => term::milliseconds(value),
            Cost::Memory | Cost::Size => term::bytes(value as u64),
            Cost::Energy => format!("{value:.4} mJ"),
        }
    }
}

/// What a network may cost at most.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// Each cost that is bounded, in milliseconds, bytes or millijoules.
    pub at_most: Vec<(Cost, f64)>,
}

impl Bounds {
    /// `amounts` of what the float network costs.
    pub fn new(amounts: &Amounts, float: &Costs) -> Bounds {
        let stated = [
            (Cost::Latency, amounts.latency),
            (Cost::Memory, amounts.memory),
            (Cost::Size, amounts.size),
            (Cost::Energy, amounts.energy),
        ];
        let bound = |(cost, amount): (Cost, Option<crate::settings::Amount>)| {
            Some((cost, amount?.of(float.of(cost))))
        };
        Bounds { at_most: stated.into_iter().filter_map(bound).collect() }
    }

    /// How many times its bound the cost is that exceeds it most; at most 1 where all are met.
    pub fn excess(&self, costs: &Costs) -> f64 {
        let times = |&(cost, at_most): &(Cost, f64)| costs.of(cost) / at_most.max(1e-12);
        self.at_most.iter().map(times).fold(0.0, f64::max)
    }
}
