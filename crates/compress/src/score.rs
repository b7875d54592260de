//! How near a quantised graph's answers are to those of the float graph.

use edgecut_graph::{Graph, Op, ValueId};
use serde::Serialize;

use crate::Result;
use crate::probe::Probe;

/// Answers of a quantised graph beside those of the float graph, on the same images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Images compared.
    pub images: usize,
    /// Share of images with the same most likely class; none where the graph is no classifier.
    pub agreement: Option<f64>,
    /// Mean Kullback-Leibler divergence of the class probabilities, in nats; none where the graph
    /// is no classifier.
    pub kl: Option<f64>,
    /// Signal to noise of the outputs in decibels; the mean over them where there are several.
    pub sqnr_db: f64,
}

/// Noise at which decibels stop to count: outputs are equal for every purpose.
const MOST_DB: f64 = 100.0;
/// Standard errors beyond which a difference in answers or divergence is taken as certain. Noise is
/// seen on every image, and a choice between near equals does no harm: one is enough for it.
const CERTAIN: f64 = 2.0;

/// A score, and what each image has to do with it.
#[derive(Clone, Debug)]
pub(crate) struct Scored {
    pub score: Score,
    images: Vec<PerImage>,
}

/// What one image has to do with a score.
#[derive(Clone, Debug)]
struct PerImage {
    /// Share of the noise on all images; the mean over outputs where there are several.
    noise: f64,
    kl: f64,
    agrees: bool,
}

impl Scored {
    /// Whether this is better than `other` on the same images, by more than chance would have it:
    /// more of the same answers; else at least `worth` decibels less noise; else less divergence.
    pub fn beats(&self, other: &Scored, worth: f64) -> bool {
        let pairs = || self.images.iter().zip(&other.images);
        let answers = Difference::of(
            pairs().map(|(a, b)| f64::from(u8::from(a.agrees)) - f64::from(u8::from(b.agrees))),
        );
        if answers.is_certain(CERTAIN) {
            return answers.sum > 0.0;
        }
        // The logarithm of a ratio of sums changes by the difference of the shares.
        let share = |(a, b): (&PerImage, &PerImage)| 10.0 / f64::ln(10.0) * (b.noise - a.noise);
        let error = Difference::of(pairs().map(share)).error;
        let gain = self.score.sqnr_db - other.score.sqnr_db;
        if gain.abs() > error {
            return gain > worth;
        }
        let divergence = Difference::of(pairs().map(|(a, b)| b.kl - a.kl));
        divergence.is_certain(CERTAIN) && divergence.sum > 0.0
    }
}

/// The sum of differences of pairs.
struct Difference {
    sum: f64,
    /// Its standard error.
    error: f64,
}

impl Difference {
    fn of(values: impl Iterator<Item = f64> + Clone) -> Difference {
        let (count, sum) = values.clone().fold((0.0, 0.0), |(n, sum), v| (n + 1.0, sum + v));
        let mean = sum / f64::max(count, 1.0);
        let spread: f64 = values.map(|v| (v - mean) * (v - mean)).sum();
        Difference { sum, error: (spread * count / f64::max(count - 1.0, 1.0)).sqrt() }
    }

    fn is_certain(&self, errors: f64) -> bool {
        self.sum != 0.0 && self.sum.abs() >= errors * self.error
    }
}

/// Outputs of the float graph on some images.
pub(crate) struct Truth {
    /// By image, by output.
    outputs: Vec<Vec<Vec<f32>>>,
    /// Whether the first output is `[n, classes]`, and whether it holds probabilities already.
    classifier: Option<Outcome>,
}

/// What a classifier returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Logits,
    Probabilities,
}

impl Truth {
    /// Runs the float graph.
    pub fn of(graph: &Graph, probe: Probe) -> Result<Truth> {
        Ok(Truth { outputs: outputs(graph, probe)?, classifier: outcome(graph) })
    }

    /// Compares a quantised graph of the same interface.
    pub fn score(&self, graph: &Graph, probe: Probe) -> Result<Score> {
        Ok(self.scored(graph, probe)?.score)
    }

