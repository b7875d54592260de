//! Trying combinations of methods and keeping the best.
//!
//! No single method is best on every network, and a bad choice is silent. So the promising ones are
//! tried, cheap ones first, each on top of the best so far, and scored against the float graph on
//! images that took no part in calibration. What is found is the best of what was tried, whenever
//! it ends.

mod latency;

use std::sync::Arc;
use std::time::Instant;

use edgecut_graph::Graph;
use edgecut_kernels::Pool;
use serde::Serialize;

use crate::images::{Cached, Images, Part};
use crate::mixed::{Judge, Limits, Mixed, meet, narrow, packed_bytes};
use crate::probe::Probe;
use crate::recipe::{Built, Workshop};
use crate::refine::refine;
use crate::scheme::Scheme;
use crate::score::{Scored, Truth};
use crate::twin::Twin;
use crate::{
    Activations, BiasCorrection, Bits, CompressError, Control, Quantized, RangeMethod, Recipe,
    Result, Rounding, Score, WeightRange,
};

/// One image in this many is held out for scoring.
const HELD_OUT: usize = 4;
/// Below this many images all of them calibrate and score.
const FEW: usize = 8;
/// Images that scores look at, at most.
const SCORED: usize = 256;
/// Images that ranges of single values are judged on.
const REFINED: usize = 48;
/// Images that sensitivities are measured on.
const SENSED: usize = 16;
/// Decibels that a costlier combination must gain.
const WORTH: f64 = 0.05;

/// A combination that was tried.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    /// The combination.
    pub recipe: Recipe,
    /// In a few words.
    pub summary: String,
    /// How it did on the held-out images.
    pub score: Score,
    /// Seconds that it took, scoring included.
    pub seconds: f64,
}

/// The best combination and how it was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The quantised graph and its report.
    pub quantized: Quantized,
    /// The combination that made it.
    pub recipe: Recipe,
    /// Its score on the held-out images.
    pub score: Score,
    /// Everything that was tried, in order.
    pub trials: Vec<Trial>,
    /// Whether time or the user ended the search early.
    pub stopped: bool,
    /// How limits were met, where there are some and the search came to it.
    pub mixed: Option<Mixed>,
}

/// Quantises `graph` by `recipe` alone, and scores it on held-out images.
///
/// # Errors
/// As [`crate::quantize`] and [`crate::calibrate`].
pub fn quantize_with(
    graph: &Graph,
    images: &dyn Images,
    recipe: &Recipe,
    pool: &Arc<Pool>,
    control: &Control,
) -> Result<Found> {
    let cached = Cached::new(images);
    let (calibrating, scored) = split(&cached);
    let mut search = Search::open(graph, &calibrating, &scored, pool, control)?;
    search.attempt(recipe, control)?;
    search.finish(false, control)
}

/// Quantises `graph` by the best of many combinations, and narrows or widens layers of it until the
/// `limits` are met. `base` says what all combinations share: placement, nodes that stay float,
/// widths. Stops when `control` says so, with the best so far.
/// The result is the same on any number of threads, unless time ends the search.
///
/// # Errors
/// As [`crate::quantize`] and [`crate::calibrate`]; [`CompressError::Stopped`] where somebody asked
/// to stop before the first combination was done.
pub fn portfolio(
    graph: &Graph,
    images: &dyn Images,
    base: &Recipe,
    limits: Limits,
    pool: &Arc<Pool>,
    control: &Control,
) -> Result<Found> {
    let cached = Cached::new(images);
    let (calibrating, scored) = split(&cached);
    // The first combination is always finished: without it there is no result.
    let patient = Control { deadline: None, ..*control };
    let mut search = Search::open(graph, &calibrating, &scored, pool, &patient)?;
    search.attempt(base, &patient)?;
    let mut outcome = search.refine(control);
    if matches!(outcome, Ok(()) | Err(CompressError::Stopped)) && !limits.is_empty() {
        // A limit is not met by chance: finding out goes on when the time is over.
        let met = match limits.max_latency_ms {
            Some(most) => search.meet_latency(limits, most, &cached, &patient),
            None => search.meet(limits, &cached, &patient),
        };
        outcome = outcome.and(met);
    }
    match outcome {
        Ok(()) => search.finish(false, control),
        Err(CompressError::Stopped) => search.finish(true, control),
        Err(error) => Err(error),
    }
}

