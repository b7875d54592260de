//! The plans of a model, by the shapes of its inputs.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::{Plan, Result, Session};

/// Shapes of all inputs, in order.
type Shapes = [Vec<usize>];

/// Plans in the order of their last use, the latest last.
pub(crate) struct Plans {
    entries: Mutex<Vec<Arc<Entry>>>,
    limit: usize,
}

/// One set of shapes.
pub(crate) struct Entry {
    shapes: Vec<Vec<usize>>,
    /// Locked while it is compiled, so that two callers never compile the same.
    plan: Mutex<Option<Arc<Plan>>>,
    /// A session that nobody uses at the moment.
    idle: Mutex<Option<Session>>,
}

impl Plans {
    pub fn new(limit: usize) -> Plans {
        Plans { entries: Mutex::default(), limit }
    }

    /// The entry for `shapes`, which becomes the latest; a new one may push out the oldest.
    pub fn entry(&self, shapes: &Shapes) -> Arc<Entry> {
        let mut entries = lock(&self.entries);
        let entry = match entries.iter().position(|e| e.shapes == shapes) {
            Some(index) => entries.remove(index),
            None => Arc::new(Entry {
                shapes: shapes.to_vec(),
                plan: Mutex::default(),
                idle: Mutex::default(),
            }),
        };
        if entries.len() >= self.limit {
            entries.remove(0);
        }
        entries.push(Arc::clone(&entry));
        entry
    }

    /// Number of plans that are kept.
    pub fn len(&self) -> usize {
        lock(&self.entries).iter().filter(|e| lock(&e.plan).is_some()).count()
    }
}

impl Entry {
    /// The plan, compiled by `make` if nobody has done so. A failure is not remembered.
    pub fn plan(&self, make: impl FnOnce() -> Result<Plan>) -> Result<Arc<Plan>> {
        let mut plan = lock(&self.plan);
        if let Some(plan) = &*plan {
            return Ok(Arc::clone(plan));
        }
        Ok(Arc::clone(plan.insert(Arc::new(make()?))))
    }

    /// The session that nobody uses, for the caller alone.
    pub fn take_idle(&self) -> Option<Session> {
        lock(&self.idle).take()
    }

    /// Keeps `session` for the next caller.
    pub fn give_back(&self, session: Session) {
        *lock(&self.idle) = Some(session);
    }
}

/// What a panicking thread held is as good as before: every change is one assignment.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}
