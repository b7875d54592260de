//! Requests that wait, without threads and with a clock that is handed in.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Priorities: 0 is served first.
pub const PRIORITIES: usize = 8;

/// How many may wait for a model, and how they are put together.
#[derive(Clone, Copy, Debug)]
pub struct LaneLimits {
    /// Most requests that wait.
    pub requests: usize,
    /// Most rows of a batch; a request with more is one by itself.
    pub rows: usize,
    /// Longest wait for a batch to fill.
    pub delay: Duration,
}

/// A request that waits.
#[derive(Debug)]
pub struct Entry<T> {
    /// Below [`PRIORITIES`].
    pub priority: usize,
    /// When it came.
    pub arrived: Instant,
    /// When it must have begun, if it must.
    pub start_by: Option<Instant>,
    /// Its rows.
    pub rows: usize,
    /// How long it will take.
    pub cost: Duration,
    /// The request.
    pub payload: T,
}

/// Why a request may not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// As many wait as may; the time until there is room again.
    Full(Duration),
    /// It could not begin in time: so long it would have to wait.
    Hopeless(Duration),
}

/// What a worker should do.
#[derive(Debug)]
pub enum Next<T> {
    /// Run these together.
    Batch(Vec<Entry<T>>),
    /// Look again at this time, or when a request comes.
    Wait(Instant),
    /// Look again when a request comes.
    Empty,
}

/// The lanes of all models, by a number for each model.
pub struct Queue<T> {
    lanes: BTreeMap<u64, Lane<T>>,
    sequence: u64,
    /// Time that waiting requests will take, by priority.
    backlog: [Duration; PRIORITIES],
    /// For each worker, until when it is expected to be busy.
    busy: Vec<Option<Instant>>,
}

/// Priority, then who came first.
type Key = (usize, u64);

struct Lane<T> {
    limits: LaneLimits,
    waiting: BTreeMap<Key, Entry<T>>,
    rows: usize,
}

impl<T> Queue<T> {
    /// An empty queue for a number of workers.
    pub fn new(workers: usize) -> Queue<T> {
        Queue {
            lanes: BTreeMap::new(),
            sequence: 0,
            backlog: [Duration::ZERO; PRIORITIES],
            busy: vec![None; workers.max(1)],
        }
    }

    /// Takes a request in.
    ///
    /// # Errors
    /// With the request, where it may not wait.
    pub fn push(
        &mut self,
        now: Instant,
        model: u64,
        limits: LaneLimits,
        entry: Entry<T>,
        alive: impl Fn(&T) -> bool,
    ) -> Result<(), (Refused, Entry<T>)> {
        let wait = self.wait(now, entry.priority, Duration::ZERO);
        if entry.start_by.is_some_and(|limit| now + wait > limit) {
            return Err((Refused::Hopeless(wait), entry));
        }
        if self.depth(model) >= limits.requests {
            self.forget(now, model, alive);
        }
        if self.depth(model) >= limits.requests {
            return Err((Refused::Full(self.wait(now, PRIORITIES - 1, Duration::ZERO)), entry));
        }
        let lane = Lane { limits, waiting: BTreeMap::new(), rows: 0 };
        let lane = self.lanes.entry(model).or_insert(lane);
        lane.limits = limits;
        lane.rows += entry.rows;
        self.backlog[entry.priority] += entry.cost;
        lane.waiting.insert((entry.priority, self.sequence), entry);
        self.sequence += 1;
        Ok(())
    }

    /// How long a request of this priority would wait if it came now, behind others that are not
    /// here yet and will take `coming`.
    pub fn wait(&self, now: Instant, priority: usize, coming: Duration) -> Duration {
        let waiting: Duration = self.backlog[..=priority.min(PRIORITIES - 1)].iter().sum();
        let ahead = waiting + coming;
        if ahead.is_zero() && self.busy.iter().any(Option::is_none) {
            return Duration::ZERO;
        }
        let running = self.busy.iter().flatten().map(|end| end.saturating_duration_since(now));
        if ahead.is_zero() {
            return running.min().unwrap_or_default();
        }
        (ahead + running.sum::<Duration>()) / self.busy.len() as u32
    }

    /// Requests that wait for a model.
    pub fn depth(&self, model: u64) -> usize {
        self.lanes.get(&model).map_or(0, |lane| lane.waiting.len())
    }

