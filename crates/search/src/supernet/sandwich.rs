//! Trains shared weights.

use std::sync::Arc;
use std::time::Instant;

use edgecut_graph::Graph;
use edgecut_graph::rng::Rng;
use edgecut_kernels::Isa;
use edgecut_train::checkpoint::{Checkpoint, Identity};
use edgecut_train::config::{CheckpointOptions, RunOptions, TrainConfig};
use edgecut_train::data::{Batch, Dataset, Loader, LoaderOptions, Preprocess};
use edgecut_train::fingerprint::{self, Fingerprint};
use edgecut_train::optim::OptimizerState;
use edgecut_train::plan::Extent;
use edgecut_train::progress::Control;
use edgecut_train::schedule::Schedule;
use edgecut_train::targets::Targets;
use sha2::{Digest, Sha256};

use super::pictures::{extent, from_data};
use super::{Family, SharedWeights, Subnet};
use crate::error::{Result, SearchError};

/// How shared weights are trained. The result is a function of it, the family and the data: neither
/// threads nor instruction set nor interruptions change a bit.
#[derive(Clone, Debug, PartialEq)]
pub struct Sandwich {
    /// Epochs, batch and its parts, rates, decay, smoothing, variations of pictures, seed. What is about
    /// one network alone (averages of weights, patience, frozen layers, ...) has no meaning here.
    pub config: TrainConfig,
    /// Random networks in each step, beside the largest and the smallest.
    pub random: usize,
}

/// How far a training is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SandwichProgress {
    /// Steps done, and all.
    pub steps: [u64; 2],
    /// Steps of an epoch.
    pub steps_per_epoch: u64,
    /// Losses of the last step: of the largest network against the labels, of the smallest one against
    /// the largest.
    pub losses: [f64; 2],
    /// Pictures per second in this run, each counted once for all networks.
    pub images_per_second: f64,
}

/// Trains the weights of `family` on `set`, which is prepared at the size of the largest network.
///
/// `observer` hears of each step and may stop; then, as after a kill, the same call goes on from the
/// checkpoint. Returns the weights, and whether training came to its end.
///
/// # Errors
/// Networks that cannot be trained or share no weights, unreadable pictures, settings out of range, a
/// loss that is no number, a checkpoint of another training.
pub fn train(
    family: &dyn Family,
    (set, preprocess): (&Arc<dyn Dataset>, &Preprocess),
    sandwich: &Sandwich,
    options: &RunOptions,
    observer: &mut dyn FnMut(&SandwichProgress) -> Control,
) -> Result<(SharedWeights, bool)> {
    sandwich.config.validate()?;
    preprocess.validate().map_err(from_data)?;
    let largest = family.largest()?;
    let weights = SharedWeights::new(&family.whole()?)?;
    let mut training =
        Training::new(family, largest, weights, (set, preprocess), sandwich, options)?;
    let identity = training.identity(set, preprocess)?;
    let completed = training.run((set, preprocess), &identity, observer)?;
    Ok((training.weights, completed))
}

struct Training<'a> {
    family: &'a dyn Family,
    sandwich: &'a Sandwich,
    options: &'a RunOptions,
    weights: SharedWeights,
    optimizer: OptimizerState,
    /// Compiled once: the largest networks, and the smallest.
    largest: Vec<Subnet>,
    smallest: Subnet,
    /// Of the pictures.
    extent: Extent,
    targets: Targets,
    sum: Vec<f32>,
    schedule: Schedule,
    batch: usize,
    steps_per_epoch: u64,
    state: Checkpoint,
    saved: Instant,
}

