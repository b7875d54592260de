//! What teachers add to a step of training.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use edgecut_graph::Graph;
use edgecut_graph::rng::Rng;
use edgecut_kernels::{Ctx, Isa, Pool};
use sha2::{Digest, Sha256};

use super::answers::answer_loss;
use super::cache::Cache;
use super::features::{attention, hint, relation, same};
use super::rate::rate;
use super::teacher::Teacher;
use super::{Distillation, FeatureLoss, FeatureMatch, RateTerm, TeacherModel};
use crate::config::{TrainConfig, pool};
use crate::data::{Batch, Dataset, Preprocess};
use crate::engine::Engine;
use crate::error::{Result, TrainError};
use crate::fingerprint::{self, Fingerprint};
use crate::metrics::argmax;
use crate::plan::{Extent, Extra, PlanOptions};

/// Keeps the generator of first weights apart from others under the same seed.
const STREAM: u64 = 0x6869_6e74_0000_0000;

/// Teachers, and how the student learns from them.
pub struct Guide {
    config: Distillation,
    models: Vec<TeacherModel>,
    cache_path: Option<PathBuf>,
    threads: usize,
    isa: Isa,
    work: Option<Work>,
}

/// What is known once the student and its data are.
struct Work {
    teachers: Vec<Teacher>,
    cache: Option<Cache>,
    pool: Arc<Pool>,
    classes: usize,
}

impl Guide {
    /// Learns as `config` says from `models`, whose answers are kept in the file `cache` where they
    /// can come again. Of several teachers the mean of their logits counts, and the features of the
    /// first. `threads` as in [`RunOptions`](crate::RunOptions).
    ///
    /// # Errors
    /// Settings out of range, or no teacher.
    pub fn new(
        config: Distillation,
        models: Vec<TeacherModel>,
        cache: Option<PathBuf>,
        threads: usize,
        isa: Isa,
    ) -> Result<Guide> {
        config.validate()?;
        if models.is_empty() {
            return Err(TrainError::config("teachers", "there is none"));
        }
        Ok(Guide { config, models, cache_path: cache, threads, isa, work: None })
    }

    /// Variations of each picture, or `None` for new ones in each epoch.
    pub(crate) fn views(&self) -> Option<u64> {
        (self.config.views > 0).then_some(self.config.views)
    }

