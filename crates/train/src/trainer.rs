//! The training loop: batches in, a trained graph out.
//!
//! One step is forward, loss, backward, update, average. Everything that a later step depends on is
//! in the checkpoint, and nothing else is: a training that is killed and started again ends with
//! the same bytes as one that ran through, on any number of threads and any instruction set.

use std::sync::Arc;
use std::time::Instant;

use edgecut_graph::Graph;

use crate::checkpoint::{Checkpoint, Identity};
use crate::config::{RunOptions, TrainConfig, pool};
use crate::data::{Batch, Dataset, Loader, LoaderOptions, Preprocess};
use crate::distill::Guide;
use crate::ema::Ema;
use crate::engine::Engine;
use crate::error::{Result, TrainError};
use crate::evaluate::{Evaluation, evaluate};
use crate::fingerprint;
use crate::metrics::argmax;
use crate::optim::{Group, Kept, OptimizerState, Shrinkage};
use crate::plan::{Budget, Memory, TrainPlan};
use crate::progress::{Control, EpochStats, Event, Progress};
use crate::qat::Unfolded;
use crate::schedule::Schedule;
use crate::targets::Targets;

mod checks;
mod finder;
mod outcome;

use checks::{check_fit, choices, identity, targets};

pub use finder::{RateCurve, RatePoint, find_rate};
pub use outcome::{Ending, TrainOutcome};

/// Key of the JSON list of class names in a model's metadata.
pub const CLASSES_KEY: &str = "edgecut.classes";

/// Trains `graph` on `train` and validates it on `val` after each epoch.
///
/// `graph` has one image input, `[n, c, h, w]` with the shape that `preprocess` makes, and one
/// output with a logit or softmax probability for each class. A quantised graph is trained as such
/// (see [`qat`](crate::qat)), and is returned as it was where training has made it worse.
///
/// # Errors
/// Settings out of range; a model that cannot be trained or does not fit the data; samples that
/// cannot be read; a checkpoint that is broken or belongs to another training; a loss that is no
/// longer a number.
pub fn fit(
    graph: &Graph,
    train: Arc<dyn Dataset>,
    val: Option<Arc<dyn Dataset>>,
    preprocess: &Preprocess,
    config: &TrainConfig,
    options: &RunOptions,
    observer: &mut dyn FnMut(&Progress) -> Control,
) -> Result<TrainOutcome> {
    fit_guided(graph, train, val, preprocess, config, options, None, observer)
}

/// As [`fit`], with teachers.
///
/// # Errors
/// Also teachers that do not fit the student or the data.
pub fn fit_guided(
    graph: &Graph,
    train: Arc<dyn Dataset>,
    val: Option<Arc<dyn Dataset>>,
    preprocess: &Preprocess,
    config: &TrainConfig,
    options: &RunOptions,
    guide: Option<&mut Guide>,
    observer: &mut dyn FnMut(&Progress) -> Control,
) -> Result<TrainOutcome> {
    config.validate()?;
    let unfolded = Unfolded::of(graph)?;
    let begin = unfolded.as_ref().map_or(graph, |unfolded| &unfolded.graph);
    let integers = unfolded.as_ref();
    let mut trainer =
        Trainer::new(begin, integers, train, val, preprocess, config, options, guide)?;
    let memory = trainer.memory;
    observer(&trainer.progress(Event::Planned(&memory)));
    if unfolded.is_some() {
        trainer.measure_beginning(observer)?;
    }
    if trainer.resume()? {
        observer(&trainer.progress(Event::Resumed));
    }
    let ending = trainer.run(observer)?;
    let mut outcome = trainer.finish(begin, ending)?;
    if let Some(unfolded) = &unfolded {
        outcome.graph = unfolded.fold(graph, &outcome.graph)?;
    }
    Ok(outcome)
}