impl<'a> Training<'a> {
    fn new(
        family: &'a dyn Family,
        largest: Vec<Graph>,
        weights: SharedWeights,
        (set, preprocess): (&Arc<dyn Dataset>, &Preprocess),
        sandwich: &'a Sandwich,
        options: &'a RunOptions,
    ) -> Result<Training<'a>> {
        let config = &sandwich.config;
        if set.is_empty() {
            return Err(SearchError::Input("there are no training pictures".into()));
        }
        let batch = config.batch.min(set.len());
        let (part, machine) = (batch.div_ceil(config.accumulate), machine(options));
        let compile = |graph| Subnet::new(graph, &weights, part, machine);
        let largest = largest.into_iter().map(compile).collect::<Result<Vec<_>>>()?;
        let smallest = compile(family.smallest()?)?;
        let classes = smallest.classes();
        let steps_per_epoch = (set.len() / batch) as u64;
        let total = steps_per_epoch * config.epochs as u64;
        let warmup = (f64::from(config.warmup_epochs) * steps_per_epoch as f64).round() as u64;
        Ok(Training {
            optimizer: OptimizerState::new(config.optimizer, weights.groups()),
            sum: vec![0.0; weights.values.len()],
            targets: Targets::new(classes, config.label_smoothing, None),
            schedule: Schedule { decay: config.decay, peak: config.lr, warmup, total },
            extent: extent(preprocess),
            state: Checkpoint::default(),
            saved: Instant::now(),
            family,
            sandwich,
            options,
            weights,
            largest,
            smallest,
            batch,
            steps_per_epoch,
        })
    }

    fn identity(&self, set: &Arc<dyn Dataset>, preprocess: &Preprocess) -> Result<Identity> {
        let text = |text: String| -> Fingerprint { Sha256::digest(text).into() };
        let shapes: Vec<_> = self.weights.shapes().collect();
        let first = self.weights.values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let model =
            fingerprint::combine(&[text(format!("{shapes:?}")), Sha256::digest(&first).into()]);
        Ok(Identity {
            config: text(format!("{:?}", self.sandwich)),
            model,
            data: fingerprint::of_data(set.as_ref(), preprocess)?,
        })
    }

    fn run(
        &mut self,
        (set, preprocess): (&Arc<dyn Dataset>, &Preprocess),
        identity: &Identity,
        observer: &mut dyn FnMut(&SandwichProgress) -> Control,
    ) -> Result<bool> {
        self.resume(identity)?;
        let config = &self.sandwich.config;
        let options = LoaderOptions {
            mix: config.mix,
            sampling: config.sampling,
            skip: config.skip,
            workers: self.options.data_workers.max(1),
            start_epoch: self.state.step / self.steps_per_epoch,
            start_step: (self.state.step % self.steps_per_epoch) as usize,
            end_epoch: Some(config.epochs as u64),
            ..LoaderOptions::training(self.batch, config.seed, Some(config.augment))
        };
        let mut loader = Loader::new(set.clone(), preprocess, &options).map_err(from_data)?;
        let (began, first) = (Instant::now(), self.state.step);
        let mut go_on = true;
        while go_on
            && self.state.step < self.schedule.total
            && let Some(batch) = loader.next_batch().map_err(from_data)?
        {
            let losses = self.step(batch)?;
            let pictures = (self.state.step - first) as f64 * self.batch as f64;
            let progress = SandwichProgress {
                steps: [self.state.step, self.schedule.total],
                steps_per_epoch: self.steps_per_epoch,
                losses,
                images_per_second: pictures / began.elapsed().as_secs_f64().max(1e-9),
            };
            go_on = observer(&progress) != Control::Stop;
            let due = |c: &CheckpointOptions| self.saved.elapsed() >= c.every;
            if self.options.checkpoint.as_ref().is_some_and(due) {
                self.save(identity)?;
            }
        }
        self.save(identity)?;
        Ok(self.state.step >= self.schedule.total)
    }

    /// One step of all networks of the sandwich; the losses of the largest and the smallest.
    fn step(&mut self, batch: &Batch) -> Result<[f64; 2]> {
        let (step, seed) = (self.state.step, self.sandwich.config.seed);
        let mut random = vec![];
        for number in 0..self.sandwich.random as u64 {
            let graph = self.family.random(&mut Rng::keyed(&[seed, step, number]))?;
            let part = self.smallest.batch();
            random.push(Subnet::new(graph, &self.weights, part, machine(self.options))?);
        }
        let share = 1.0 / (2 + random.len()) as f32;
        let turn = (step % self.largest.len() as u64) as usize;
        self.largest[turn].load(&self.weights);
        self.smallest.load(&self.weights);
        let (classes, image) = (self.smallest.classes(), self.extent.len());
        let targets = self.targets.of_batch(batch);
        self.sum.fill(0.0);
        let mut losses = [0.0; 2];
        for from in (0..batch.n).step_by(self.smallest.batch()) {
            let end = batch.n.min(from + self.smallest.batch());
            let pictures = (&batch.x[from * image..end * image], self.extent, end - from);
            let part = (end - from) as f32 / batch.n as f32;
            let labels = &targets[from * classes..end * classes];
            let own = self.largest[turn].learn(pictures, labels, share * part, &mut self.sum)?;
            losses[0] += own * f64::from(part);
            let answers = self.largest[turn].answers();
            let own = self.smallest.learn(pictures, &answers, share * part, &mut self.sum)?;
            losses[1] += own * f64::from(part);
            for subnet in &mut random {
                subnet.learn(pictures, &answers, share * part, &mut self.sum)?;
            }
        }
        if !losses.iter().all(|loss| loss.is_finite()) {
            let problem = format!("the loss of step {} is {losses:?}; try a lower rate", step + 1);
            return Err(SearchError::Input(problem));
        }
        let (lr, decay) = (self.schedule.rate(step), self.sandwich.config.weight_decay);
        let values = &mut self.weights.values;
        self.optimizer.step(self.smallest.pool(), values, &self.sum, decay, lr, step);
        self.state.step += 1;
        Ok(losses)
    }

    fn resume(&mut self, identity: &Identity) -> Result<()> {
        let Some(checkpoint) = self.options.checkpoint.as_ref().filter(|c| !c.restart) else {
            return Ok(());
        };
        let lengths = vec![self.weights.values.len(); 1 + self.optimizer.moments.len()];
        let Some(mut state) = Checkpoint::load(&checkpoint.path, identity, &lengths)? else {
            return Ok(());
        };
        let mut arrays = std::mem::take(&mut state.arrays).into_iter();
        self.weights.values = arrays.next().unwrap_or_default();
        self.optimizer.moments = arrays.collect();
        self.state = state;
        Ok(())
    }

    fn save(&mut self, identity: &Identity) -> Result<()> {
        let Some(checkpoint) = &self.options.checkpoint else { return Ok(()) };
        self.state.arrays = vec![self.weights.values.clone()];
        self.state.arrays.extend(self.optimizer.moments.iter().cloned());
        self.state.save(&checkpoint.path, identity)?;
        self.state.arrays.clear();
        self.saved = Instant::now();
        Ok(())
    }
}

fn machine(options: &RunOptions) -> (usize, Isa) {
    (options.threads, options.isa)
}