    /// Of settings and teachers.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        hash.update(format!("{:?}", self.config));
        for model in &self.models {
            hash.update(fingerprint::of_graph(&model.graph));
            hash.update(format!("{:?}", model.preprocess));
        }
        hash.finalize().into()
    }

    /// Adds what the student's plan must have: values to look at, and weights of hints.
    ///
    /// # Errors
    /// A value that student or teacher does not have.
    pub(crate) fn ask(&self, student: &Graph, seed: u64, options: &mut PlanOptions) -> Result<()> {
        for (number, pair) in self.config.features.iter().enumerate() {
            let value = |graph: &Graph, name: &str| {
                let problem = format!("has no value '{name}' for distillation");
                let model = graph.name.clone();
                graph.find_value(name).ok_or(TrainError::Model { model, problem })
            };
            let own = value(student, &pair.student)?;
            options.taps.push(own);
            let teacher = &self.models[0].graph;
            let channels = |graph: &Graph, id| {
                let shape = graph.value(id).shape.with_symbols(1);
                if shape.len() == 4 { shape[1] } else { shape.iter().product() }
            };
            let (cs, ct) =
                (channels(student, own), channels(teacher, value(teacher, &pair.teacher)?));
            if pair.loss == FeatureLoss::Hint {
                let mut rng = Rng::keyed(&[STREAM, seed, number as u64]);
                let scale = 1.0 / (cs as f32).sqrt();
                let values = (0..cs * ct).map(|_| scale * rng.normal()).collect();
                let name = format!("hint {number}: {} to {}", pair.student, pair.teacher);
                options.extras.push(Extra { name, values, decayed: true });
            }
        }
        for term in &self.config.rates {
            let problem = format!("has no value '{}' to be priced", term.value);
            let model = student.name.clone();
            let found = student.find_value(&term.value);
            options.taps.push(found.ok_or(TrainError::Model { model, problem })?);
        }
        Ok(())
    }

    /// Prepares the teachers for the student's input and data.
    ///
    /// # Errors
    /// A teacher that does not fit them, a cache that cannot be written.
    pub(crate) fn begin(
        &mut self,
        set: &dyn Dataset,
        preprocess: &Preprocess,
        config: &TrainConfig,
        classes: usize,
    ) -> Result<()> {
        let pool = Arc::new(pool(self.threads));
        let features: Vec<&str> = self.config.features.iter().map(|m| &*m.teacher).collect();
        let mut teachers = vec![];
        for (number, model) in self.models.iter().enumerate() {
            let features = if number == 0 { &features[..] } else { &[] };
            teachers.push(Teacher::new(model, preprocess, classes, features, &pool, self.isa)?);
        }
        // Mixed pictures are new in each step, and inner values are too many to be kept.
        let again =
            self.config.views > 0 && config.mix == Default::default() && features.is_empty();
        let cache = match self.cache_path.as_ref().filter(|_| again) {
            Some(path) => {
                let data = fingerprint::of_data(set, preprocess)?;
                let varied = format!("{:?} {}", config.augment, config.seed);
                let varied = Sha256::digest(varied).into();
                let of = fingerprint::combine(&[self.fingerprint(), data, varied]);
                Some(Cache::open(path, of, classes, set.len())?)
            }
            None => None,
        };
        self.work = Some(Work { teachers, cache, pool, classes });
        Ok(())
    }

    /// After the forward pass and the loss against labels of the pictures `part` of `batch`: makes
    /// that loss and the gradients in `engine` those of the whole. The loss.
    ///
    /// # Errors
    /// What a teacher or the cache says.
    pub(crate) fn add(
        &mut self,
        engine: &mut Engine,
        batch: &Batch,
        part: Range<usize>,
        labels: f64,
    ) -> Result<f64> {
        let Some(work) = &mut self.work else { return Ok(labels) };
        let config = &self.config;
        let image = batch.x.len() / batch.n;
        let x = &batch.x[part.start * image..part.end * image];
        let view = if config.views > 0 { batch.epoch % config.views } else { batch.epoch };
        let (answers, features) = work.answer(x, view, &batch.samples[part.clone()])?;
        let student = engine.logits().to_vec();
        let gradient = engine.logits_gradient();
        gradient.iter_mut().for_each(|g| *g *= config.labels);
        let mut loss = labels * f64::from(config.labels);
        if config.answers > 0.0 {
            let right = &batch.labels[part.clone()];
            let (kind, weight) = (config.loss, config.answers);
            loss += f64::from(weight)
                * answer_loss(kind, work.classes, &student, &answers, right, weight, gradient);
        }
        let mut hints = 0;
        for (index, (pair, taught)) in config.features.iter().zip(&features).enumerate() {
            let extent = work.teachers[0].features[index];
            let value =
                compare(engine, index, pair, (taught, extent), &mut hints, &work.pool, self.isa);
            loss += f64::from(pair.weight) * value?;
        }
        for (index, term) in config.rates.iter().enumerate() {
            loss += f64::from(term.weight) * price(engine, config.features.len() + index, term);
        }
        Ok(loss)
    }
}

impl Work {
    /// Answers of the teachers, from the cache where all are there; and the first one's features.
    fn answer(
        &mut self,
        x: &[f32],
        view: u64,
        samples: &[u32],
    ) -> Result<(Vec<f32>, Vec<Vec<f32>>)> {
        let (n, classes) = (samples.len(), self.classes);
        let mut rows = vec![0.0; n * classes];
        if let Some(cache) = &mut self.cache {
            let mut all = true;
            for (row, &sample) in rows.chunks_exact_mut(classes).zip(samples) {
                all = all && cache.get(view, sample, row)?;
            }
            if all {
                return Ok((rows, vec![]));
            }
        }
        rows.fill(0.0);
        let mut features = vec![];
        let share = 1.0 / self.teachers.len() as f32;
        for (number, teacher) in self.teachers.iter_mut().enumerate() {
            let (logits, inner) = teacher.answer(x, n)?;
            rows.iter_mut().zip(&logits).for_each(|(r, l)| *r += share * l);
            if number == 0 {
                features = inner;
            }
        }
        if let Some(cache) = &mut self.cache {
            for (row, &sample) in rows.chunks_exact(classes).zip(samples) {
                cache.put(view, sample, row)?;
            }
        }
        Ok((rows, features))
    }
}