struct Trainer<'a> {
    config: &'a TrainConfig,
    options: &'a RunOptions,
    preprocess: &'a Preprocess,
    train: Arc<dyn Dataset>,
    val: Option<Arc<dyn Dataset>>,
    identity: Option<Identity>,
    engine: Engine,
    /// What a step works on.
    memory: Memory,
    optimizer: OptimizerState,
    /// What shrinks channels, where [`TrainConfig::group_lasso`] wants it.
    shrinkage: Option<Shrinkage>,
    ema: Option<Ema>,
    /// What a quantised model achieves before it is trained: it must not become worse.
    before: Option<Evaluation>,
    /// What stays of the weights as they are.
    kept: Kept,
    /// The best epoch's parameters and statistics where [`TrainConfig::patience`] wants them.
    best: Option<(Vec<f32>, Vec<f32>)>,
    targets: Targets,
    guide: Option<&'a mut Guide>,
    /// Gradients of the parts of a batch, added up.
    sum: Vec<f32>,
    schedule: Schedule,
    /// Images per step.
    batch: usize,
    steps_per_epoch: u64,
    /// Unreadable samples that the observer knows of.
    skipped: usize,
    /// Counters and history; its arrays are filled only to be written.
    state: Checkpoint,
    last_validation: Option<Evaluation>,
    started: Instant,
    saved: Instant,
    /// Seconds of earlier runs.
    earlier: f64,
    /// Images and seconds of training steps in this run.
    pace: (u64, f64),
    validation_seconds: f64,
}

