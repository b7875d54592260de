//! Ranges chosen value by value.
//!
//! A method that is best on the whole is not best for every activation. Going through the values in
//! order, each tries the other methods, and keeps the one with which the outputs come nearest to
//! those of the float graph.

use crate::probe::Probe;
use crate::recipe::{Built, Stage};
use crate::scheme::Scheme;
use crate::score::{Scored, Truth};
use crate::{CompressError, RangeMethod, Recipe, Result};

/// Decibels that another method must gain for one value.
const WORTH: f64 = 0.02;

/// Methods that a value may have.
const METHODS: [RangeMethod; 4] = [
    RangeMethod::MinMax,
    RangeMethod::Mse,
    RangeMethod::Percentile(99.99),
    RangeMethod::Percentile(99.9),
];

/// Improves `recipe` as far as `probe`'s control allows, judged by `truth` on the same images.
/// Returns what was found, and whether it ended early. Codes and biases of `built` stay.
pub(crate) fn refine(
    recipe: &Recipe,
    built: &Built,
    stage: &Stage,
    truth: &Truth,
    probe: Probe,
) -> Result<(Recipe, bool)> {
    let mut best = recipe.clone();
    match improve(&mut best, built, stage, truth, probe) {
        Ok(()) => Ok((best, false)),
        Err(CompressError::Stopped) => Ok((best, true)),
        Err(error) => Err(error),
    }
}

fn improve(
    best: &mut Recipe,
    built: &Built,
    stage: &Stage,
    truth: &Truth,
    probe: Probe,
) -> Result<()> {
    let score = |recipe: &Recipe| -> Result<Scored> {
        let scheme = Scheme::new(&built.float, &stage.calibration, &recipe.config)?;
        truth.scored(&scheme.build(&built.learning)?.graph, probe)
    };
    let mut least = score(best)?;
    let values = Scheme::new(&built.float, &stage.calibration, &best.config)?.deciding();
    for (index, value) in values.iter().enumerate() {
        (probe.control.say)(&format!("range of '{value}', {} of {}", index + 1, values.len()));
        let now = best.config.methods.get(value).copied().unwrap_or(best.config.method);
        for method in METHODS.into_iter().filter(|&method| method != now) {
            probe.control.check()?;
            let mut trial = best.clone();
            trial.config.methods.insert(value.clone(), method);
            let found = score(&trial)?;
            if found.beats(&least, WORTH) {
                (*best, least) = (trial, found);
            }
        }
    }
    Ok(())
}
