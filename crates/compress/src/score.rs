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
/// The least divergence that float32 logits can show.
const LEAST_KL: f64 = 1e-9;

impl Score {
    /// One number to rank by, in decibels: SQNR, less the divergence of a classifier. Both measure
    /// every image, where agreement only counts those near a border of two classes.
    pub fn merit(&self) -> f64 {
        self.sqnr_db - self.kl.map_or(0.0, |kl| 10.0 * kl.max(LEAST_KL).log10())
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
        let others = outputs(graph, probe)?;
        let (mut agree, mut kl) = (0, 0.0);
        for (truth, other) in self.outputs.iter().zip(&others) {
            if let Some(outcome) = self.classifier {
                agree += usize::from(argmax(&truth[0]) == argmax(&other[0]));
                kl += divergence(outcome, &truth[0], &other[0]);
            }
        }
        let images = self.outputs.len();
        let mean = |sum: f64| self.classifier.map(|_| sum / images.max(1) as f64);
        Ok(Score {
            images,
            agreement: mean(agree as f64),
            kl: mean(kl),
            sqnr_db: sqnr_db(&self.outputs, &others),
        })
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

#[cfg(test)]
mod tests {
    use super::*;

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