impl<'a> Trainer<'a> {
    fn new(
        graph: &Graph,
        unfolded: Option<&Unfolded>,
        train: Arc<dyn Dataset>,
        val: Option<Arc<dyn Dataset>>,
        preprocess: &'a Preprocess,
        config: &'a TrainConfig,
        options: &'a RunOptions,
        mut guide: Option<&'a mut Guide>,
    ) -> Result<Trainer<'a>> {
        preprocess.validate()?;
        if train.is_empty() {
            return Err(TrainError::config("data", "there are no training images"));
        }
        if val.is_none() && config.patience.is_some() {
            return Err(TrainError::config("patience", "needs validation data"));
        }
        let batch = config.batch.min(train.len());
        let part = batch.div_ceil(config.accumulate);
        let mut choices = choices(graph, unfolded, config)?;
        if let Some(guide) = &guide {
            guide.ask(graph, config.seed, &mut choices)?;
        }
        let (pool, copies) = (pool(options.threads), config.copies());
        let threads = pool.threads();
        choices.memory = options.memory.map(|bytes| Budget { bytes, copies, threads });
        let plan = TrainPlan::with(graph, part, &choices)?;
        let memory = plan.memory(threads, copies);
        check_fit(&plan, &train, val.as_ref(), preprocess)?;
        if let Some(guide) = &mut guide {
            guide.begin(train.as_ref(), preprocess, config, plan.classes())?;
        }
        let identity = match &options.checkpoint {
            None => None,
            Some(_) => Some(identity(graph, &train, val.as_ref(), preprocess, config)?),
        };
        let identity = identity.map(|own: Identity| match &guide {
            Some(guide) => {
                let config = fingerprint::combine(&[own.config, guide.fingerprint()]);
                Identity { config, ..own }
            }
            None => own,
        });
        let steps_per_epoch = (train.len() / batch) as u64;
        let total = steps_per_epoch * config.epochs as u64;
        let warmup = (f64::from(config.warmup_epochs) * steps_per_epoch as f64).round() as u64;
        let params = plan.params();
        let kept = Kept::of(config, params)?;
        let now = Instant::now();
        Ok(Trainer {
            optimizer: OptimizerState::new(config.optimizer, Group::of_tensors(params)),
            shrinkage: config
                .group_lasso
                .as_ref()
                .map(|lasso| Shrinkage::new(params, lasso))
                .transpose()?,
            before: None,
            best: config.patience.map(|_| (params.values.clone(), params.stats.clone())),
            targets: targets(config, &train, plan.classes())?,
            guide,
            sum: if config.accumulate > 1 { vec![0.0; params.values.len()] } else { vec![] },
            ema: config.ema_decay.map(|decay| Ema::new(params, decay)),
            engine: Engine::new(plan, pool, options.isa),
            memory,
            kept,
            schedule: Schedule {
                decay: config.decay,
                peak: config.lr,
                warmup: warmup.min(total),
                total,
            },
            batch,
            steps_per_epoch,
            skipped: 0,
            config,
            options,
            preprocess,
            train,
            val,
            identity,
            state: Checkpoint::default(),
            last_validation: None,
            started: now,
            saved: now,
            earlier: 0.0,
            pace: (0, 0.0),
            validation_seconds: 0.0,
        })
    }

    /// The arrays of a checkpoint, in order.
    fn arrays(&mut self) -> Vec<&mut Vec<f32>> {
        let params = self.engine.params_mut();
        let mut arrays = vec![&mut params.values, &mut params.stats];
        arrays.extend(&mut self.optimizer.moments);
        if let Some(ema) = &mut self.ema {
            arrays.extend([&mut ema.values, &mut ema.stats]);
        }
        if let Some((values, stats)) = &mut self.best {
            arrays.extend([values, stats]);
        }
        arrays
    }

    /// Takes up the state of an earlier run; whether there was one.
    fn resume(&mut self) -> Result<bool> {
        let (Some(checkpoint), Some(identity)) = (&self.options.checkpoint, self.identity) else {
            return Ok(false);
        };
        if checkpoint.restart {
            return Ok(false);
        }
        let lengths: Vec<usize> = self.arrays().iter().map(|a| a.len()).collect();
        let Some(mut state) = Checkpoint::load(&checkpoint.path, &identity, &lengths)? else {
            return Ok(false);
        };
        for (own, saved) in self.arrays().into_iter().zip(std::mem::take(&mut state.arrays)) {
            *own = saved;
        }
        self.earlier = state.seconds;
        self.state = state;
        Ok(true)
    }

    /// Writes a checkpoint where they are wanted.
    fn save(&mut self) -> Result<bool> {
        let (Some(checkpoint), Some(identity)) = (&self.options.checkpoint, self.identity) else {
            return Ok(false);
        };
        self.state.seconds = self.seconds();
        // Moved there and back: a copy would double the memory.
        self.state.arrays = self.arrays().into_iter().map(std::mem::take).collect();
        let result = self.state.save(&checkpoint.path, &identity);
        let arrays = std::mem::take(&mut self.state.arrays);
        for (own, saved) in self.arrays().into_iter().zip(arrays) {
            *own = saved;
        }
        self.saved = Instant::now();
        result.map(|()| true)
    }

    fn seconds(&self) -> f64 {
        self.earlier + self.started.elapsed().as_secs_f64()
    }

    fn out_of_time(&self) -> bool {
        self.options.max_time.is_some_and(|limit| self.seconds() >= limit.as_secs_f64())
    }

    /// Training batches from the beginning, without end.
    fn loader_options(&self) -> LoaderOptions {
        let config = self.config;
        LoaderOptions {
            mix: config.mix,
            sampling: config.sampling,
            skip: config.skip,
            views: self.guide.as_ref().and_then(|guide| guide.views()),
            workers: self.options.data_workers.max(1),
            ..LoaderOptions::training(self.batch, config.seed, Some(config.augment))
        }
    }

    fn run(&mut self, observer: &mut dyn FnMut(&Progress) -> Control) -> Result<Ending> {
        let mut options = self.loader_options();
        options.start_epoch = self.state.step / self.steps_per_epoch;
        options.start_step = (self.state.step % self.steps_per_epoch) as usize;
        options.end_epoch = Some(self.config.epochs as u64);
        let mut loader = Loader::new(self.train.clone(), self.preprocess, &options)?;
        let ending = loop {
            // Also after a checkpoint that was written between an epoch's last step and its end.
            let epochs_done = (self.state.step / self.steps_per_epoch) as usize;
            if epochs_done > self.state.history.len() {
                self.end_epoch(observer)?;
            }
            if epochs_done >= self.config.epochs {
                break Ending::Completed;
            }
            if self.on_a_plateau() {
                break Ending::Plateau;
            }
            if self.out_of_time() {
                break Ending::OutOfTime;
            }
            let start = Instant::now();
            let Some(batch) = loader.next_batch()? else { break Ending::Completed };
            let lr = self.schedule.rate(self.state.step);
            self.step(batch, lr)?;
            self.pace.0 += batch.n as u64;
            self.pace.1 += start.elapsed().as_secs_f64();
            for (sample, reason) in loader.skipped().into_iter().skip(self.skipped) {
                self.skipped += 1;
                observer(&self.progress(Event::Skipped { sample, reason: &reason }));
            }
            if observer(&self.progress(Event::Step)) == Control::Stop {
                break Ending::Stopped;
            }
            let due =
                self.options.checkpoint.as_ref().is_some_and(|c| self.saved.elapsed() >= c.every);
            if due && self.save()? {
                observer(&self.progress(Event::Saved));
            }
        };
        drop(loader);
        self.save()?;
        Ok(ending)
    }

    /// One step of training at the rate `lr`.
    fn step(&mut self, batch: &Batch, lr: f32) -> Result<()> {
        let targets = self.targets.of_batch(batch);
        let weight: f64 = targets.iter().map(|&t| f64::from(t)).sum();
        let (classes, most) = (self.engine.plan().classes(), self.engine.plan().batch());
        let image = batch.x.len() / batch.n;
        let (mut loss, mut hits) = (0.0, 0);
        self.sum.fill(0.0);
        for from in (0..batch.n).step_by(most) {
            let part = from..batch.n.min(from + most);
            let x = &batch.x[part.start * image..part.end * image];
            let targets = &targets[part.start * classes..part.end * classes];
            self.engine.forward(x, part.len(), true);
            let share = targets.iter().map(|&t| f64::from(t)).sum::<f64>() / weight.max(1e-30);
            let mut own = self.engine.loss_against(targets);
            if let Some(guide) = &mut self.guide {
                own = guide.add(&mut self.engine, batch, part.clone(), own)?;
            }
            loss += own * share;
            let rows = self.engine.logits().chunks_exact(classes).zip(&batch.labels[part]);
            hits += rows.filter(|(row, label)| argmax(row) == **label as usize).count();
            self.engine.backward();
            let gradients = self.engine.gradients();
            self.sum.iter_mut().zip(gradients).for_each(|(sum, g)| *sum += share as f32 * g);
        }
        if !loss.is_finite() {
            let epoch = (self.state.step / self.steps_per_epoch) as usize + 1;
            let step = (self.state.step % self.steps_per_epoch) as usize + 1;
            return Err(TrainError::Diverged { epoch, step, loss });
        }
        let step = self.state.step;
        let (params, last, pool) = self.engine.update();
        let gradients = if self.sum.is_empty() { last } else { &self.sum };
        let gradients = self.kept.gradients(params, gradients);
        let decay = self.config.weight_decay;
        self.optimizer.step(pool, &mut params.values, gradients, decay, lr, step);
        if let Some(shrinkage) = &self.shrinkage {
            shrinkage.apply(&mut params.values, lr);
        }
        if let Some(ema) = &mut self.ema {
            ema.update(params, step);
        }
        self.state.loss_sum += loss * batch.n as f64;
        self.state.correct += hits as u64;
        self.state.seen += batch.n as u64;
        self.state.step += 1;
        Ok(())
    }

    /// Whether accuracy has not risen for as many epochs as allowed.
    fn on_a_plateau(&self) -> bool {
        let history = &self.state.history;
        let best = best_epoch(history).unwrap_or(history.len());
        self.config.patience.is_some_and(|patience| history.len() >= best + 1 + patience)
    }

    fn end_epoch(&mut self, observer: &mut dyn FnMut(&Progress) -> Control) -> Result<()> {
        if self.val.is_some() {
            observer(&self.progress(Event::Validating));
        }
        self.validate()?;
        let seen = self.state.seen.max(1) as f64;
        let stats = EpochStats {
            epoch: self.state.history.len() + 1,
            train_loss: self.state.loss_sum / seen,
            train_accuracy: self.state.correct as f64 / seen,
            val_loss: self.last_validation.as_ref().map(|v| v.loss),
            val_accuracy: self.last_validation.as_ref().map(|v| v.counts.accuracy()),
            lr: self.schedule.rate(self.state.step - 1),
            seconds: self.seconds(),
        };
        observer(&self.progress(Event::EpochEnd(&stats)));
        self.state.history.push(stats);
        if best_epoch(&self.state.history) == Some(self.state.history.len() - 1)
            && let Some((values, stats)) = &mut self.best
        {
            match &self.ema {
                Some(ema) => (values.clone_from(&ema.values), stats.clone_from(&ema.stats)),
                None => {
                    let params = self.engine.params();
                    (values.clone_from(&params.values), stats.clone_from(&params.stats))
                }
            };
        }
        (self.state.loss_sum, self.state.correct, self.state.seen) = (0.0, 0, 0);
        Ok(())
    }

    /// Measures the model that training begins with.
    fn measure_beginning(&mut self, observer: &mut dyn FnMut(&Progress) -> Control) -> Result<()> {
        self.validate()?;
        self.before = self.last_validation.take();
        if let Some(found) = &self.before {
            observer(&self.progress(Event::Begun(found)));
        }
        Ok(())
    }

    /// Measures the weights that would be returned now.
    fn validate(&mut self) -> Result<()> {
        let Some(val) = self.val.clone() else { return Ok(()) };
        let start = Instant::now();
        self.swap_average();
        let result = evaluate(&mut self.engine, val, self.preprocess);
        self.swap_average();
        self.last_validation = Some(result?);
        self.validation_seconds = start.elapsed().as_secs_f64();
        Ok(())
    }

    /// Exchanges the weights and their averages where there are such.
    fn swap_average(&mut self) {
        if let Some(ema) = &mut self.ema {
            ema.swap(self.engine.params_mut());
        }
    }

    fn images_per_second(&self) -> f64 {
        if self.pace.0 == 0 { 0.0 } else { self.pace.0 as f64 / self.pace.1 }
    }

    fn progress<'e>(&self, event: Event<'e>) -> Progress<'e> {
        let done = self.state.history.len() as u64;
        let seen = self.state.seen.max(1) as f64;
        let steps_left = self.schedule.total - self.state.step.min(self.schedule.total);
        let images_left = steps_left * self.batch as u64;
        let epochs_left = self.config.epochs as u64 - done.min(self.config.epochs as u64);
        let pace = self.images_per_second();
        Progress {
            event,
            epoch: (done as usize + 1).min(self.config.epochs),
            epochs: self.config.epochs,
            step: self.state.step.saturating_sub(done * self.steps_per_epoch) as usize,
            steps_per_epoch: self.steps_per_epoch as usize,
            loss: self.state.loss_sum / seen,
            accuracy: self.state.correct as f64 / seen,
            lr: self.schedule.rate(self.state.step.saturating_sub(1)),
            images_per_second: pace,
            seconds_left: (pace > 0.0)
                .then(|| images_left as f64 / pace + epochs_left as f64 * self.validation_seconds),
        }
    }
}

/// The epoch, counted from 0, after which the accuracy was highest, the first of several.
fn best_epoch(history: &[EpochStats]) -> Option<usize> {
    let accuracy = |i: &usize| history[*i].val_accuracy.unwrap_or(0.0);
    (0..history.len()).rev().max_by(|a, b| accuracy(a).total_cmp(&accuracy(b)))
}