    /// As [`Truth::score`], to be compared with others.
    pub fn scored(&self, graph: &Graph, probe: Probe) -> Result<Scored> {
        let others = outputs(graph, probe)?;
        let shares = noise_shares(&self.outputs, &others);
        let image = |(index, noise): (usize, f64)| {
            let (truth, other) = (&self.outputs[index], &others[index]);
            let (kl, agrees) = match self.classifier {
                Some(outcome) => (
                    divergence(outcome, &truth[0], &other[0]),
                    argmax(&truth[0]) == argmax(&other[0]),
                ),
                None => (0.0, true),
            };
            PerImage { noise, kl, agrees }
        };
        let images: Vec<PerImage> = shares.into_iter().enumerate().map(image).collect();
        let mean = |value: &dyn Fn(&PerImage) -> f64| {
            let sum: f64 = images.iter().map(value).sum();
            self.classifier.map(|_| sum / images.len().max(1) as f64)
        };
        let score = Score {
            images: images.len(),
            agreement: mean(&|image| f64::from(u8::from(image.agrees))),
            kl: mean(&|image| image.kl),
            sqnr_db: sqnr_db(&self.outputs, &others),
        };
        Ok(Scored { score, images })
    }
}

/// Float outputs by image, by output. Outputs of other types are left out.
fn outputs(graph: &Graph, probe: Probe) -> Result<Vec<Vec<Vec<f32>>>> {
    let is_float = |&id: &ValueId| graph.value(id).dtype == edgecut_graph::DType::F32;
    let values: Vec<ValueId> = graph.outputs.iter().copied().filter(is_float).collect();
    let mut all = vec![vec![]; probe.images.len()];
    probe.run(graph, &values, &mut |image, _, elements| {
        all[image].push(elements.to_vec());
        Ok(())
    })?;
    Ok(all)
}

fn outcome(graph: &Graph) -> Option<Outcome> {
    let &[output] = &graph.outputs[..] else { return None };
    let shape = graph.value(output).shape.with_symbols(1);
    let is_vector = shape.len() >= 2 && shape[1] > 1 && shape[2..].iter().all(|&d| d == 1);
    let ends = graph.nodes.iter().find(|node| node.outputs.contains(&output));
    let probabilities = ends.is_some_and(|node| matches!(node.op, Op::Softmax { .. }));
    let outcome = if probabilities { Outcome::Probabilities } else { Outcome::Logits };
    is_vector.then_some(outcome)
}

fn argmax(scores: &[f32]) -> usize {
    let mut best = 0;
    for (i, s) in scores.iter().enumerate() {
        if *s > scores[best] {
            best = i;
        }
    }
    best
}

fn divergence(outcome: Outcome, truth: &[f32], other: &[f32]) -> f64 {
    let (p, q) = (log_probabilities(outcome, truth), log_probabilities(outcome, other));
    p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>().max(0.0)
}

fn log_probabilities(outcome: Outcome, scores: &[f32]) -> Vec<f64> {
    let scores = scores.iter().map(|&s| f64::from(s));
    match outcome {
        Outcome::Probabilities => scores.map(|p| p.max(1e-12).ln()).collect(),
        Outcome::Logits => {
            let highest = scores.clone().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scores.clone().map(|s| (s - highest).exp()).sum();
            scores.map(|s| s - highest - sum.ln()).collect()
        }
    }
}

fn sqnr_db(truth: &[Vec<Vec<f32>>], other: &[Vec<Vec<f32>>]) -> f64 {
    let count = truth.first().map_or(0, Vec::len);
    let decibels = |output: usize| {
        let (mut signal, mut noise) = (0f64, 0f64);
        for (truth, other) in truth.iter().zip(other) {
            for (&t, &o) in truth[output].iter().zip(&other[output]) {
                signal += f64::from(t).powi(2);
                noise += (f64::from(t) - f64::from(o)).powi(2);
            }
        }
        match (signal > 0.0, noise > 0.0) {
            (_, false) => MOST_DB,
            (false, true) => 0.0,
            (true, true) => (10.0 * (signal / noise).log10()).min(MOST_DB),
        }
    };
    (0..count).map(decibels).sum::<f64>() / count.max(1) as f64
}

