//! The table of steps, and what lies between its entries.

use std::collections::BTreeMap;

use super::ridge::Ridge;
use super::sample::Sample;
use crate::Work;

/// Entries whose errors correct a step between them.
const NEIGHBOURS: usize = 4;

/// Keeps the weight of a near entry finite: squared octaves.
const NEAREST: f64 = 0.02;

/// Fewest entries of a kind that a regression is made from; below, the nearest entry by multiply-adds
/// and bytes is scaled.
const LEAST: usize = 12;

/// Times of steps by kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Steps {
    kinds: BTreeMap<String, Kind>,
}

#[derive(Clone, Debug, Default)]
struct Kind {
    /// Least time of each work, in the order of works.
    table: BTreeMap<Key, f64>,
    places: Vec<Place>,
    ridge: Option<Ridge>,
}

/// An entry between which is interpolated.
#[derive(Clone, Debug)]
struct Place {
    at: Vec<f64>,
    log_us: f64,
    /// What the regression misses.
    error: f64,
}

/// All of a work but its kind.
type Key = (Vec<usize>, u64, u64, u64);

fn key(work: &Work) -> Key {
    (work.shape.clone(), work.macs, work.bytes, work.weight_bytes)
}

impl Steps {
    /// The steps of all samples; of equal ones the least time.
    pub fn fit(samples: &[&Sample]) -> Steps {
        let mut steps = Steps::default();
        for step in samples.iter().flat_map(|sample| &sample.steps) {
            let kind = steps.kinds.entry(step.work.kind.clone()).or_default();
            let least = kind.table.entry(key(&step.work)).or_insert(step.us);
            *least = least.min(step.us);
        }
        steps.kinds.values_mut().for_each(Kind::interpolate);
        steps
    }

    /// Microseconds of a step; none where nothing of its kind was measured.
    pub fn us(&self, work: &Work) -> Option<f64> {
        let kind = self.kinds.get(&work.kind)?;
        if let Some(&us) = kind.table.get(&key(work)) {
            return Some(us);
        }
        Some(kind.between(&place(&key(work))).exp())
    }
}

impl Kind {
    fn interpolate(&mut self) {
        let at: Vec<Vec<f64>> = self.table.keys().map(place).collect();
        let logs: Vec<f64> = self.table.values().map(|us| us.ln()).collect();
        let rows: Vec<Vec<f64>> = at.iter().map(|at| curved(at)).collect();
        self.ridge =
            (at.len() >= LEAST).then(|| Ridge::fit(&rows, &logs)).flatten().map(|(r, _)| r);
        let entry = |((at, row), log_us): ((Vec<f64>, &Vec<f64>), f64)| {
            let error = self.ridge.as_ref().map_or(0.0, |ridge| log_us - ridge.predict(row));
            Place { at, log_us, error }
        };
        self.places = at.into_iter().zip(&rows).zip(logs).map(entry).collect();
    }

    /// Logarithm of the microseconds of a step at `at`.
    fn between(&self, at: &[f64]) -> f64 {
        let distance =
            |place: &Place| place.at.iter().zip(at).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
        let mut near: Vec<(f64, &Place)> = self.places.iter().map(|p| (distance(p), p)).collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0));
        near.truncate(NEIGHBOURS);
        let Some(ridge) = &self.ridge else {
            // In proportion to multiply-adds and bytes, the first two places, in equal parts.
            let (_, nearest) = near[0];
            let octaves = (at[0] - nearest.at[0] + at[1] - nearest.at[1]) / 2.0;
            return nearest.log_us + octaves * std::f64::consts::LN_2;
        };
        let weights: f64 = near.iter().map(|(d, _)| 1.0 / (d + NEAREST)).sum();
        let errors: f64 = near.iter().map(|(d, place)| place.error / (d + NEAREST)).sum();
        ridge.predict(&curved(at)) + errors / weights
    }
}

/// Places on logarithmic axes, in octaves: multiply-adds, bytes of activations and of weights, channels,
/// pixels; and how far channels are from filling vectors of 16.
fn place((shape, macs, bytes, weight_bytes): &Key) -> Vec<f64> {
    let log = |n: u64| ((n + 1) as f64).log2();
    let channels = shape.get(1).or(shape.first()).map_or(1, |&c| c as u64);
    let pixels: usize = shape.iter().skip(2).product();
    let filled = channels.next_multiple_of(16) as f64 / channels.max(1) as f64;
    vec![
        log(*macs),
        log(bytes - weight_bytes),
        log(*weight_bytes),
        log(channels),
        log(pixels as u64),
        filled.log2(),
    ]
}

/// A place with the products of its axes: times bend where one limit gives way to another.
fn curved(at: &[f64]) -> Vec<f64> {
    let mut row = at.to_vec();
    for (i, a) in at.iter().enumerate() {
        row.extend(at[i..].iter().map(|b| a * b));
    }
    row
}
