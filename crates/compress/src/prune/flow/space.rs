//! Indices of all dimensions, and which of them live and die together.

use edgecut_graph::{Graph, GraphError, Result, ValueId};

/// Most indices of all dimensions of all values: real networks have some hundred thousand. It bounds
/// what a model that declares huge extents can ask for, at about 40 bytes an index.
const MAX_INDICES: usize = 1 << 25;

/// One dimension of a value, or one that only an operator knows, such as the groups of a
/// convolution: a range of indices in the [`Space`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Axis {
    first: u32,
    len: u32,
}

impl Axis {
    /// Number of indices.
    pub fn len(self) -> usize {
        self.len as usize
    }

    /// Index `i`, counted over the whole space.
    pub fn at(self, i: usize) -> u32 {
        debug_assert!(i < self.len());
        self.first + i as u32
    }

    /// All indices, in order.
    pub fn indices(self) -> std::ops::Range<u32> {
        self.first..self.first + self.len
    }
}

/// Why an index cannot be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pin {
    /// Node that says so; none for the graph's own inputs and outputs.
    pub node: Option<usize>,
    /// What it does with the dimension, for a person: "sums to 1 over it".
    pub why: &'static str,
}

/// Every index of every dimension, in classes of those that can only be removed together
/// (union-find), and the classes that cannot be removed at all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Space {
    /// By value, by dimension; symbols count as 1.
    axes: Vec<Vec<Axis>>,
    parent: Vec<u32>,
    /// By root: 1 + place in `reasons`, 0 where it is free.
    pinned: Vec<u32>,
    /// By root: whether removal changes what others compute even where the index holds zeros.
    coupled_by_mean: Vec<bool>,
    reasons: Vec<Pin>,
}

/// What a dimension of one index is pinned for.
const ALONE: &str = "is the only one of its dimension";

impl Space {
    /// Every index of every value of `graph` in a class of its own.
    ///
    /// # Errors
    /// Where there are more than [`MAX_INDICES`].
    pub fn new(graph: &Graph) -> Result<Space> {
        let extents = graph.values().iter().flat_map(|value| value.shape.with_symbols(1));
        let count = extents.fold(0usize, usize::saturating_add);
        if count > MAX_INDICES {
            return Err(GraphError::Limit {
                place: graph.name.clone(),
                what: "number of indices of all dimensions to be followed",
                value: count as u64,
                limit: MAX_INDICES as u64,
            });
        }
        let mut space = Space::default();
        for value in graph.values() {
            let axes = value.shape.with_symbols(1).iter().map(|&len| space.axis(len)).collect();
            space.axes.push(axes);
        }
        Ok(space)
    }

    /// A new dimension that belongs to no value.
    pub fn axis(&mut self, len: usize) -> Axis {
        let first = self.parent.len() as u32;
        let axis = Axis { first, len: len as u32 };
        self.parent.extend(axis.indices());
        self.pinned.resize(self.parent.len(), 0);
        self.coupled_by_mean.resize(self.parent.len(), false);
        if len == 1 {
            self.pin(first, &Pin { node: None, why: ALONE });
        }
        axis
    }

    /// Dimensions of a value.
    pub fn of(&self, value: ValueId) -> &[Axis] {
        &self.axes[value.index()]
    }

    /// Number of indices.
    pub fn len(&self) -> usize {
        self.parent.len()
    }

    /// The class that `index` is in: one of its indices.
    pub fn class(&self, mut index: u32) -> u32 {
        while self.parent[index as usize] != index {
            index = self.parent[index as usize];
        }
        index
    }

    /// The class of `index`, with shorter ways to it from now on.
    fn root(&mut self, index: u32) -> u32 {
        let root = self.class(index);
        let mut at = index;
        while at != root {
            at = std::mem::replace(&mut self.parent[at as usize], root);
        }
        root
    }

    /// Shortens the way from every index to its class to one step.
    pub fn flatten(&mut self) {
        for index in 0..self.parent.len() {
            // Parents are smaller, so that theirs are final.
            self.parent[index] = self.parent[self.parent[index] as usize];
        }
    }

    /// Makes two indices live and die together. Returns whether they did not before.
    pub fn join(&mut self, a: u32, b: u32) -> bool {
        let (a, b) = (self.root(a), self.root(b));
        if a == b {
            return false;
        }
        // The smaller number stays the root, so that classes do not depend on the order of unions.
        let (root, child) = (a.min(b), a.max(b));
        self.parent[child as usize] = root;
        if self.pinned[root as usize] == 0 {
            self.pinned[root as usize] = self.pinned[child as usize];
        }
        self.coupled_by_mean[root as usize] |= self.coupled_by_mean[child as usize];
        true
    }

    /// Forbids the removal of `index`. Returns whether it was allowed before.
    pub fn pin(&mut self, index: u32, pin: &Pin) -> bool {
        let root = self.root(index);
        if self.pinned[root as usize] != 0 {
            return false;
        }
        let at = match self.reasons.iter().rposition(|reason| reason == pin) {
            Some(at) => at,
            None => {
                self.reasons.push(pin.clone());
                self.reasons.len() - 1
            }
        };
        self.pinned[root as usize] = at as u32 + 1;
        true
    }

    /// Why `index` cannot be removed, where it cannot.
    pub fn pinned(&self, index: u32) -> Option<&Pin> {
        match self.pinned[self.class(index) as usize] {
            0 => None,
            at => Some(&self.reasons[at as usize - 1]),
        }
    }

    /// Notes that a mean is taken over `index` and others, so that its removal changes them even
    /// where it holds zeros.
    pub fn mark_mean(&mut self, index: u32) {
        let root = self.root(index);
        self.coupled_by_mean[root as usize] = true;
    }

    /// Whether a mean is taken over the class of `index`.
    pub fn in_a_mean(&self, index: u32) -> bool {
        self.coupled_by_mean[self.class(index) as usize]
    }
}
