//! Bodies on their way: what a server has let in and not seen yet.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A body that takes longer comes over a slow link, or never: it is no work of this moment, and
/// clients that send heads alone cannot keep others out.
const SOON: Duration = Duration::from_secs(1);

/// The bodies on their way, by when their heads came.
#[derive(Debug, Default)]
pub(super) struct Coming(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    heads: BTreeSet<(Instant, u64)>,
    sequence: u64,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Body {
    of: Arc<Coming>,
    head: (Instant, u64),
}

impl Coming {
    /// One more, and how many others will soon be here.
    pub fn add(self: &Arc<Coming>, now: Instant) -> (Body, usize) {
        let mut state = self.lock();
        let since = now.checked_sub(SOON).map_or((now, 0), |since| (since, u64::MAX));
        let others = state.heads.range(since..).count();
        let head = (now, state.sequence);
        state.sequence += 1;
        state.heads.insert(head);
        drop(state);
        (Body { of: Arc::clone(self), head }, others)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.of.lock().heads.remove(&self.head);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_count_until_they_are_here_and_not_for_ever() {
        let (coming, now) = (Arc::new(Coming::default()), Instant::now());
        let (first, others) = coming.add(now);
        assert_eq!(others, 0);
        let (second, others) = coming.add(now);
        assert_eq!(others, 1);
        drop(first);
        let (third, others) = coming.add(now + SOON / 2);
        assert_eq!(others, 1);
        assert_eq!(coming.add(now + SOON + SOON / 4).1, 1);
        drop((second, third));
        assert_eq!(coming.add(now).1, 0);
    }
}