    /// What a worker should do now. Requests that are not `alive` or are late are dropped on the
    /// way.
    pub fn next(&mut self, now: Instant, alive: impl Fn(&T) -> bool) -> Next<T> {
        loop {
            let mut best: Option<(Key, u64)> = None;
            let mut soonest: Option<Instant> = None;
            for (&model, lane) in &self.lanes {
                let Some((&key, head)) = lane.waiting.first_key_value() else { continue };
                let ripe = head.arrived + lane.limits.delay;
                let in_vain = !alive(&head.payload) || head.start_by.is_some_and(|t| t < now);
                if lane.rows >= lane.limits.rows || ripe <= now || in_vain {
                    if best.is_none_or(|(first, _)| key < first) {
                        best = Some((key, model));
                    }
                } else if soonest.is_none_or(|time| ripe < time) {
                    soonest = Some(ripe);
                }
            }
            let Some((_, model)) = best else {
                return soonest.map_or(Next::Empty, Next::Wait);
            };
            let batch = self.take(now, model, &alive);
            if !batch.is_empty() {
                return Next::Batch(batch);
            }
        }
    }

    /// A worker begins with work that will take so long, or has ended.
    pub fn occupy(&mut self, worker: usize, until: Option<Instant>) {
        self.busy[worker] = until;
    }

    /// Everything that waits, where the server stops.
    pub fn clear(&mut self) -> Vec<Entry<T>> {
        self.backlog = [Duration::ZERO; PRIORITIES];
        let lanes = std::mem::take(&mut self.lanes);
        lanes.into_values().flat_map(|lane| lane.waiting.into_values()).collect()
    }

    /// The first requests of a lane, as many as fit a batch.
    fn take(&mut self, now: Instant, model: u64, alive: impl Fn(&T) -> bool) -> Vec<Entry<T>> {
        let (mut batch, mut rows) = (Vec::new(), 0);
        let Some(lane) = self.lanes.get_mut(&model) else { return batch };
        while let Some(head) = lane.waiting.first_entry() {
            let entry = head.get();
            let in_vain = !alive(&entry.payload) || entry.start_by.is_some_and(|t| t < now);
            if !in_vain && rows > 0 && rows + entry.rows > lane.limits.rows {
                break;
            }
            let entry = head.remove();
            lane.rows -= entry.rows;
            let left = self.backlog[entry.priority].saturating_sub(entry.cost);
            self.backlog[entry.priority] = left;
            if !in_vain {
                rows += entry.rows;
                batch.push(entry);
            }
        }
        if lane.waiting.is_empty() {
            self.lanes.remove(&model);
        }
        batch
    }

