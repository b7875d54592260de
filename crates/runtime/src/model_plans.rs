//! The plans of a model, by the shapes of its inputs.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

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
    plan: OnceLock<Arc<Plan>>,
    /// Locked while the plan is compiled, so that two callers never compile the same.
    compiling: Mutex<()>,
    /// A session that nobody uses at the moment.
    idle: Mutex<Option<Session>>,
}

impl Plans {
    pub fn new(limit: usize) -> Plans {
        Plans { entries: Mutex::default(), limit }
    }

    /// The entry for `shapes`, which becomes the latest, with its plan; `make` compiles it if nobody
    /// has done so. One that cannot be compiled is forgotten, another pushes out the oldest.
    pub fn planned(
        &self,
        shapes: &Shapes,
        make: impl FnOnce() -> Result<Plan>,
    ) -> Result<(Arc<Entry>, Arc<Plan>)> {
        let entry = self.entry(shapes);
        let plan = entry.plan(make);
        let mut entries = lock(&self.entries);
        let is_ready = |e: &Arc<Entry>| e.plan.get().is_some();
        if plan.is_err() {
            entries.retain(|e| !Arc::ptr_eq(e, &entry));
        } else if entries.iter().filter(|e| is_ready(e)).count() > self.limit
            && let Some(oldest) = entries.iter().position(is_ready)
        {
            entries.remove(oldest);
        }
        Ok((entry, plan?))
    }

    fn entry(&self, shapes: &Shapes) -> Arc<Entry> {
        let mut entries = lock(&self.entries);
        let entry = match entries.iter().position(|e| e.shapes == shapes) {
            Some(index) => entries.remove(index),
            None => Arc::new(Entry {
                shapes: shapes.to_vec(),
                plan: OnceLock::new(),
                compiling: Mutex::default(),
                idle: Mutex::default(),
            }),
        };
        entries.push(Arc::clone(&entry));
        entry
    }

    /// Number of plans that are kept.
    pub fn len(&self) -> usize {
        lock(&self.entries).iter().filter(|e| e.plan.get().is_some()).count()
    }
}

impl Entry {
    fn plan(&self, make: impl FnOnce() -> Result<Plan>) -> Result<Arc<Plan>> {
        if self.plan.get().is_none() {
            let _alone = lock(&self.compiling);
            if self.plan.get().is_none() {
                let plan = Arc::new(make()?);
                return Ok(Arc::clone(self.plan.get_or_init(|| plan)));
            }
        }
        Ok(Arc::clone(self.plan.get().expect("it was there, or another caller made it")))
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
