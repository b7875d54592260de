//! Meeting a limit on latency.

use super::{SENSED, Search};
use crate::images::{Images, Part};
use crate::mixed::latency::{Budget, Clock, Widths, fastest, widths};
use crate::mixed::{Judge, Limits, Mixed, Sensitivity, packed_bytes};
use crate::probe::Probe;
use crate::recipe::Built;
use crate::scheme::{Learning, Scheme};
use crate::score::Truth;
use crate::{BiasCorrection, Bits, Control, Quantized, Recipe, Result, Rounding, WeightRange};

/// Choices that are built and measured at most.
const ROUNDS: usize = 6;
/// 4-bit weights are worth a look where a whole model of them takes at most this part of the time.
const FASTER: f64 = 0.97;
/// A choice this near to the limit leaves nothing worth another round.
const NEAR: f64 = 0.97;

/// A choice of widths that was built and measured.
struct Attempt {
    widths: Widths,
    built: Built,
    recipe: Recipe,
    ms: f64,
}

impl Search<'_> {
    /// Chooses the widths of least noise with which the whole model takes at most `limit_ms`; where
    /// there are none, the fastest. `all` images count for accuracy.
    pub(super) fn meet_latency(
        &mut self,
        limits: Limits,
        limit_ms: f64,
        all: &dyn Images,
        control: &Control,
    ) -> Result<()> {
        let Some((best, recipe, _)) = &self.best else { return Ok(()) };
        let (built, recipe) = (best.clone(), recipe.clone());
        let clock = Clock { pool: self.pool, image: all.read(0)? };
        let (mut layers, rest_us) = self.timed(&built, &recipe, limits, &clock, control)?;
        let bytes = limits.max_bytes.map(|most| {
            let weights: usize = layers.iter().map(|l| l.weights * usize::from(l.bits) / 8).sum();
            let other = packed_bytes(&built.quantized).saturating_sub(weights);
            most.saturating_sub(other)
        });
        let mut kept: Option<Attempt> = None;
        let (mut target, limit_us) = (1e3 * limit_ms, 1e3 * limit_ms);
        let mut tried: Vec<Widths> = vec![];
        for _ in 0..ROUNDS {
            let budget = Budget { us: target - rest_us, bytes };
            let Some(widths) = widths(&layers, budget).filter(|w| !tried.contains(w)) else {
                break;
            };
            tried.push(widths.clone());
            let attempt = self.with_widths(&built, &recipe, widths, &clock, control)?;
            let us = 1e3 * attempt.ms;
            let all_float = attempt.widths.float.len() == layers.len();
            // Of those that fit, a later one had more time to spend.
            let better = |old: &Attempt| {
                if us <= limit_us {
                    us > 1e3 * old.ms || old.ms > limit_ms
                } else {
                    attempt.ms < old.ms
                }
            };
            if kept.as_ref().is_none_or(better) {
                kept = Some(attempt);
            }
            if us <= limit_us && (us >= NEAR * limit_us || all_float) {
                break;
            }
            target += limit_us - us;
        }
        if kept.as_ref().is_none_or(|kept| kept.ms > limit_ms) {
            let attempt = self.with_widths(&built, &recipe, fastest(&layers), &clock, control)?;
            if kept.as_ref().is_none_or(|kept| attempt.ms < kept.ms) {
                kept = Some(attempt);
            }
        }
        let Some(Attempt { widths, built, recipe, ms }) = kept else { return Ok(()) };
        layers.iter_mut().for_each(|layer| layer.decide(&widths));
        let probe = Probe { images: all, pool: self.pool, control };
        let truth = Truth::of(self.workshop.float(), probe)?;
        let score = truth.score(&built.quantized.graph, probe)?;
        let drop = score.agreement.map(|share| 100.0 * (1.0 - share));
        let bytes = packed_bytes(&built.quantized);
        let met = ms <= limit_ms
            && limits.max_drop.is_none_or(|most| drop.is_none_or(|drop| drop <= most))
            && limits.max_bytes.is_none_or(|most| bytes <= most);
        let probe = Probe { images: self.scored, pool: self.pool, control };
        let scored = self.truth.scored(&built.quantized.graph, probe)?;
        self.best = Some((built, recipe, scored));
        self.mixed = Some(Mixed { layers, drop, bytes, latency_ms: Some(ms), met });
        Ok(())
    }

    /// The layers with their sensitivities and times, and what the integer model takes beside them,
    /// in microseconds.
    fn timed(
        &mut self,
        built: &Built,
        recipe: &Recipe,
        limits: Limits,
        clock: &Clock,
        control: &Control,
    ) -> Result<(Vec<Sensitivity>, f64)> {
        let few = Part::spread(self.calibrating, SENSED);
        let probe = Probe { images: &few, pool: self.pool, control };
        let truth = Truth::of(self.workshop.float(), probe)?;
        let stage = self.workshop.stage(recipe, control)?;
        let names: Vec<String> =
            built.quantized.report.layers.iter().map(|l| l.node.clone()).collect();
        (control.say)("time of each layer");
        let float = clock.layers(&stage.graph, &names)?;
        let base = clock.layers(&built.quantized.graph, &names)?;
        let mut four = None;
        if recipe.config.bits == Bits::Eight {
            let config = crate::QuantizeConfig { bits: Bits::Four, ..recipe.config.clone() };
            let narrow = Scheme::new(&stage.graph, &stage.calibration, &config)?;
            let timed = clock.layers(&narrow.build(&Learning::new())?.graph, &names)?;
            let pays = limits.max_bytes.is_some() || timed.total_us <= FASTER * base.total_us;
            four = Some(timed).filter(|_| pays);
        }
        let judge = Judge { stage, truth: &truth, probe };
        let mut layers = judge.sensitivity(recipe, four.is_some())?;
        for layer in &mut layers {
            let Some(at) = names.iter().position(|name| *name == layer.node) else { continue };
            layer.float_us = Some(float.layers_us[at]);
            layer.int8_us = Some(base.layers_us[at]);
            layer.int4_us = four.as_ref().map(|four| four.layers_us[at]);
        }
        let rest = base.total_us - base.layers_us.iter().sum::<f64>();
        Ok((layers, rest.max(0.0)))
    }

    /// Builds and measures the model with these widths.
    fn with_widths(
        &mut self,
        built: &Built,
        recipe: &Recipe,
        widths: Widths,
        clock: &Clock,
        control: &Control,
    ) -> Result<Attempt> {
        control.check()?;
        (control.say)(&format!("{} layers in float", widths.float.len()));
        let (mut built, mut recipe) = (built.clone(), recipe.clone());
        if !widths.int4.is_empty() {
            recipe.config.int4 = widths.int4.clone();
            recipe.config.weights = WeightRange::Mse;
            (recipe.rounding, recipe.bias) = (Rounding::Learned, BiasCorrection::None);
            built = self.workshop.build(&recipe, control)?;
        }
        let probe = Probe { images: self.scored, pool: self.pool, control };
        let stage = self.workshop.stage(&recipe, control)?;
        let judge = Judge { stage, truth: &self.truth, probe };
        let (recipe, quantized): (Recipe, Quantized) =
            judge.with_float(&recipe, &built, &widths.float)?;
        let ms = clock.latency_ms(&quantized.graph)?;
        built.quantized = quantized;
        Ok(Attempt { widths, built, recipe, ms })
    }
}

impl Sensitivity {
    /// Its width among `widths`, and why.
    fn decide(&mut self, widths: &Widths) {
        let us = |us: Option<f64>| us.map_or("-".into(), |us| format!("{us:.1} µs"));
        let (float, int8, int4) = (us(self.float_us), us(self.int8_us), us(self.int4_us));
        let alone = format!("{:.1} dB when quantised alone", self.int8_db);
        self.reason = if widths.float.contains(&self.node) {
            self.bits = 32;
            format!("{alone}: what it loses is worth {float} instead of {int8}")
        } else if widths.int4.contains(&self.node) {
            self.bits = 4;
            let four = self.int4_db.unwrap_or(f64::NAN);
            format!("4 bits cost little here ({four:.1} dB): {int4} instead of {int8}")
        } else {
            format!("{alone}: {int8}, float would take {float}")
        };
    }
}
