//! Batches, prepared by background threads while the network computes.
//!
//! Batch number `k` (counted over epochs) is a pure function of (seed, k): threads take numbers in
//! order, each together with a free buffer, and the consumer takes the results in order. Because a
//! number is never handed out without a buffer, the batch that the consumer waits for is always in
//! the making: there is no order of events that blocks all sides.
//!
//! One thread is the default: on two cores the network's own work is worth more than the second, and
//! one thread prepares small pictures far faster than a network consumes them.

use super::transform::Transform;
use super::unreadable::Unreadable;
use super::{Augment, DataError, Dataset, Image, Mix, Preprocess, Result, Sampling};
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

/// A batch ready for the network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// `[n, h, w, c]`.
    pub x: Vec<f32>,
    /// `[n]` class indices.
    pub labels: Vec<u32>,
    /// `[n]` numbers of the samples in the set.
    pub samples: Vec<u32>,
    /// Where pictures were mixed, for each the class of the other one and its share.
    pub mixed: Vec<(u32, f32)>,
    /// Samples in this batch.
    pub n: usize,
    /// The epoch that it belongs to, from 0.
    pub epoch: u64,
    /// Its number in the epoch, from 0.
    pub step: usize,
}

/// What a [`Loader`] delivers and how.
#[derive(Clone, Debug)]
pub struct LoaderOptions {
    /// Samples per batch.
    pub batch: usize,
    /// Seed of the order and of augmentation.
    pub seed: u64,
    /// The order of the samples.
    pub sampling: Sampling,
    /// Random variations, if any.
    pub augment: Option<Augment>,
    /// Variations of each sample, which then come again after as many epochs; `None` makes new ones
    /// for each epoch.
    pub views: Option<u64>,
    /// Mixing of the pictures of a batch.
    pub mix: Mix,
    /// Samples that may turn out to be unreadable. Each is replaced by the next one of the set that
    /// can be read; one more is an error.
    pub skip: usize,
    /// Leave out the last batch of an epoch when it is not full (training: every step then has
    /// statistics over the same number of samples).
    pub drop_last: bool,
    /// First epoch to deliver.
    pub start_epoch: u64,
    /// First batch of that epoch to deliver.
    pub start_step: usize,
    /// Stop before this epoch; `None` goes on for ever.
    pub end_epoch: Option<u64>,
    /// Threads, at least 1.
    pub workers: usize,
    /// Batches prepared ahead, at least 1.
    pub ahead: usize,
}

impl LoaderOptions {
    /// Shuffled, full batches, without end.
    pub fn training(batch: usize, seed: u64, augment: Option<Augment>) -> LoaderOptions {
        LoaderOptions {
            batch,
            seed,
            sampling: Sampling::Shuffled,
            augment,
            views: None,
            mix: Mix::default(),
            skip: 0,
            drop_last: true,
            start_epoch: 0,
            start_step: 0,
            end_epoch: None,
            workers: 1,
            ahead: 3,
        }
    }

    /// Every sample once, in the set's order.
    pub fn evaluation(batch: usize) -> LoaderOptions {
        LoaderOptions {
            sampling: Sampling::InOrder,
            drop_last: false,
            end_epoch: Some(1),
            ..LoaderOptions::training(batch, 0, None)
        }
    }
}

/// Delivers batches in an order fixed by the seed; see the module's description. Dropping it ends its
/// threads.
pub struct Loader {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    current: Batch,
    next: u64,
    steps: usize,
}

