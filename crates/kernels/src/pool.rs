//! A small thread pool for kernels: fixed tasks, no allocation per call, no spinning while idle.
//!
//! A network runs thousands of short parallel loops per second, each a few tens of microseconds
//! long. Work stealing would spend its time on bookkeeping, so a loop here is one atomic counter per
//! thread: each thread takes the tasks of its own share in order, and then what is left of the
//! others'. So task i of n usually runs on the same thread in every loop of n tasks, and a band of
//! rows stays in the cache of one core from layer to layer; a thread that comes late loses its tasks
//! to those that wait. What a task computes never depends on the thread that runs it, so results are
//! the same for any number of threads.
//!
//! Workers join a loop only while it is open. A caller that finishes all tasks closes the loop and
//! waits for the workers inside it, never for one that is still asleep. After a loop a worker spins
//! for [`SPIN`] (the gap between two layers of a network is shorter), then sleeps on a condition
//! variable: an idle pool uses no processor time.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomData;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a thread polls for the next loop (or for the end of this one) before it sleeps.
const SPIN: Duration = Duration::from_micros(50);

/// More threads than this help no kernel; larger requests are cut to it.
const MAX_THREADS: usize = 256;

/// A fixed set of threads that run the iterations of a loop.
///
/// The calling thread takes part, so `Pool::new(1)` starts no thread at all. Calls from several
/// threads are served one after the other; a call from inside a task runs inline.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Held while a loop runs: one loop at a time.
    submit: Mutex<()>,
}