    /// Drops what is in vain.
    fn forget(&mut self, now: Instant, model: u64, alive: impl Fn(&T) -> bool) {
        let Some(lane) = self.lanes.get_mut(&model) else { return };
        let (backlog, rows) = (&mut self.backlog, &mut lane.rows);
        lane.waiting.retain(|_, entry| {
            let keep = alive(&entry.payload) && entry.start_by.is_none_or(|t| t >= now);
            if !keep {
                backlog[entry.priority] = backlog[entry.priority].saturating_sub(entry.cost);
                *rows -= entry.rows;
            }
            keep
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const LIMITS: LaneLimits = LaneLimits { requests: 4, rows: 3, delay: Duration::ZERO };

    fn entry(arrived: Instant, priority: usize, payload: u32) -> Entry<u32> {
        Entry { priority, arrived, start_by: None, rows: 1, cost: 10 * MS, payload }
    }

    fn batch(queue: &mut Queue<u32>, now: Instant) -> Vec<u32> {
        match queue.next(now, |_| true) {
            Next::Batch(batch) => batch.into_iter().map(|entry| entry.payload).collect(),
            _ => vec![],
        }
    }

    #[test]
    fn batches_are_full_and_in_order_of_priority() {
        let (mut queue, now) = (Queue::new(1), Instant::now());
        for (priority, payload) in [(4, 1), (4, 2), (1, 3), (4, 4)] {
            queue.push(now, 0, LIMITS, entry(now, priority, payload), |_| true).unwrap();
        }
        let full = queue.push(now, 0, LIMITS, entry(now, 0, 5), |_| true);
        assert_eq!(full.unwrap_err().0, Refused::Full(40 * MS));
        assert_eq!(batch(&mut queue, now), [3, 1, 2]);
        assert_eq!(batch(&mut queue, now), [4]);
        assert!(matches!(queue.next(now, |_| true), Next::Empty));
    }

    #[test]
    fn a_request_that_is_larger_than_a_batch_is_one_by_itself() {
        let (mut queue, now) = (Queue::new(1), Instant::now());
        for (rows, payload) in [(5, 1), (1, 2), (2, 3), (1, 4)] {
            let entry = Entry { rows, ..entry(now, 0, payload) };
            queue.push(now, 0, LIMITS, entry, |_| true).unwrap();
        }
        assert_eq!(batch(&mut queue, now), [1]);
        assert_eq!(batch(&mut queue, now), [2, 3]);
        assert_eq!(batch(&mut queue, now), [4]);
    }

    #[test]
    fn a_batch_waits_for_more_only_so_long() {
        let (mut queue, now) = (Queue::new(1), Instant::now());
        let limits = LaneLimits { delay: 5 * MS, ..LIMITS };
        queue.push(now, 0, limits, entry(now, 0, 1), |_| true).unwrap();
        assert!(matches!(queue.next(now, |_| true), Next::Wait(t) if t == now + 5 * MS));
        assert_eq!(batch(&mut queue, now + 5 * MS), [1]);
        for payload in 0..3 {
            queue.push(now, 0, limits, entry(now, 0, payload), |_| true).unwrap();
        }
        assert_eq!(batch(&mut queue, now), [0, 1, 2]);
    }

    #[test]
    fn models_take_turns_by_who_came_first() {
        let (mut queue, now) = (Queue::new(1), Instant::now());
        for (model, payload) in [(7, 1), (3, 2), (7, 3)] {
            queue.push(now, model, LIMITS, entry(now, 0, payload), |_| true).unwrap();
        }
        assert_eq!(batch(&mut queue, now), [1, 3]);
        assert_eq!(batch(&mut queue, now), [2]);
    }

    #[test]
    fn what_is_in_vain_never_begins_and_makes_room() {
        let (mut queue, now) = (Queue::new(1), Instant::now());
        let late = Entry { start_by: Some(now + MS), ..entry(now, 0, 1) };
        queue.push(now, 0, LIMITS, late, |_| true).unwrap();
        for payload in 2..5 {
            queue.push(now, 0, LIMITS, entry(now, 0, payload), |_| true).unwrap();
        }
        let later = now + 2 * MS;
        queue.push(later, 0, LIMITS, entry(later, 0, 5), |_| true).unwrap();
        let alive = |payload: &u32| *payload != 3;
        let Next::Batch(batch) = queue.next(later, alive) else { panic!("no batch") };
        assert_eq!(batch.iter().map(|e| e.payload).collect::<Vec<_>>(), [2, 4, 5]);
        assert_eq!((queue.depth(0), queue.wait(later, 7, Duration::ZERO)), (0, Duration::ZERO));
    }

    #[test]
    fn who_cannot_begin_in_time_is_refused_at_once() {
        let (mut queue, now) = (Queue::new(2), Instant::now());
        let in_time =
            |ms: u32, payload| Entry { start_by: Some(now + ms * MS), ..entry(now, 4, payload) };
        queue.push(now, 0, LIMITS, in_time(0, 1), |_| true).unwrap();
        queue.push(now, 0, LIMITS, entry(now, 4, 2), |_| true).unwrap();
        assert_eq!(batch(&mut queue, now), [1, 2]);
        queue.occupy(0, Some(now + 20 * MS));
        assert_eq!(queue.wait(now, 4, Duration::ZERO), Duration::ZERO);
        queue.occupy(1, Some(now + 30 * MS));
        assert_eq!(queue.wait(now, 4, Duration::ZERO), 20 * MS);
        let refused = queue.push(now, 0, LIMITS, in_time(19, 3), |_| true).unwrap_err().0;
        assert_eq!(refused, Refused::Hopeless(20 * MS));
        queue.push(now, 0, LIMITS, in_time(20, 4), |_| true).unwrap();
        // Two workers share what is running and what waits; the first priority is not behind it.
        assert_eq!(
            (queue.wait(now, 4, Duration::ZERO), queue.wait(now, 0, Duration::ZERO)),
            (30 * MS, 20 * MS)
        );
        queue.occupy(0, None);
        assert_eq!(queue.wait(now, 0, Duration::ZERO), Duration::ZERO);
        assert_eq!(queue.clear().len(), 1);
        assert_eq!(queue.wait(now, 4, Duration::ZERO), Duration::ZERO);
    }
}
