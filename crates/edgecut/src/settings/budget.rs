//! Settings of what a deployed network may cost.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Amount, Wrong, check};

/// What the quantised network may cost on the device, and how long the way there may take. A cost is
/// a part of what the float network costs that it begins with (`"0.5x"`), or a number of its unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetSettings {
    /// Median time of one picture: `"0.5x"` or `"3ms"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<String>,
    /// Packed weights and activations at run time: `"0.3x"` or `"500KiB"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// The ONNX file: `"0.25x"` or `"200KiB"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Energy of one picture by the device's model, which ranks networks and measures nothing:
    /// `"0.5x"` or `"0.2mJ"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy: Option<String>,
    /// Points of top-1 that may be lost against the float network that it begins with.
    pub max_drop: f64,
    /// No step begins behind so many minutes, training of the first network not counted.
    pub minutes: f64,
    /// Epochs of training behind a step; hard ones get more.
    pub epochs: usize,
    /// Highest learning rate of these; a quarter of that of `[train]` where none is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr: Option<f32>,
    /// The device: a profile that `edgecut device measure` wrote there, or the pass of an agent that
    /// runs there; this machine where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<PathBuf>,
}

impl Default for BudgetSettings {
    fn default() -> BudgetSettings {
        BudgetSettings {
            latency: None,
            memory: None,
            size: None,
            energy: None,
            max_drop: 0.5,
            minutes: 60.0,
            epochs: 3,
            lr: None,
            device: None,
        }
    }
}

/// The costs that have a bound.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Amounts {
    /// Milliseconds.
    pub latency: Option<Amount>,
    /// Bytes.
    pub memory: Option<Amount>,
    /// Bytes.
    pub size: Option<Amount>,
    /// Millijoules.
    pub energy: Option<Amount>,
}

impl Amounts {
    /// Latency, memory, size and energy as they are written.
    pub fn parse([latency, memory, size, energy]: [&Option<String>; 4]) -> Result<Amounts, Wrong> {
        let parse = |text: &Option<String>, field, read: fn(&str) -> Result<Amount, String>| {
            let wrong = |problem| Wrong { field, problem };
            text.as_deref().map(read).transpose().map_err(wrong)
        };
        Ok(Amounts {
            latency: parse(latency, "latency", Amount::time)?,
            memory: parse(memory, "memory", Amount::bytes)?,
            size: parse(size, "size", Amount::bytes)?,
            energy: parse(energy, "energy", Amount::energy)?,
        })
    }
}

impl BudgetSettings {
    /// The costs, parsed.
    pub fn amounts(&self) -> Result<Amounts, Wrong> {
        Amounts::parse([&self.latency, &self.memory, &self.size, &self.energy])
    }

    /// The first field out of range.
    pub fn validate(&self) -> Result<(), Wrong> {
        let some = self.amounts()? != Amounts::default();
        check(some, "latency", || {
            "is missing, and so are memory, size and energy; give one, such as latency = \"0.5x\""
                .into()
        })?;
        let (drop, minutes, epochs) = (self.max_drop, self.minutes, self.epochs);
        check((0.0..=100.0).contains(&drop), "max_drop", || {
            format!("is {drop}, must be 0 to 100")
        })?;
        check(minutes > 0.0 && minutes <= 1e5, "minutes", || {
            format!("is {minutes}, must be above 0, at most 100000")
        })?;
        check((1..=10_000).contains(&epochs), "epochs", || {
            format!("is {epochs}, must be 1 to 10000")
        })?;
        let lr = self.lr.unwrap_or(0.1);
        check(lr > 0.0 && lr <= 10.0, "lr", || format!("is {lr}, must be above 0, at most 10"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_needs_a_cost_that_can_be_read() {
        let field = |budget: BudgetSettings| budget.validate().err().map(|wrong| wrong.field);
        let of = |text: &str| Some(text.to_string());
        assert_eq!(field(BudgetSettings::default()), Some("latency"));
        assert_eq!(field(BudgetSettings { size: of("0.25x"), ..Default::default() }), None);
        assert_eq!(
            field(BudgetSettings { memory: of("much"), ..Default::default() }),
            Some("memory")
        );
        let budget = BudgetSettings { energy: of("200uJ"), ..Default::default() };
        assert_eq!(budget.amounts().unwrap().energy, Some(Amount::Absolute(0.2)));
        assert_eq!(field(BudgetSettings { minutes: f64::NAN, ..budget }), Some("minutes"));
    }
}