impl Loader {
    /// Starts the threads.
    ///
    /// # Errors
    /// Options or a description out of range; a set that is empty, or too small for one full batch
    /// when those are required; too few resources for a thread.
    pub fn new(
        set: Arc<dyn Dataset>,
        preprocess: &Preprocess,
        options: &LoaderOptions,
    ) -> Result<Loader> {
        let transform = Transform::new(preprocess)?;
        if let Some(augment) = &options.augment {
            augment.validate()?;
        }
        options.mix.validate()?;
        let steps = steps_per_epoch(set.len(), options)?;
        let first = options
            .start_epoch
            .checked_mul(steps as u64)
            .and_then(|n| n.checked_add(options.start_step as u64))
            .ok_or_else(|| {
                DataError::invalid("start_epoch", format!("{} is too large", options.start_epoch))
            })?;
        let end = options.end_epoch.map_or(u64::MAX, |epoch| epoch.saturating_mul(steps as u64));
        let workers = options.workers.clamp(1, 64);
        let buffers = options.ahead.clamp(1, 1024).max(workers);
        let state = State {
            next: first,
            free: vec![Batch::default(); buffers],
            done: BTreeMap::new(),
            order: Order::default(),
            stop: false,
            lost: false,
        };
        let shared = Arc::new(Shared {
            set,
            options: options.clone(),
            steps,
            end,
            state: Mutex::new(state),
            unreadable: Unreadable::new(options.skip),
            work: Condvar::new(),
            results: Condvar::new(),
        });
        let mut loader =
            Loader { shared, threads: Vec::new(), current: Batch::default(), next: first, steps };
        for number in 0..workers {
            let (shared, transform) = (loader.shared.clone(), transform.clone());
            let thread = std::thread::Builder::new()
                .name(format!("data-{number}"))
                .spawn(move || work(&shared, transform))
                .map_err(|e| {
                    DataError::invalid("workers", format!("cannot start a thread: {e}"))
                })?;
            loader.threads.push(thread);
        }
        Ok(loader)
    }

    /// The next batch, valid until the next call; `None` after the last one.
    ///
    /// # Errors
    /// The error of the first sample of the batch that could not be read. The next call goes on with
    /// the batch after it.
    pub fn next_batch(&mut self) -> Result<Option<&Batch>> {
        if self.next >= self.shared.end {
            return Ok(None);
        }
        let mut state = self.shared.lock();
        let result = loop {
            if let Some(result) = state.done.remove(&self.next) {
                break result;
            }
            if state.lost {
                return Err(DataError::Worker);
            }
            state = self.shared.results.wait(state).unwrap_or_else(|poison| poison.into_inner());
        };
        self.next += 1;
        // The previous batch's buffer, or the failed one's, becomes free.
        let (batch, error) = match result {
            Ok(batch) => (std::mem::replace(&mut self.current, batch), None),
            Err((batch, error)) => (batch, Some(error)),
        };
        state.free.push(batch);
        drop(state);
        self.shared.work.notify_one();
        match error {
            Some(error) => Err(error),
            None => Ok(Some(&self.current)),
        }
    }

    /// Samples that were replaced because they cannot be read, each with the reason.
    pub fn skipped(&self) -> Vec<(usize, String)> {
        self.shared.unreadable.list()
    }

    /// Batches in one epoch.
    pub fn steps_per_epoch(&self) -> usize {
        self.steps
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has already been reported to the consumer.
            let _ = thread.join();
        }
    }
}

/// Number of batches per epoch of `len` samples.
fn steps_per_epoch(len: usize, options: &LoaderOptions) -> Result<usize> {
    if options.batch == 0 {
        return Err(DataError::invalid("batch", "must be at least 1"));
    }
    let steps = match options.drop_last {
        true => len / options.batch,
        false => len.div_ceil(options.batch),
    };
    if steps == 0 {
        return Err(DataError::invalid(
            "batch",
            format!("{} of a set of {len} samples", options.batch),
        ));
    }
    Ok(steps)
}

struct Shared {
    set: Arc<dyn Dataset>,
    options: LoaderOptions,
    steps: usize,
    /// Number of the first batch that is not delivered.
    end: u64,
    state: Mutex<State>,
    unreadable: Unreadable,
    /// Signalled when a buffer becomes free or the loader is dropped.
    work: Condvar,
    /// Signalled when a batch is done or a thread is lost.
    results: Condvar,
}

