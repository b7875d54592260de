//! Which weights stand or fall together, and which go.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::matrix::Matrix;
use crate::{CompressError, Result};

/// A pattern of zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Pattern {
    /// Each weight on its own.
    #[default]
    Single,
    /// At most `keep` of every `of` neighbouring input channels: 2:4 and the like.
    Neighbours {
        /// Weights that stay.
        keep: usize,
        /// Of so many.
        of: usize,
    },
    /// The weights from one input channel to so many neighbouring outputs go together.
    Block {
        /// Outputs of a block.
        outputs: usize,
    },
}

/// Weights that stand or fall together, and what they are worth.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    layer: usize,
    elements: Vec<usize>,
    worth: f64,
}

impl Pattern {
    pub(super) fn check(self) -> Result<()> {
        let fine = match self {
            Pattern::Single => true,
            Pattern::Neighbours { keep, of } => 0 < keep && keep < of && of <= 64,
            Pattern::Block { outputs } => (2..=64).contains(&outputs),
        };
        let wrong = CompressError::Setting {
            field: "pattern",
            value: self.to_string(),
            expected: "single, N:M with N below M up to 64, or a block of 2x1 to 64x1",
        };
        if fine { Ok(()) } else { Err(wrong) }
    }

    /// The share of [`Pattern::units`] that goes where `share` of the weights shall: those of N:M
    /// patterns all do.
    pub(super) fn share_of_units(self, share: f64) -> f64 {
        match self {
            Pattern::Neighbours { .. } => 1.0,
            Pattern::Single | Pattern::Block { .. } => share,
        }
    }

    /// The units of a layer. Of N:M patterns only what must go, each on its own.
    pub(super) fn units(self, matrix: &Matrix, layer: usize, worth: &[f64]) -> Vec<Unit> {
        let [outputs, places, inputs] = matrix.extents;
        let mut units = Vec::new();
        let mut add = |elements: Vec<usize>| {
            let worth = elements.iter().map(|&e| worth[e]).sum::<f64>() / elements.len() as f64;
            units.push(Unit { layer, elements, worth });
        };
        match self {
            Pattern::Single => (0..worth.len()).for_each(|element| add(vec![element])),
            Pattern::Block { outputs: size } => {
                for first in (0..outputs).step_by(size) {
                    let block = first..(first + size).min(outputs);
                    for (place, input) in pairs(places, inputs) {
                        add(block.clone().map(|o| matrix.element(o, place, input)).collect());
                    }
                }
            }
            Pattern::Neighbours { keep, of } => {
                for (output, place) in pairs(outputs, places) {
                    for first in (0..inputs).step_by(of) {
                        let last = (first + of).min(inputs);
                        let mut group: Vec<usize> =
                            (first..last).map(|i| matrix.element(output, place, i)).collect();
                        group.sort_by(|&a, &b| worth[a].total_cmp(&worth[b]).then(a.cmp(&b)));
                        group.truncate(group.len().saturating_sub(keep));
                        group.into_iter().for_each(|element| add(vec![element]));
                    }
                }
            }
        }
        units
    }
}

fn pairs(outer: usize, inner: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..outer).flat_map(move |a| (0..inner).map(move |b| (a, b)))
}

/// Layer and element of the weights that go: the units of least worth, up to `share` of the weights in
/// them, of each layer or of all together. Units that are equally worth go in the order of layers and
/// elements.
pub(super) fn least(layers: Vec<Vec<Unit>>, share: f64, per_layer: bool) -> Vec<(usize, usize)> {
    let together: Vec<Vec<Unit>> = match per_layer {
        true => layers,
        false => vec![layers.into_iter().flatten().collect()],
    };
    let mut gone = Vec::new();
    for mut units in together {
        let total: usize = units.iter().map(|unit| unit.elements.len()).sum();
        let mut left = (share * total as f64).round() as usize;
        units.sort_by(|a, b| a.worth.total_cmp(&b.worth));
        for unit in units {
            if unit.elements.len() > left {
                break;
            }
            left -= unit.elements.len();
            gone.extend(unit.elements.into_iter().map(|element| (unit.layer, element)));
        }
    }
    gone
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Single => write!(f, "single"),
            Pattern::Neighbours { keep, of } => write!(f, "{keep}:{of}"),
            Pattern::Block { outputs } => write!(f, "{outputs}x1"),
        }
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Pattern, String> {
        let wrong =
            || format!("'{text}': allowed are single, N:M such as 2:4, and N x 1 such as 16x1");
        let two = |mark: char| {
            let (a, b) = text.split_once(mark)?;
            Some((a.parse::<usize>().ok()?, b.parse::<usize>().ok()?))
        };
        let pattern = match (text, two(':'), two('x')) {
            ("single", ..) => Pattern::Single,
            (_, Some((keep, of)), _) => Pattern::Neighbours { keep, of },
            (_, _, Some((outputs, 1))) => Pattern::Block { outputs },
            _ => return Err(wrong()),
        };
        pattern.check().map_err(|_| wrong())?;
        Ok(pattern)
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Pattern, String> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> String {
        pattern.to_string()
    }
}
