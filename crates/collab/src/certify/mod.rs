//! When a small model's answer will do: thresholds of confidence with a guarantee.
//!
//! A cascade answers with the first exit whose confidence reaches its threshold, and asks the full
//! model where none does. Lower thresholds ask less and err more. [`certify`] finds the lowest of a
//! sequence of configurations such that, with probability 1 - delta over the samples that it is given,
//! the risk of the cascade on new samples of the same kind is at most epsilon:
//!
//! | [`Risk`] | loss of a sample | needs labels |
//! | --- | --- | --- |
//! | `Gap` | 1 where the full model is right and the cascade is not, -1 the other way round | yes |
//! | `Disagreement` | 1 where the cascade answers otherwise than the full model | no |
//!
//! The mean of the first is by how much the cascade's accuracy lies below the full model's, gains
//! counted; the second bounds it. Configurations are tested from the most careful on, each at level
//! delta, and the first that fails ends the sequence: fixed-sequence testing in Learn then Test
//! (Angelopoulos et al., arXiv:2110.01052), which early exits use in Jazbec et al. (arXiv:2405.20915)
//! and Ringel et al. (arXiv:2402.00857). It costs nothing that there are many, as long as the sequence
//! does not depend on the samples; so [`Sequence::common`] is the same for all.
//!
//! What is guaranteed is a mean over samples like those of the calibration, not for each of them and
//! not for each class. When the world changes nothing is guaranteed, and [`drift`](crate::drift)
//! watches for that.
//!
//! | file | holds |
//! | --- | --- |
//! | `score` | how sure a model is |
//! | `binomial`, [`pvalue`] | the tests |
//! | `sequence` | configurations in order, and what samples lose under each |
//! | `resplit` | the guarantee tried on re-splits of labelled samples |
//! | `certificate` | the result as a file |

mod binomial;
mod certificate;
pub mod pvalue;
mod resplit;
mod score;
mod sequence;

pub use binomial::{Binomial, upper_bound};
pub use certificate::{Certificate, VERSION};
pub use resplit::{Resplits, Violations};
pub use score::Score;
pub use sequence::{Ledger, Losses, Sequence};

use serde::{Deserialize, Serialize};

use crate::Result;

/// What the small model, exit by exit, and the full one say of a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Confidence and class of each exit, the first one first.
    pub exits: Vec<(f64, u32)>,
    /// Class of the full model.
    pub full: u32,
    /// The right class, where it is known.
    pub label: Option<u32>,
}

impl Sample {
    /// The exit that answers under these thresholds; none where the full model is asked.
    pub fn exit(&self, thresholds: &[f64]) -> Option<usize> {
        let mut exits = self.exits.iter().zip(thresholds);
        exits.position(|((score, _), threshold)| score >= threshold)
    }
}

/// What must stay small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// The full model's accuracy less the cascade's.
    Gap,
    /// The share of answers that differ from the full model's.
    Disagreement,
}

/// What is to be guaranteed: that `risk` is at most `epsilon`, with probability 1 - `delta`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    /// What must stay small.
    pub risk: Risk,
    /// How small, above 0 and below 1.
    pub epsilon: f64,
    /// How often the guarantee may fail, above 0 and below 1.
    pub delta: f64,
}

/// Of delta, what [`pvalue::paired`] spends on how often models differ.
const SPARE: f64 = 0.05;

impl Goal {
    /// How unlikely these losses of `n` samples are if the risk is epsilon or more.
    pub fn p_value(&self, losses: &Losses, n: u64) -> f64 {
        match self.risk {
            Risk::Gap => {
                pvalue::paired(losses.worse, losses.better, n, self.epsilon, SPARE * self.delta)
            }
            Risk::Disagreement => pvalue::exact(losses.worse, n, self.epsilon),
        }
    }

    /// The last configuration before the first that fails, by their losses over `n` samples.
    fn last_that_holds(&self, losses: &[Losses], n: u64) -> Option<usize> {
        let holds = |losses: &&Losses| self.p_value(losses, n) <= self.delta;
        losses.iter().take_while(holds).count().checked_sub(1)
    }

    /// Fewest samples that could certify anything: with no loss among them.
    pub fn fewest(&self) -> u64 {
        libm::ceil(libm::log(self.delta) / libm::log1p(-self.epsilon)) as u64
    }

    fn check(&self) -> Result<()> {
        for (name, value) in [("epsilon", self.epsilon), ("delta", self.delta)] {
            if !(value > 0.0 && value < 1.0) {
                return Err(crate::CollabError::Certify(format!(
                    "{name} is {value}, must lie between 0 and 1"
                )));
            }
        }
        Ok(())
    }
}

/// The last configuration of a sequence that holds, from `samples` that nothing else was chosen by;
/// none where not even the first does.
///
/// # Errors
/// Where samples have other exits than the sequence, lack labels that the risk needs, or the goal is
/// out of range.
pub fn certify(samples: &[Sample], sequence: &Sequence, goal: &Goal) -> Result<Option<usize>> {
    goal.check()?;
    let ledger = Ledger::new(samples, sequence, goal.risk)?;
    Ok(ledger.certify(0..samples.len(), goal))
}

/// What a configuration does on samples.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// Samples.
    pub samples: usize,
    /// Answered by each exit.
    pub exits: Vec<usize>,
    /// Answered by the full model.
    pub escalated: usize,
    /// The same answer as the full model.
    pub agree: usize,
    /// Samples with a label.
    pub labelled: usize,
    /// Of these, right answers of the first exit alone, of the cascade and of the full model.
    pub right: [usize; 3],
}

impl Measured {
    /// Measures `samples` under `thresholds`; without any the full model answers everything.
    pub fn of<'a>(samples: impl IntoIterator<Item = &'a Sample>, thresholds: &[f64]) -> Measured {
        let mut found = Measured {
            samples: 0,
            exits: vec![0; thresholds.len()],
            escalated: 0,
            agree: 0,
            labelled: 0,
            right: [0; 3],
        };
        for sample in samples {
            let exit = sample.exit(thresholds);
            let class = exit.map_or(sample.full, |exit| sample.exits[exit].1);
            found.samples += 1;
            match exit {
                Some(exit) => found.exits[exit] += 1,
                None => found.escalated += 1,
            }
            found.agree += usize::from(class == sample.full);
            let Some(label) = sample.label else { continue };
            found.labelled += 1;
            let first = sample.exits.first().map_or(sample.full, |(_, class)| *class);
            for (right, class) in found.right.iter_mut().zip([first, class, sample.full]) {
                *right += usize::from(class == label);
            }
        }
        found
    }

    /// Share of samples for which the full model is not asked.
    pub fn saved(&self) -> f64 {
        1.0 - self.escalated as f64 / self.samples.max(1) as f64
    }

    /// The full model's accuracy less the cascade's.
    pub fn gap(&self) -> f64 {
        (self.right[2] as f64 - self.right[1] as f64) / self.labelled.max(1) as f64
    }
}