/// Squared differences of each image, output by output.
fn noise(truth: &[Vec<f32>], other: &[Vec<f32>]) -> impl Iterator<Item = f64> {
    truth.iter().zip(other).map(|(truth, other)| {
        truth.iter().zip(other).map(|(&t, &o)| (f64::from(t) - f64::from(o)).powi(2)).sum()
    })
}

/// Each image's share of the noise, the mean over outputs.
fn noise_shares(truth: &[Vec<Vec<f32>>], other: &[Vec<Vec<f32>>]) -> Vec<f64> {
    let noises: Vec<Vec<f64>> =
        truth.iter().zip(other).map(|(t, o)| noise(t, o).collect()).collect();
    let count = noises.first().map_or(0, Vec::len);
    let total = |output: usize| noises.iter().map(|image| image[output]).sum::<f64>();
    let totals: Vec<f64> = (0..count).map(|output| total(output).max(1e-300)).collect();
    let share = |image: &Vec<f64>| {
        image.iter().zip(&totals).map(|(noise, total)| noise / total).sum::<f64>()
            / count.max(1) as f64
    };
    noises.iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `noise` and answers image by image, with an unchanged signal.
    fn scored(noise: &[f64], agrees: impl Fn(usize) -> bool) -> Scored {
        let total: f64 = noise.iter().sum();
        let image =
            |(i, n): (usize, &f64)| PerImage { noise: n / total, kl: *n, agrees: agrees(i) };
        let images: Vec<PerImage> = noise.iter().enumerate().map(image).collect();
        let agreement = images.iter().filter(|i| i.agrees).count() as f64 / noise.len() as f64;
        let (agreement, kl) = (Some(agreement), Some(total / noise.len() as f64));
        let sqnr_db = 10.0 * (100.0 / total).log10();
        Scored { score: Score { images: noise.len(), agreement, kl, sqnr_db }, images }
    }

    /// What holds on every image counts, what a single one decides does not.
    #[test]
    fn chance_does_not_win() {
        let plain: Vec<f64> = (0..60).map(|i| 1.0 + f64::from(i % 7)).collect();
        let less: Vec<f64> = plain.iter().map(|n| 0.95 * n).collect();
        let mut lucky = plain.clone();
        (lucky[6], lucky[13]) = (0.0, 10.0);
        let all = |_| true;
        let base = scored(&plain, all);
        assert!(scored(&less, all).beats(&base, 0.05) && !base.beats(&scored(&less, all), 0.05));
        assert!(!scored(&less, all).beats(&base, 0.5), "not worth it");
        let lucky = scored(&lucky, all);
        assert!(lucky.score.sqnr_db > base.score.sqnr_db && !lucky.beats(&base, 0.0));
        assert!(!base.beats(&base, 0.0));
    }

    /// Answers come before noise once they differ by more than a few.
    #[test]
    fn many_other_answers_decide() {
        let noise = vec![1.0; 60];
        let twice = vec![2.0; 60];
        let wrong = |count: usize| move |i: usize| i >= count;
        assert!(scored(&twice, wrong(0)).beats(&scored(&noise, wrong(9)), 0.05));
        assert!(!scored(&twice, wrong(0)).beats(&scored(&noise, wrong(2)), 0.05));
    }

    #[test]
    fn divergence_of_two_coins() {
        let logits = |p: f64| [p.ln() as f32, (1.0 - p).ln() as f32];
        let expected = 0.5 * (0.5f64 / 0.8).ln() + 0.5 * (0.5f64 / 0.2).ln();
        let kl = divergence(Outcome::Logits, &logits(0.5), &logits(0.8));
        assert!((kl - expected).abs() < 1e-6, "{kl} {expected}");
        let kl = divergence(Outcome::Probabilities, &[0.5, 0.5], &[0.8, 0.2]);
        assert!((kl - expected).abs() < 1e-6, "{kl} {expected}");
    }

    #[test]
    fn decibels_of_a_tenth() {
        let truth = vec![vec![vec![1.0, -1.0]], vec![vec![1.0, 1.0]]];
        let other = vec![vec![vec![1.1, -1.1]], vec![vec![0.9, 0.9]]];
        assert!((sqnr_db(&truth, &other) - 20.0).abs() < 1e-4);
        assert_eq!(sqnr_db(&truth, &truth), MOST_DB);
    }
}
