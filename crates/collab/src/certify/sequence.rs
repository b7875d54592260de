//! Configurations in order, and what samples lose under each.

use super::{Goal, Risk, Sample};
use crate::{CollabError, Result};

/// Steps for each halving of the distance to full confidence.
const PER_OCTAVE: u32 = 8;

/// Halvings of it that the most careful configuration is away from none.
const OCTAVES: u32 = 40;

/// Thresholds of all exits, from the most careful configuration to the boldest: each has at most the
/// thresholds of the one before.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequence(Vec<Vec<f64>>);

impl Sequence {
    /// `exits` exits with one threshold for all, 1 - 2^(-k/8) for k from 320 to 0: as fine where
    /// confidences crowd, close to 1, as elsewhere. The last asks nobody.
    pub fn common(exits: usize) -> Sequence {
        let threshold = |k: u32| 1.0 - libm::exp2(-f64::from(k) / f64::from(PER_OCTAVE));
        Sequence((0..=OCTAVES * PER_OCTAVE).rev().map(|k| vec![threshold(k); exits]).collect())
    }

    /// Configurations that were chosen without the samples that are to certify them.
    ///
    /// # Errors
    /// Where there is none, they differ in the number of exits, or thresholds rise.
    pub fn new(configurations: Vec<Vec<f64>>) -> Result<Sequence> {
        let fail = |problem: &str| Err(CollabError::Certify(problem.into()));
        let Some(first) = configurations.first() else { return fail("no configuration to test") };
        if first.is_empty() || configurations.iter().any(|c| c.len() != first.len()) {
            return fail("configurations must have one threshold for each exit");
        }
        if configurations.iter().flatten().any(|t| t.is_nan()) {
            return fail("a threshold is no number");
        }
        let rises = |pair: &[Vec<f64>]| pair[0].iter().zip(&pair[1]).any(|(a, b)| a < b);
        match configurations.windows(2).position(rises) {
            Some(at) => fail(&format!("a threshold rises after configuration {at}")),
            None => Ok(Sequence(configurations)),
        }
    }

    /// The configurations.
    pub fn configurations(&self) -> &[Vec<f64>] {
        &self.0
    }
}

/// How many samples are answered worse and better than by the full model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Losses of 1.
    pub worse: u64,
    /// Losses of -1.
    pub better: u64,
}

/// What every sample loses under every configuration: where its loss changes, as thresholds fall. It
/// changes as often as an earlier exit takes over, at most.
#[derive(Clone, Debug)]
pub struct Ledger {
    steps: usize,
    /// For each sample, step and loss from there on.
    changes: Vec<Vec<(usize, i8)>>,
}

impl Ledger {
    /// The losses of `samples`.
    ///
    /// # Errors
    /// Where samples have other exits than the sequence, or lack labels that the risk needs.
    pub fn new(samples: &[Sample], sequence: &Sequence, risk: Risk) -> Result<Ledger> {
        let configurations = sequence.configurations();
        let mut ledger = Ledger { steps: configurations.len(), changes: vec![] };
        for (index, sample) in samples.iter().enumerate() {
            if sample.exits.len() != configurations[0].len() {
                let (own, all) = (sample.exits.len(), configurations[0].len());
                return Err(CollabError::Certify(format!(
                    "sample {index} has {own} exits, the configurations have {all}"
                )));
            }
            if risk == Risk::Gap && sample.label.is_none() {
                return Err(CollabError::Certify(format!(
                    "sample {index} has no label: only disagreement can be certified without"
                )));
            }
            ledger.changes.push(changes(sample, configurations, risk));
        }
        Ok(ledger)
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The last configuration that holds, by the samples at `picked`.
    pub fn certify(&self, picked: impl IntoIterator<Item = usize>, goal: &Goal) -> Option<usize> {
        let (losses, n) = self.losses(picked);
        goal.last_that_holds(&losses, n)
    }

    /// Losses of the samples at `picked` under each configuration, and how many samples they are.
    pub fn losses(&self, picked: impl IntoIterator<Item = usize>) -> (Vec<Losses>, u64) {
        // What begins and ends at each step.
        let mut moves = vec![[0i64; 2]; self.steps];
        let mut n = 0;
        for sample in picked {
            n += 1;
            let mut before = 0i8;
            for &(step, loss) in &self.changes[sample] {
                moves[step][0] += i64::from(loss == 1) - i64::from(before == 1);
                moves[step][1] += i64::from(loss == -1) - i64::from(before == -1);
                before = loss;
            }
        }
        let mut sums = [0i64; 2];
        let sum = |step: [i64; 2]| {
            sums = [sums[0] + step[0], sums[1] + step[1]];
            Losses { worse: sums[0] as u64, better: sums[1] as u64 }
        };
        (moves.into_iter().map(sum).collect(), n)
    }
}

fn changes(sample: &Sample, configurations: &[Vec<f64>], risk: Risk) -> Vec<(usize, i8)> {
    let mut found = vec![];
    let (mut from, mut before) = (0, 0i8);
    // From one exit that takes over to the next.
    let mut current: Option<usize> = None;
    loop {
        // Earlier exits only: later ones do not answer while this one does.
        let open = &sample.exits[..current.unwrap_or(sample.exits.len())];
        let rest = &configurations[from..];
        let taken = |thresholds: &Vec<f64>| {
            open.iter().zip(thresholds).any(|((score, _), threshold)| score >= threshold)
        };
        // Thresholds fall, so what is taken stays taken.
        let step = from + rest.partition_point(|thresholds| !taken(thresholds));
        let Some(thresholds) = configurations.get(step) else { return found };
        current = sample.exit(thresholds);
        let loss = current.map_or(0, |exit| loss(sample, sample.exits[exit].1, risk));
        if loss != before {
            found.push((step, loss));
        }
        (from, before) = (step, loss);
    }
}

fn loss(sample: &Sample, class: u32, risk: Risk) -> i8 {
    match risk {
        Risk::Gap => {
            i8::from(sample.label == Some(sample.full)) - i8::from(sample.label == Some(class))
        }
        Risk::Disagreement => i8::from(sample.full != class),
    }
}