/// A loop body: worker index below `Pool::threads`, task index.
type Body<'a> = &'a (dyn Fn(usize, usize) + Sync + 'a);

/// What the workers run, with the lifetime of the body erased.
#[derive(Clone, Copy)]
struct Job {
    body: Body<'static>,
    tasks: usize,
}

/// A value with cache lines of its own: two, because processors fetch lines in pairs.
#[repr(align(128))]
struct Alone<T>(T);

struct Shared {
    /// `epoch << 32 | OPEN | threads inside the loop`.
    gate: Alone<AtomicU64>,
    /// Written only while the gate is shut and empty, read only by threads inside it.
    job: UnsafeCell<Option<Job>>,
    /// The next task of each thread's share.
    next: Vec<Alone<AtomicUsize>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// Guards every sleep: it is held from the last check until the wait.
    sleep: Mutex<()>,
    wake: Condvar,
    sleepers: AtomicU32,
    left: Condvar,
    caller_waits: AtomicBool,
    shutdown: AtomicBool,
    started: AtomicUsize,
}

// SAFETY: the only field that is not Sync by itself is `job`; the gate protocol (see its doc)
// separates its one writer from its readers, and the body it points to is Sync.
unsafe impl Sync for Shared {}
// SAFETY: as above; nothing in it is bound to a thread.
unsafe impl Send for Shared {}

const OPEN: u64 = 1 << 31;
const INSIDE: u64 = OPEN - 1;

thread_local! {
    /// True while this thread runs a task, so that nested loops run inline.
    static IN_TASK: Cell<bool> = const { Cell::new(false) };
}

impl Pool {
    /// A pool of `threads` threads, the caller included; 0 counts as 1. If the system refuses to
    /// start some, the pool is smaller and [`Pool::threads`] says so.
    pub fn new(threads: usize) -> Pool {
        let threads = threads.clamp(1, MAX_THREADS);
        let shared = Arc::new(Shared {
            gate: Alone(AtomicU64::new(0)),
            job: UnsafeCell::new(None),
            next: (0..threads).map(|_| Alone(AtomicUsize::new(0))).collect(),
            panic: Mutex::new(None),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
            sleepers: AtomicU32::new(0),
            left: Condvar::new(),
            caller_waits: AtomicBool::new(false),
            shutdown: AtomicBool::new(false),
            started: AtomicUsize::new(0),
        });
        let workers: Vec<_> = (1..threads)
            .map_while(|worker| {
                let shared = shared.clone();
                std::thread::Builder::new()
                    .name(format!("edgecut-{worker}"))
                    .spawn(move || shared.work(worker))
                    .ok()
            })
            .collect();
        // A thread allocates while it starts: wait, so that no loop later sees that.
        while shared.started.load(SeqCst) < workers.len() {
            std::thread::yield_now();
        }
        Pool { shared, workers, submit: Mutex::new(()) }
    }

    /// A pool with one thread per processor that this process may use.
    pub fn for_this_machine() -> Pool {
        Pool::new(std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// Threads that may run tasks at the same time, the caller included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `body(task)` once for every task in `0..tasks`, in any order, on any threads (usually
    /// thread t of n those from `tasks * t / n` on), and returns when all have ended. A panic in a task is passed on to the caller; tasks that had
    /// not started by then may be left out.
    pub fn for_each(&self, tasks: usize, body: &(dyn Fn(usize) + Sync)) {
        self.for_each_worker(tasks, &|_, task| body(task));
    }

    /// As [`Pool::for_each`], and tells the body which worker (`0..threads`) runs it: no two tasks
    /// of one loop run at the same time with the same worker index, so it can select scratch
    /// memory.
    pub fn for_each_worker(&self, tasks: usize, body: &(dyn Fn(usize, usize) + Sync)) {
        if self.workers.is_empty() || tasks <= 1 || IN_TASK.get() {
            (0..tasks).for_each(|task| body(0, task));
            return;
        }
        let _one_loop_at_a_time = lock(&self.submit);
        // SAFETY: only the lifetime changes. `run` returns after the last thread has left the loop
        // and clears the job, so nobody uses the reference longer than `body` is borrowed here.
        let body = unsafe { std::mem::transmute::<Body<'_>, Body<'static>>(body) };
        self.shared.run(Job { body, tasks });
    }

    /// Cuts `data` into chunks of `chunk_len` elements (the last may be shorter) and runs
    /// `body(index, chunk)` for each.
    ///
    /// # Panics
    /// If `chunk_len` is 0 and `data` is not empty.
    pub fn for_each_chunk_mut<T: Send>(
        &self,
        data: &mut [T],
        chunk_len: usize,
        body: impl Fn(usize, &mut [T]) + Sync,
    ) {
        if data.is_empty() {
            return;
        }
        let len = data.len();
        let parts = SharedMut::new(data);
        self.for_each(len.div_ceil(chunk_len), &|i| {
            let start = i * chunk_len;
            // SAFETY: task i alone uses the range of chunk i.
            body(i, unsafe { parts.range(start, chunk_len.min(len - start)) });
        });
    }

    /// As [`Pool::for_each_chunk_mut`] over two slices that are cut into the same number of
    /// chunks.
    ///
    /// # Panics
    /// If the slices do not give the same number of chunks.
    pub fn for_each_chunk2_mut<T: Send, U: Send>(
        &self,
        a: &mut [T],
        a_len: usize,
        b: &mut [U],
        b_len: usize,
        body: impl Fn(usize, &mut [T], &mut [U]) + Sync,
    ) {
        if a.is_empty() && b.is_empty() {
            return;
        }
        let (la, lb) = (a.len(), b.len());
        let tasks = la.div_ceil(a_len);
        assert_eq!(tasks, lb.div_ceil(b_len), "both slices need the same number of chunks");
        let (a, b) = (SharedMut::new(a), SharedMut::new(b));
        self.for_each(tasks, &|i| {
            let (sa, sb) = (i * a_len, i * b_len);
            // SAFETY: task i alone uses the ranges of chunk i.
            let (a, b) =
                unsafe { (a.range(sa, a_len.min(la - sa)), b.range(sb, b_len.min(lb - sb))) };
            body(i, a, b);
        });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        {
            let _guard = lock(&self.shared.sleep);
            self.shared.shutdown.store(true, SeqCst);
            self.shared.wake.notify_all();
        }
        for worker in self.workers.drain(..) {
            // Workers catch the panics of tasks, so joining cannot fail.
            let _ = worker.join();
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads()).finish()
    }
}

impl Shared {
    /// The caller's side of a loop.
    fn run(&self, job: Job) {
        for (worker, next) in self.next.iter().enumerate() {
            next.0.store(self.share(worker, job.tasks).start, Relaxed);
        }
        // SAFETY: the gate is shut and empty between loops, and `submit` admits one caller.
        unsafe { *self.job.get() = Some(job) };
        let epoch = (self.gate.0.load(SeqCst) >> 32).wrapping_add(1) & 0xffff_ffff;
        self.gate.0.store(epoch << 32 | OPEN, SeqCst);
        if self.sleepers.load(SeqCst) > 0 {
            let _guard = lock(&self.sleep);
            self.wake.notify_all();
        }
        self.take_tasks(0, job);
        self.gate.0.fetch_and(!OPEN, SeqCst);
        self.wait_until_empty();
        // SAFETY: the gate is shut and empty again.
        unsafe { *self.job.get() = None };
        let panic = lock(&self.panic).take();
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }

    fn wait_until_empty(&self) {
        let empty = || self.gate.0.load(SeqCst) & INSIDE == 0;
        if spin_until(empty) {
            return;
        }
        let mut guard = lock(&self.sleep);
        self.caller_waits.store(true, SeqCst);
        while !empty() {
            guard = self.left.wait(guard).unwrap_or_else(|e| e.into_inner());
        }
        self.caller_waits.store(false, SeqCst);
    }

    /// A worker's life: wait for a loop it has not seen, join it, leave it.
    fn work(&self, worker: usize) {
        self.started.fetch_add(1, SeqCst);
        let mut seen = 0;
        while let Some(epoch) = self.wait_for_loop(seen) {
            seen = epoch;
            if !self.enter(epoch) {
                continue;
            }
            // SAFETY: this thread is inside the gate, so the job is set and stays.
            if let Some(job) = unsafe { *self.job.get() } {
                self.take_tasks(worker, job);
            }
            let gate = self.gate.0.fetch_sub(1, SeqCst) - 1;
            if gate & (OPEN | INSIDE) == 0 && self.caller_waits.load(SeqCst) {
                let _guard = lock(&self.sleep);
                self.left.notify_all();
            }
        }
    }

    /// The epoch of an open loop other than `seen`; `None` at shutdown.
    fn wait_for_loop(&self, seen: u64) -> Option<u64> {
        let unseen = || {
            let gate = self.gate.0.load(SeqCst);
            gate & OPEN != 0 && gate >> 32 != seen
        };
        let ready = || unseen() || self.shutdown.load(SeqCst);
        if !spin_until(ready) {
            let mut guard = lock(&self.sleep);
            self.sleepers.fetch_add(1, SeqCst);
            while !ready() {
                guard = self.wake.wait(guard).unwrap_or_else(|e| e.into_inner());
            }
            self.sleepers.fetch_sub(1, SeqCst);
        }
        (!self.shutdown.load(SeqCst)).then(|| self.gate.0.load(SeqCst) >> 32)
    }

    /// Joins the loop `epoch` if it is still open.
    fn enter(&self, epoch: u64) -> bool {
        self.gate
            .0
            .fetch_update(SeqCst, SeqCst, |gate| {
                (gate >> 32 == epoch && gate & OPEN != 0).then_some(gate + 1)
            })
            .is_ok()
    }

    /// The tasks that `worker` takes first.
    fn share(&self, worker: usize, tasks: usize) -> Range<usize> {
        let share = |worker| {
            // No overflow, whatever the number of tasks.
            let (each, rest) = (tasks / self.next.len(), tasks % self.next.len());
            each * worker + rest * worker / self.next.len()
        };
        share(worker)..share(worker + 1)
    }

    fn take_tasks(&self, worker: usize, job: Job) {
        IN_TASK.set(true);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let shares = self.next.len();
            for share in (worker..shares).chain(0..worker) {
                let (next, end) = (&self.next[share].0, self.share(share, job.tasks).end);
                // Who looks first does not write to a line that its owner works with. What tasks
                // read and write is ordered by the gate.
                while next.load(Relaxed) < end {
                    let task = next.fetch_add(1, Relaxed);
                    if task >= end {
                        break;
                    }
                    (job.body)(worker, task);
                }
            }
        }));
        IN_TASK.set(false);
        if let Err(payload) = outcome {
            self.next.iter().for_each(|next| next.0.store(job.tasks, Relaxed));
            lock(&self.panic).get_or_insert(payload);
        }
    }
}

