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

/// What another tail is worth beside a distance in squared octaves.
const OTHER_TAIL: f64 = 4.0;

/// Times of steps by kind and window: each is a kernel of its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Steps {
    kernels: BTreeMap<(String, String), Kernel>,
}

#[derive(Clone, Debug, Default)]
struct Kernel {
    /// Least time of each work.
    table: BTreeMap<Key, f64>,
    /// What happens to sums, as far as it was measured.
    tails: Vec<String>,
    entries: Vec<Entry>,
    ridge: Option<Ridge>,
}

/// An entry of the table, from which others are interpolated.
#[derive(Clone, Debug)]
struct Entry {
    tail: String,
    place: Vec<f64>,
    log_us: f64,
    /// What the regression misses.
    error: f64,
}

/// All of a work but its kind.
type Key = (Vec<usize>, String, [u64; 3]);

fn key(work: &Work) -> Key {
    (work.shape.clone(), work.form.clone(), [work.macs, work.bytes, work.weight_bytes])
}

/// Window and tail of a form, `3x3/2` and `hard-swish`; a chain of layers has none of its own.
fn window(form: &str) -> (&str, &str) {
    match form.contains(',') {
        true => ("", ""),
        false => form.split_once(' ').unwrap_or((form, "")),
    }
}

fn kernel(work: &Work) -> (String, String) {
    (work.kind.clone(), window(&work.form).0.to_string())
}

impl Steps {
    /// The steps of all samples; of equal ones the least time.
    pub fn fit(samples: &[&Sample]) -> Steps {
        let mut steps = Steps::default();
        for step in samples.iter().flat_map(|sample| &sample.steps) {
            let own = steps.kernels.entry(kernel(&step.work)).or_default();
            let least = own.table.entry(key(&step.work)).or_insert(step.us);
            *least = least.min(step.us);
        }
        steps.kernels.values_mut().for_each(Kernel::interpolate);
        steps
    }

    /// Microseconds of a step; none where nothing of its kind and window was measured.
    pub fn us(&self, work: &Work) -> Option<f64> {
        let kernel = self.kernels.get(&kernel(work))?;
        let key = key(work);
        let between = || kernel.between(window(&work.form).1, &place(&key)).exp();
        Some(kernel.table.get(&key).copied().unwrap_or_else(between))
    }
}

impl Kernel {
    fn interpolate(&mut self) {
        let entry = |(key, us): (&Key, &f64)| Entry {
            tail: window(&key.1).1.to_string(),
            place: place(key),
            log_us: us.ln(),
            error: 0.0,
        };
        self.entries = self.table.iter().map(entry).collect();
        self.tails = self.entries.iter().map(|entry| entry.tail.clone()).collect();
        self.tails.sort();
        self.tails.dedup();
        if self.entries.len() < LEAST {
            return;
        }
        let row = |entry: &Entry| self.row(&entry.tail, &entry.place);
        let rows: Vec<Vec<f64>> = self.entries.iter().map(row).collect();
        let logs: Vec<f64> = self.entries.iter().map(|entry| entry.log_us).collect();
        let Some((ridge, _)) = Ridge::fit(&rows, &logs) else { return };
        for (entry, row) in self.entries.iter_mut().zip(&rows) {
            entry.error = entry.log_us - ridge.predict(row);
        }
        self.ridge = Some(ridge);
    }

    /// Logarithm of the microseconds of a step at `place`.
    fn between(&self, tail: &str, place: &[f64]) -> f64 {
        let distance = |entry: &Entry| {
            let squares = entry.place.iter().zip(place).map(|(a, b)| (a - b) * (a - b));
            squares.sum::<f64>() + if entry.tail == tail { 0.0 } else { OTHER_TAIL }
        };
        let mut near: Vec<(f64, &Entry)> = self.entries.iter().map(|e| (distance(e), e)).collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0));
        near.truncate(NEIGHBOURS);
        let Some(ridge) = &self.ridge else {
            // In proportion to multiply-adds and bytes, the first two axes, in equal parts.
            let (_, nearest) = near[0];
            let octaves = (place[0] - nearest.place[0] + place[1] - nearest.place[1]) / 2.0;
            return nearest.log_us + octaves * std::f64::consts::LN_2;
        };
        let weights: f64 = near.iter().map(|(d, _)| 1.0 / (d + NEAREST)).sum();
        let errors: f64 = near.iter().map(|(d, entry)| entry.error / (d + NEAREST)).sum();
        ridge.predict(&self.row(tail, place)) + errors / weights
    }

    /// A place with the products of its axes, as times bend where one limit gives way to another, and
    /// for each tail what it changes at this place.
    fn row(&self, tail: &str, place: &[f64]) -> Vec<f64> {
        let mut row = place.to_vec();
        for (i, a) in place.iter().enumerate() {
            row.extend(place[i..].iter().map(|b| a * b));
        }
        for known in &self.tails {
            let own = f64::from(known == tail);
            row.push(own);
            row.extend(place.iter().map(|a| own * a));
        }
        row
    }
}

/// Places on logarithmic axes, in octaves: multiply-adds, bytes of activations and of weights, channels,
/// pixels; and how far channels are from filling vectors of 16.
fn place((shape, _, [macs, bytes, weight_bytes]): &Key) -> Vec<f64> {
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