struct State {
    next: u64,
    free: Vec<Batch>,
    done: BTreeMap<u64, std::result::Result<Batch, (Batch, DataError)>>,
    order: Order,
    stop: bool,
    lost: bool,
}

#[derive(Default)]
struct Order {
    epoch: Option<u64>,
    samples: Arc<Vec<u32>>,
}

impl Shared {
    /// A thread that panicked did so outside the lock; the state is whole either way.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// Waits for a free buffer and takes the next batch number with it; `None` ends the thread.
    fn take(&self) -> Option<(u64, Batch, Arc<Vec<u32>>)> {
        let mut state = self.lock();
        let batch = loop {
            if state.stop || state.next >= self.end {
                return None;
            }
            match state.free.pop() {
                Some(batch) => break batch,
                None => state = self.work.wait(state).unwrap_or_else(|poison| poison.into_inner()),
            }
        };
        let number = state.next;
        state.next += 1;
        let epoch = number / self.steps as u64;
        if state.order.epoch != Some(epoch) {
            let options = &self.options;
            let samples = options.sampling.order(self.set.as_ref(), options.seed, epoch);
            state.order = Order { epoch: Some(epoch), samples: Arc::new(samples) };
        }
        Some((number, batch, state.order.samples.clone()))
    }
}

/// Tells the consumer when a thread unwinds instead of delivering.
struct Alarm<'a>(&'a Shared);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().lost = true;
            self.0.results.notify_all();
        }
    }
}

/// A loader thread.
fn work(shared: &Shared, transform: Transform) {
    let _alarm = Alarm(shared);
    let mut bench =
        Bench { transform, raw: Image::default(), fitted: Image::default(), spare: Vec::new() };
    while let Some((number, mut batch, order)) = shared.take() {
        let result = match bench.fill(shared, number, &order, &mut batch) {
            Ok(()) => Ok(batch),
            Err(error) => Err((batch, error)),
        };
        shared.lock().done.insert(number, result);
        shared.results.notify_all();
    }
}

/// A thread's buffers.
struct Bench {
    transform: Transform,
    raw: Image,
    fitted: Image,
    spare: Vec<u8>,
}

impl Bench {
    fn fill(
        &mut self,
        shared: &Shared,
        number: u64,
        order: &[u32],
        batch: &mut Batch,
    ) -> Result<()> {
        let options = &shared.options;
        batch.epoch = number / shared.steps as u64;
        batch.step = (number % shared.steps as u64) as usize;
        let from = batch.step * options.batch;
        let samples = &order[from..order.len().min(from + options.batch)];
        let size: usize = self.transform.preprocess().shape().iter().product();
        batch.n = samples.len();
        batch.x.resize(samples.len() * size, 0.0);
        batch.labels.clear();
        batch.samples.clear();
        let view = options.views.map_or(batch.epoch, |views| batch.epoch % views.max(1));
        for (&i, x) in samples.iter().zip(batch.x.chunks_exact_mut(size)) {
            let i = shared.unreadable.read(shared.set.as_ref(), i as usize, &mut self.raw)?;
            batch.labels.push(shared.set.label(i));
            batch.samples.push(i as u32);
            let mut rng = Augment::generator(options.seed, view, i as u64);
            let augment = options.augment.unwrap_or_default();
            let window = augment.window([self.raw.h, self.raw.w], &mut rng);
            self.transform.fit(&self.raw, window, &mut self.fitted)?;
            augment.apply(&mut self.fitted, &mut self.spare, &mut rng);
            self.transform.normalise(&self.fitted, x);
        }
        let mut rng = Mix::generator(options.seed, batch.epoch, batch.step as u64);
        options.mix.apply(batch, self.transform.preprocess().shape(), &mut rng);
        Ok(())
    }
}
