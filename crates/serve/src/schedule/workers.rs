//! Threads that take batches from the queue.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::queue::{Entry, LaneLimits, Next, Queue, Refused};
use crate::error::{Result, ServeError};

/// What waits, and how a batch of it is run.
pub trait Task: Send + Sized + 'static {
    /// Whether somebody still waits for the answer.
    fn alive(&self) -> bool;

    /// Runs entries of one model together. A panic ends neither the worker nor the server: whoever
    /// waits sees that the answer is gone.
    fn run(batch: Vec<Entry<Self>>, worker: usize);
}

/// A queue with its workers.
pub struct Scheduler<T: Task> {
    shared: Arc<Shared<T>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    wake: Condvar,
}

struct State<T> {
    queue: Queue<T>,
    stopping: bool,
}

impl<T: Task> Scheduler<T> {
    /// Starts `workers` threads.
    ///
    /// # Errors
    /// Where the system refuses them.
    pub fn start(workers: usize) -> Result<Scheduler<T>> {
        let state = State { queue: Queue::new(workers), stopping: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), wake: Condvar::new() });
        let start = |worker: usize| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name(format!("edgecut-worker-{worker}"))
                .spawn(move || work(&shared, worker))
                .map_err(ServeError::Threads)
        };
        let threads = (0..workers.max(1)).map(start).collect::<Result<_>>()?;
        Ok(Scheduler { shared, threads: Mutex::new(threads) })
    }

    /// Takes a request in; returns how many waited for the model before it.
    ///
    /// # Errors
    /// With the request, where it may not wait.
    pub fn push(
        &self,
        model: u64,
        limits: LaneLimits,
        entry: Entry<T>,
    ) -> std::result::Result<usize, (Refused, Entry<T>)> {
        let mut state = self.shared.lock();
        let depth = state.queue.depth(model);
        state.queue.push(Instant::now(), model, limits, entry, T::alive)?;
        drop(state);
        self.shared.wake.notify_one();
        Ok(depth)
    }

    /// How long a request of this priority would wait if it came now, behind others that are not
    /// here yet and will take `coming`.
    pub fn wait(&self, priority: usize, coming: Duration) -> Duration {
        self.shared.lock().queue.wait(Instant::now(), priority, coming)
    }

    /// Requests that wait for a model.
    pub fn depth(&self, model: u64) -> usize {
        self.shared.lock().queue.depth(model)
    }

    /// Lets workers finish what runs, drops what waits, and ends them.
    pub fn stop(&self) {
        let mut state = self.shared.lock();
        state.stopping = true;
        drop(state.queue.clear());
        drop(state);
        self.shared.wake.notify_all();
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _ = thread.join();
        }
    }
}

impl<T: Task> Drop for Scheduler<T> {
    fn drop(&mut self) {
        self.stop();
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn work<T: Task>(shared: &Shared<T>, worker: usize) {
    let mut state = shared.lock();
    loop {
        let now = Instant::now();
        match state.queue.next(now, T::alive) {
            Next::Batch(batch) => {
                let cost: Duration = batch.iter().map(|entry| entry.cost).sum();
                state.queue.occupy(worker, Some(now + cost));
                drop(state);
                let run = std::panic::AssertUnwindSafe(|| T::run(batch, worker));
                // The message is on standard error already; the answer's channel is closed.
                let _ = std::panic::catch_unwind(run);
                state = shared.lock();
                state.queue.occupy(worker, None);
            }
            _ if state.stopping => return,
            Next::Wait(time) => {
                let wait = time.saturating_duration_since(now);
                let woken = shared.wake.wait_timeout(state, wait);
                state = woken.unwrap_or_else(PoisonError::into_inner).0;
            }
            Next::Empty => {
                state = shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}