/// The bits of a value, whose gradient goes to its tap.
fn price(engine: &mut Engine, index: usize, term: &RateTerm) -> f64 {
    let tap = &engine.plan().taps()[index];
    let (len, channels) = (tap.len(), tap.shape.get(1).copied().unwrap_or(1));
    let values = engine.tap(index).to_vec();
    let mut gradient = vec![0.0; values.len()];
    let bits = rate(values.len() / len.max(1), channels, &values, term.weight, &mut gradient);
    engine.tap_gradient(index).copy_from_slice(&gradient);
    bits
}

/// The loss of one pair of values; its gradients go to the tap, and to the weights of a hint.
fn compare(
    engine: &mut Engine,
    index: usize,
    pair: &FeatureMatch,
    (taught, theirs): (&[f32], Extent),
    hints: &mut usize,
    pool: &Pool,
    isa: Isa,
) -> Result<f64> {
    let tap = engine.plan().taps()[index].clone();
    let own = match tap.shape[..] {
        [_, c, h, w] => Extent { h, w, c },
        _ => Extent { h: 1, w: 1, c: tap.len() },
    };
    let student = engine.tap(index).to_vec();
    let n = student.len() / own.len();
    let mut gradient = vec![0.0; student.len()];
    let (cs, ct) = (own.c, theirs.c);
    let fits = |e: Extent| Extent { c: 0, ..e };
    if pair.loss != FeatureLoss::Relation && fits(own) != fits(theirs) {
        let problem = format!(
            "value '{}' is {}x{}, the teacher's '{}' {}x{}; match values of one size",
            pair.student, own.h, own.w, pair.teacher, theirs.h, theirs.w
        );
        return Err(TrainError::Model { model: "distillation".into(), problem });
    }
    let loss = match pair.loss {
        FeatureLoss::Same if cs != ct => {
            let problem = format!(
                "value '{}' has {cs} channels, the teacher's '{}' {ct}: they are to be the same",
                pair.student, pair.teacher
            );
            return Err(TrainError::Model { model: "distillation".into(), problem });
        }
        FeatureLoss::Same => same(&student, taught, pair.weight, &mut gradient),
        FeatureLoss::Attention => {
            attention(n, [cs, ct], &student, taught, pair.weight, &mut gradient)
        }
        FeatureLoss::Relation => relation(n, &student, taught, pair.weight, &mut gradient),
        FeatureLoss::Hint => {
            let ctx = Ctx { isa, pool };
            let (weights, slope) = engine.extra(*hints);
            *hints += 1;
            let weights = weights.to_vec();
            hint(ctx, [cs, ct], &student, taught, &weights, pair.weight, &mut gradient, slope)
        }
    };
    engine.tap_gradient(index).copy_from_slice(&gradient);
    Ok(loss)
}

/// The class that the teachers name for each picture of `set`: labels for pictures without.
///
/// # Errors
/// What a teacher says, or a picture that cannot be read.
pub fn label(
    models: &[TeacherModel],
    set: Arc<dyn Dataset>,
    preprocess: &Preprocess,
    classes: usize,
    threads: usize,
) -> Result<Vec<u32>> {
    let pool = Arc::new(pool(threads));
    let build = |m| Teacher::new(m, preprocess, classes, &[], &pool, Isa::detect());
    let teachers = models.iter().map(build).collect::<Result<Vec<_>>>()?;
    let mut work = Work { teachers, cache: None, pool, classes };
    let options = crate::data::LoaderOptions::evaluation(16);
    let mut loader = crate::data::Loader::new(set, preprocess, &options)?;
    let mut labels = vec![];
    while let Some(batch) = loader.next_batch()? {
        let (rows, _) = work.answer(&batch.x, 0, &batch.samples)?;
        labels.extend(rows.chunks_exact(classes).map(|row| argmax(row) as u32));
    }
    Ok(labels)
}
