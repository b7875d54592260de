//! Runs a classifier over a set and keeps what every figure is computed from.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use edgecut_graph::Graph;
use edgecut_kernels::Pool;
use edgecut_runtime::{CompileOptions, Plan, Session, compile};
use edgecut_train::data::{Batch, Dataset, Loader, LoaderOptions, Preprocess};
use edgecut_train::metrics::{argmax, top_k};

use super::card::Card;
use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::progress::Counter;
use crate::report::ClassFigures;
use crate::stats::Share;

/// Confusion matrices above this many classes are too large to read or to store.
const MAX_CONFUSION: usize = 100;

/// Answers of a model, one per picture.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// True classes.
    pub labels: Vec<u32>,
    /// Most likely class. One beyond all labels where the model names a class before the offset.
    pub best: Vec<u32>,
    /// Probability of that class, percent.
    pub confidence: Vec<f32>,
    /// Whether the true class is among the five most likely.
    pub in_top5: Vec<bool>,
    /// Number of classes of the model, less the offset.
    pub classes: usize,
    /// Seconds, preparation of the pictures included.
    pub seconds: f64,
}

impl Answers {
    /// Share of right answers.
    pub fn accuracy(&self) -> Share {
        Share::of(
            self.labels.iter().zip(&self.best).filter(|(l, b)| l == b).count(),
            self.labels.len(),
        )
    }

    /// Share of pictures whose class is among the five most likely; none below six classes, where
    /// it says nothing.
    pub fn top5(&self) -> Option<Share> {
        let hits = self.in_top5.iter().filter(|&&hit| hit).count();
        (self.classes > 5).then(|| Share::of(hits, self.labels.len()))
    }

    /// Share of pictures on which `other` gives the same answer.
    pub fn agreement(&self, other: &Answers) -> Share {
        Share::of(
            self.best.iter().zip(&other.best).filter(|(a, b)| a == b).count(),
            self.best.len(),
        )
    }

    /// Precision and recall of each of the first `classes` classes.
    pub fn per_class(&self, classes: usize) -> Vec<ClassFigures> {
        let (mut hits, mut given, mut present) =
            (vec![0; classes], vec![0; classes], vec![0; classes]);
        for (&label, &best) in self.labels.iter().zip(&self.best) {
            if let Some(n) = present.get_mut(label as usize) {
                *n += 1;
            }
            if let Some(n) = given.get_mut(best as usize) {
                *n += 1;
                hits[best as usize] += usize::from(best == label);
            }
        }
        let figures = |i: usize| ClassFigures {
            precision: Share::of(hits[i], given[i]),
            recall: Share::of(hits[i], present[i]),
        };
        (0..classes).map(figures).collect()
    }

    /// `[label][answer]`; empty above [`MAX_CONFUSION`] classes.
    pub fn confusion(&self, classes: usize) -> Vec<Vec<u32>> {
        if classes > MAX_CONFUSION {
            return vec![];
        }
        let mut matrix = vec![vec![0; classes]; classes];
        for (&label, &best) in self.labels.iter().zip(&self.best) {
            if let Some(cell) =
                matrix.get_mut(label as usize).and_then(|row| row.get_mut(best as usize))
            {
                *cell += 1;
            }
        }
        matrix
    }
}

/// Runs `graph` over `set` in order.
///
/// `offset` is the position of class 0 in the model's output: 1 for models with a background
/// class in front.
pub fn classify(
    global: &Global,
    name: &str,
    graph: &Graph,
    pool: &Arc<Pool>,
    set: &Arc<dyn Dataset>,
    preprocess: &Preprocess,
    offset: usize,
) -> Result<Answers> {
    let batch = batch_for(graph, preprocess);
    let plan = Arc::new(compile(graph, &CompileOptions { batch, ..CompileOptions::default() })?);
    let card = Card::of(Path::new(name), graph, None);
    let visit = &mut |_: &[f32], _: &[f32]| ();
    classify_with(global, name, (&card, plan), pool, set, preprocess, offset, visit)
}