/// Polls `done` for [`SPIN`]; false if it did not come true.
fn spin_until(done: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    loop {
        for _ in 0..32 {
            if done() {
                return true;
            }
            std::hint::spin_loop();
        }
        if start.elapsed() > SPIN {
            return done();
        }
    }
}

/// Locks whether or not a panic passed through: no data under these locks can be half-written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

/// A mutable slice that the tasks of one loop write at disjoint places.
#[derive(Clone, Copy)]
pub(crate) struct SharedMut<'a, T> {
    data: *mut T,
    len: usize,
    life: PhantomData<&'a mut [T]>,
}

// SAFETY: access goes through `range`, whose contract demands disjoint ranges.
unsafe impl<T: Send> Send for SharedMut<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SharedMut<'_, T> {}

impl<'a, T> SharedMut<'a, T> {
    pub(crate) fn new(data: &'a mut [T]) -> Self {
        SharedMut { data: data.as_mut_ptr(), len: data.len(), life: PhantomData }
    }

    /// Where the slice begins.
    pub(crate) fn address(&self) -> *const T {
        self.data
    }

    /// Where element `start` is, for parts of the slice that are not contiguous.
    pub(crate) fn at(&self, start: usize) -> *mut T {
        assert!(start < self.len, "place outside of the slice");
        self.data.wrapping_add(start)
    }

    /// Number of elements.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The elements `start..start + len`.
    ///
    /// # Safety
    /// No two ranges that overlap may be alive at the same time.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn range(&self, start: usize, len: usize) -> &'a mut [T] {
        assert!(start <= self.len && len <= self.len - start, "range outside of the slice");
        // SAFETY: in bounds (checked), alive for 'a, disjoint by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(start), len) }
    }
}

#[cfg(test)]
mod tests;
