//! Values that share a scale.

use edgecut_graph::ValueId;

/// Disjoint sets of values.
pub(crate) struct Groups {
    /// By value index: another value of the set; the root points to itself.
    parent: Vec<usize>,
}

impl Groups {
    /// Every one of `values` alone.
    pub fn new(values: usize) -> Groups {
        Groups { parent: (0..values).collect() }
    }

    /// The set that holds `id`, as the index of its earliest value.
    pub fn of(&self, id: ValueId) -> usize {
        let mut at = id.index();
        while self.parent[at] != at {
            at = self.parent[at];
        }
        at
    }

    /// Unites the sets of `a` and `b`. The earlier root stays one, so that roots do not depend on
    /// the order of joining.
    pub fn join(&mut self, a: ValueId, b: ValueId) {
        let (a, b) = (self.of(a), self.of(b));
        self.parent[a.max(b)] = a.min(b);
    }
}