/// [`classify`] of a plan that also shows each batch to `visit`: the input as fed `[n, c, h, w]` and the
/// scores `[n, outputs]`, both only of real pictures.
pub fn classify_with(
    global: &Global,
    name: &str,
    (card, plan): (&Card, Arc<Plan>),
    pool: &Arc<Pool>,
    set: &Arc<dyn Dataset>,
    preprocess: &Preprocess,
    offset: usize,
    visit: &mut dyn FnMut(&[f32], &[f32]),
) -> Result<Answers> {
    let began = Instant::now();
    let outputs = card.class_count()?;
    let classes = outputs.checked_sub(offset).filter(|&c| c > 0).ok_or_else(|| {
        Failure::input(format!("--label-offset {offset} leaves no class of {outputs}"))
    })?;
    let batch = plan.batch();
    let mut session = Session::new(plan, pool.clone());
    let mut loader = Loader::new(set.clone(), preprocess, &LoaderOptions::evaluation(batch))?;
    let mut bar = Counter::new(global, name, set.len() as u64);
    let mut answers = Answers { classes, ..Answers::default() };
    let softmax = card.distribution;
    while let Some(pictures) = loader.next_batch()? {
        check_labels(pictures, classes)?;
        to_nchw(pictures, preprocess.shape(), session.input_mut(0)?);
        session.run()?;
        let scores = session.output_f32(0)?[..pictures.n * outputs].to_vec();
        visit(&session.input_mut(0)?[..pictures.x.len()], &scores);
        for (row, &label) in scores.chunks_exact(outputs).zip(&pictures.labels) {
            answers.add(row, label, offset, softmax);
        }
        bar.set(answers.labels.len() as u64, || {
            format!("top-1 {:.2} %", answers.accuracy().percent)
        });
    }
    bar.finish();
    answers.seconds = began.elapsed().as_secs_f64();
    Ok(answers)
}

impl Answers {
    fn add(&mut self, scores: &[f32], label: u32, offset: usize, softmax: bool) {
        let best = argmax(scores);
        let five = top_k(scores, 5);
        self.labels.push(label);
        self.best.push(best.checked_sub(offset).unwrap_or(self.classes) as u32);
        self.in_top5.push(five.contains(&(label as usize + offset)));
        self.confidence.push(100.0 * probability(scores, best, softmax));
    }
}

/// Probability of class `index`: the number itself, or by softmax over the scores.
pub fn probability(scores: &[f32], index: usize, softmax: bool) -> f32 {
    let score = scores.get(index).copied().unwrap_or(0.0);
    if softmax {
        return score;
    }
    let highest = scores.iter().copied().fold(f32::MIN, f32::max);
    (score - highest).exp() / scores.iter().map(|s| (s - highest).exp()).sum::<f32>()
}

/// Pictures per run: what the model fixes, or else a number that keeps buffers small where pictures
/// are large.
pub fn batch_for(graph: &Graph, preprocess: &Preprocess) -> usize {
    let first = graph.inputs.first().and_then(|&i| graph.value(i).shape.dims().first()?.fixed());
    let small = preprocess.height * preprocess.width <= 64 * 64;
    first.unwrap_or(if small { 32 } else { 4 }).max(1)
}

/// Refuses labels that the model has no class for.
pub fn check_labels(batch: &Batch, classes: usize) -> Result<()> {
    match batch.labels.iter().find(|&&l| l as usize >= classes) {
        None => Ok(()),
        Some(label) => Err(Failure::input(format!(
            "the data has a class {label}, the model knows {classes} (0 to {})",
            classes - 1
        ))
        .hint("is this the data that the model was trained for? see --label-offset")),
    }
}

/// Loader batches are NHWC, a session's inputs NCHW. Rows beyond the batch keep old pictures,
/// whose answers nobody reads.
pub fn to_nchw(batch: &Batch, [h, w, c]: [usize; 3], input: &mut [f32]) {
    let (size, plane) = (h * w * c, h * w);
    for (picture, out) in batch.x.chunks_exact(size).take(batch.n).zip(input.chunks_exact_mut(size))
    {
        for (pixel, values) in picture.chunks_exact(c).enumerate() {
            for (channel, &value) in values.iter().enumerate() {
                out[channel * plane + pixel] = value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_come_from_answers() {
        let mut answers = Answers { classes: 3, ..Answers::default() };
        answers.add(&[9.0, 0.0, 1.0, 0.0], 1, 1, false);
        answers.add(&[0.0, 5.0, 1.0, 0.0], 0, 1, false);
        answers.add(&[0.0, 0.0, 1.0, 7.0], 1, 1, false);
        assert_eq!(answers.best, [3, 0, 2]);
        assert_eq!(answers.accuracy().count, 1);
        let figures = answers.per_class(3);
        assert_eq!((figures[1].recall.count, figures[1].recall.total), (0, 2));
        assert_eq!((figures[2].precision.count, figures[2].precision.total), (0, 1));
        assert_eq!(answers.confusion(3), [[1, 0, 0], [0, 0, 1], [0, 0, 0]]);
        assert!(answers.top5().is_none());
    }

    #[test]
    fn probabilities_sum_to_one() {
        let scores = [1.0, 2.0, 800.0];
        let sum: f32 = (0..3).map(|i| probability(&scores, i, false)).sum();
        assert!((sum - 1.0).abs() < 1e-6);
        assert_eq!(probability(&[0.25, 0.75], 1, true), 0.75);
    }

    #[test]
    fn channels_become_planes() {
        let batch =
            Batch { x: vec![1.0, 2.0, 3.0, 4.0], labels: vec![0], n: 1, ..Batch::default() };
        let mut out = vec![0.0; 4];
        to_nchw(&batch, [1, 2, 2], &mut out);
        assert_eq!(out, [1.0, 3.0, 2.0, 4.0]);
    }
}