/// Images that calibrate, and images that score.
fn split(images: &dyn Images) -> (Part<'_>, Part<'_>) {
    let all = 0..images.len();
    if images.len() < FEW {
        return (Part::new(images, all.clone().collect()), Part::new(images, all.collect()));
    }
    let (held, rest): (Vec<usize>, Vec<usize>) = all.partition(|i| i % HELD_OUT == HELD_OUT - 1);
    let scored = held.into_iter().take(SCORED).collect();
    (Part::new(images, rest), Part::new(images, scored))
}

/// A search that is going on.
struct Search<'a> {
    workshop: Workshop<'a>,
    calibrating: &'a Part<'a>,
    scored: &'a Part<'a>,
    pool: &'a Arc<Pool>,
    truth: Truth,
    best: Option<(Built, Recipe, Scored)>,
    trials: Vec<Trial>,
    mixed: Option<Mixed>,
}

impl<'a> Search<'a> {
    fn open(
        graph: &Graph,
        calibrating: &'a Part<'a>,
        scored: &'a Part<'a>,
        pool: &'a Arc<Pool>,
        control: &Control,
    ) -> Result<Search<'a>> {
        (control.say)("calibration");
        let workshop = Workshop::open(graph, calibrating, pool, control)?;
        let truth = Truth::of(workshop.float(), Probe { images: scored, pool, control })?;
        Ok(Search {
            workshop,
            calibrating,
            scored,
            pool,
            truth,
            best: None,
            trials: vec![],
            mixed: None,
        })
    }

    /// Cheap methods first; each keeps what gained.
    fn refine(&mut self, control: &Control) -> Result<()> {
        let activations = self.best.as_ref().map(|(_, recipe, _)| recipe.config.activations);
        let bits = self.best.as_ref().map(|(_, recipe, _)| recipe.config.bits);
        if bits == Some(Bits::Four) {
            // Rounded to the nearest of so few codes, nothing else could be told apart.
            self.variant(control, |recipe| recipe.rounding = Rounding::Learned)?;
        }
        if activations == Some(Activations::Bytes) {
            self.refine_activations(control)?;
        }
        self.variant(control, |recipe| recipe.config.weights = WeightRange::Mse)?;
        for bias in [BiasCorrection::Fast, BiasCorrection::Full] {
            self.variant(control, |recipe| recipe.bias = bias)?;
        }
        for bias in [BiasCorrection::None, BiasCorrection::Full] {
            let change = |recipe: &mut Recipe| {
                (recipe.rounding, recipe.bias) = (Rounding::Learned, bias);
            };
            self.variant(control, change)?;
        }
        match activations {
            Some(Activations::Bytes) => self.refine_ranges(control),
            _ => Ok(()),
        }
    }

    /// Sizes of channels, and how ranges are chosen.
    fn refine_activations(&mut self, control: &Control) -> Result<()> {
        if self.workshop.equalises(control)? {
            self.variant(control, |recipe| recipe.equalise = true)?;
        }
        let methods = [
            RangeMethod::MinMax,
            RangeMethod::Percentile(99.99),
            RangeMethod::Percentile(99.999),
            RangeMethod::Entropy,
        ];
        for method in methods {
            self.variant(control, |recipe| recipe.config.method = method)?;
        }
        Ok(())
    }

    /// Ranges value by value, judged on calibration images: the held-out ones decide whether it was
    /// worth it, and must not have taken part.
    fn refine_ranges(&mut self, control: &Control) -> Result<()> {
        let Some((built, recipe, _)) = &self.best else { return Ok(()) };
        let few = Part::spread(self.calibrating, REFINED);
        let probe = Probe { images: &few, pool: self.pool, control };
        let truth = Truth::of(self.workshop.float(), probe)?;
        let stage = self.workshop.stage(recipe, control)?;
        let (better, stopped) = refine(recipe, built, stage, &truth, probe)?;
        if better != *recipe {
            let began = Instant::now();
            let scheme = Scheme::new(&built.float, &stage.calibration, &better.config)?;
            let quantized = scheme.build(&built.learning)?;
            let built =
                Built { quantized, float: built.float.clone(), learning: built.learning.clone() };
            // A moment more, for what already took its time.
            let patient = Control { deadline: None, stop: &|| false, ..*control };
            self.judge(built, &better, began, &patient)?;
        }
        if stopped { Err(CompressError::Stopped) } else { Ok(()) }
    }

    /// Tries the best combination with a change, unless it has it already.
    fn variant(&mut self, control: &Control, change: impl Fn(&mut Recipe)) -> Result<()> {
        let Some((_, best, _)) = &self.best else { return Ok(()) };
        let mut recipe = best.clone();
        change(&mut recipe);
        match self.trials.iter().any(|trial| trial.recipe == recipe) {
            true => Ok(()),
            false => self.attempt(&recipe, control),
        }
    }

    /// Builds and scores one combination.
    fn attempt(&mut self, recipe: &Recipe, control: &Control) -> Result<()> {
        control.check()?;
        (control.say)(&recipe.describe());
        let began = Instant::now();
        let built = self.workshop.build(recipe, control)?;
        self.judge(built, recipe, began, control)
    }

    /// Chooses widths layer by layer until the limits are met. `all` images count for accuracy.
    fn meet(&mut self, limits: Limits, all: &dyn Images, control: &Control) -> Result<()> {
        let few = Part::spread(self.calibrating, SENSED);
        let Some((best, recipe, _)) = &self.best else { return Ok(()) };
        let (mut built, mut recipe) = (best.clone(), recipe.clone());
        let float = self.workshop.float().clone();
        let sensed = Probe { images: &few, pool: self.pool, control };
        let truth = Truth::of(&float, sensed)?;
        let wide = limits.max_bytes.filter(|&most| packed_bytes(&built.quantized) > most);
        let stage = self.workshop.stage(&recipe, control)?;
        let judge = Judge { stage, truth: &truth, probe: sensed };
        let mut layers = judge.sensitivity(&recipe, wide.is_some())?;
        if let Some(most) = wide {
            let weights: usize = layers.iter().map(|layer| layer.weights).sum();
            let other = packed_bytes(&built.quantized).saturating_sub(weights);
            let narrow = narrow(&layers, other, most);
            let all = || layers.iter().map(|layer| layer.node.clone()).collect();
            recipe.config.int4 = narrow.unwrap_or_else(all);
            recipe.config.weights = WeightRange::Mse;
            (recipe.rounding, recipe.bias) = (Rounding::Learned, BiasCorrection::None);
            for layer in &mut layers {
                let int4 = recipe.config.int4.contains(&layer.node);
                layer.bits = if int4 { 4 } else { 8 };
            }
            built = self.workshop.build(&recipe, control)?;
        }
        let probe = Probe { images: all, pool: self.pool, control };
        let truth = Truth::of(&float, probe)?;
        let stage = self.workshop.stage(&recipe, control)?;
        let met = meet(&Judge { stage, truth: &truth, probe }, &recipe, &built, layers, limits)?;
        let probe = Probe { images: self.scored, pool: self.pool, control };
        let scored = self.truth.scored(&met.quantized.graph, probe)?;
        built.quantized = met.quantized;
        self.best = Some((built, met.recipe, scored));
        self.mixed = Some(met.mixed);
        Ok(())
    }

    /// Scores what was built, and keeps it if it is the best.
    fn judge(
        &mut self,
        built: Built,
        recipe: &Recipe,
        began: Instant,
        control: &Control,
    ) -> Result<()> {
        let probe = Probe { images: self.scored, pool: self.pool, control };
        let scored = self.truth.scored(&built.quantized.graph, probe)?;
        self.trials.push(Trial {
            recipe: recipe.clone(),
            summary: recipe.describe(),
            score: scored.score,
            seconds: began.elapsed().as_secs_f64(),
        });
        let gains = |best: &(Built, Recipe, Scored)| scored.beats(&best.2, WORTH);
        if self.best.as_ref().is_none_or(gains) {
            self.best = Some((built, recipe.clone(), scored));
        }
        Ok(())
    }

    /// The best, with what each of its layers does wrong.
    fn finish(mut self, stopped: bool, control: &Control) -> Result<Found> {
        let (built, recipe, scored) = self.best.take().ok_or(CompressError::Stopped)?;
        let mut quantized = built.quantized;
        if !stopped {
            let few = Part::spread(self.calibrating, 16);
            let probe = Probe { images: &few, pool: self.pool, control };
            let stage = self.workshop.stage(&recipe, control)?;
            let scheme = Scheme::new(&built.float, &stage.calibration, &recipe.config)?;
            match Twin::of(&scheme, &built.learning, &stage.graph)?.sqnr_db(probe) {
                Ok(measured) => {
                    for layer in &mut quantized.report.layers {
                        layer.output_sqnr_db = measured.get(&layer.node).copied();
                    }
                }
                // The figures are not worth more time.
                Err(CompressError::Stopped) => {}
                Err(error) => return Err(error),
            }
        }
        let (trials, mixed) = (self.trials, self.mixed);
        let score = scored.score;
        Ok(Found { quantized, recipe, score, trials, stopped, mixed })
    }
}
