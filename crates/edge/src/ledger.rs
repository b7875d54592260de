//! Which requests are under way and which were answered: the same id again gets the same answer.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Longest id, in bytes.
pub const MAX_ID: usize = 256;

/// What becomes of a request that comes in.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission<A> {
    /// It is new: somebody must answer it.
    New,
    /// The same id is under way; its waiter gets that answer.
    Joined,
    /// The same id was answered.
    Known(Arc<A>),
    /// Too many are under way.
    Full,
    /// The id is empty or too long.
    BadId,
}

enum Entry<A, W> {
    Open(Vec<W>),
    Answered(Arc<A>),
}

/// Requests by id: at most so many under way, and so many answers, the oldest of which are forgotten.
pub struct Ledger<A, W> {
    entries: HashMap<Arc<str>, Entry<A, W>>,
    answered: VecDeque<Arc<str>>,
    open: usize,
    most_open: usize,
    most_answered: usize,
}

impl<A, W> Ledger<A, W> {
    /// With room for so many requests under way and so many answers. As many wait for one id at most as
    /// may be under way.
    pub fn new(most_open: usize, most_answered: usize) -> Ledger<A, W> {
        Ledger {
            entries: HashMap::new(),
            answered: VecDeque::new(),
            open: 0,
            most_open,
            most_answered,
        }
    }

    /// Request `id` comes in, and `waiter` wants its answer.
    pub fn admit(&mut self, id: &str, waiter: W) -> Admission<A> {
        if id.is_empty() || id.len() > MAX_ID {
            return Admission::BadId;
        }
        match self.entries.get_mut(id) {
            Some(Entry::Answered(answer)) => Admission::Known(Arc::clone(answer)),
            Some(Entry::Open(waiters)) if waiters.len() < self.most_open => {
                waiters.push(waiter);
                Admission::Joined
            }
            Some(Entry::Open(_)) => Admission::Full,
            None if self.open >= self.most_open => Admission::Full,
            None => {
                self.open += 1;
                self.entries.insert(id.into(), Entry::Open(vec![waiter]));
                Admission::New
            }
        }
    }

    /// Answers `id`: whoever waits, with the answer. None where it is not under way, because it was
    /// answered before.
    pub fn answer(&mut self, id: &str, answer: A) -> Option<(Vec<W>, Arc<A>)> {
        let entry = self.entries.get_mut(id)?;
        let Entry::Open(waiters) = entry else { return None };
        let waiters = std::mem::take(waiters);
        let answer = Arc::new(answer);
        *entry = Entry::Answered(Arc::clone(&answer));
        self.open -= 1;
        self.answered.push_back(id.into());
        while self.answered.len() > self.most_answered {
            self.answered.pop_front().map(|oldest| self.entries.remove(&oldest));
        }
        Some((waiters, answer))
    }

    /// Requests under way.
    pub fn open(&self) -> usize {
        self.open
    }

    /// Answers that are remembered.
    pub fn remembered(&self) -> usize {
        self.answered.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_id_gets_the_same_answer() {
        let mut ledger: Ledger<u32, char> = Ledger::new(2, 3);
        assert_eq!(ledger.admit("a", 'x'), Admission::New);
        assert_eq!(ledger.admit("a", 'y'), Admission::Joined);
        assert_eq!(ledger.admit("b", 'z'), Admission::New);
        assert_eq!(ledger.admit("c", 'z'), Admission::Full);
        assert_eq!(ledger.answer("a", 7), Some((vec!['x', 'y'], Arc::new(7))));
        assert_eq!(ledger.answer("a", 8), None, "once");
        assert_eq!(ledger.admit("a", 'w'), Admission::Known(Arc::new(7)));
        assert_eq!(ledger.answer("d", 8), None, "never asked");
        assert_eq!(ledger.admit("", 'w'), Admission::BadId);
        assert_eq!(ledger.admit(&"i".repeat(MAX_ID + 1), 'w'), Admission::BadId);
    }

    #[test]
    fn memory_is_bounded() {
        let mut ledger: Ledger<usize, ()> = Ledger::new(10, 100);
        for index in 0..10_000 {
            assert_eq!(ledger.admit(&index.to_string(), ()), Admission::New);
            ledger.answer(&index.to_string(), index);
        }
        assert_eq!((ledger.open(), ledger.remembered(), ledger.entries.len()), (0, 100, 100));
        assert_eq!(ledger.admit("9999", ()), Admission::Known(Arc::new(9999)));
        assert_eq!(ledger.admit("1", ()), Admission::New);
    }
}
