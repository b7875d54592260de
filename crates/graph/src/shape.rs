//! Shapes of values: fixed extents, and symbols for those known only when the graph runs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::tensor::checked_len;
use crate::{GraphError, Result};

/// One extent of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// Known when the graph is built.
    Fixed(usize),
    /// Known when it runs, such as the batch; equal names mean equal extents.
    Symbol(Arc<str>),
}

impl Dim {
    /// The extent, where it is known.
    pub fn fixed(&self) -> Option<usize> {
        match self {
            Dim::Fixed(n) => Some(*n),
            Dim::Symbol(_) => None,
        }
    }
}

impl From<usize> for Dim {
    fn from(n: usize) -> Dim {
        Dim::Fixed(n)
    }
}

impl From<&str> for Dim {
    fn from(name: &str) -> Dim {
        Dim::Symbol(name.into())
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Fixed(n) => n.fmt(f),
            Dim::Symbol(name) => name.fmt(f),
        }
    }
}

/// Extents of a value, outermost first.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Shape(Vec<Dim>);

impl Shape {
    /// A shape of these extents.
    pub fn new(dims: Vec<Dim>) -> Shape {
        Shape(dims)
    }

    /// A shape of fixed extents.
    pub fn fixed(dims: &[usize]) -> Shape {
        Shape(dims.iter().map(|&d| d.into()).collect())
    }

    /// The extents.
    pub fn dims(&self) -> &[Dim] {
        &self.0
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// All extents, or `None` where one is a symbol.
    pub fn to_fixed(&self) -> Option<Vec<usize>> {
        self.0.iter().map(Dim::fixed).collect()
    }

    /// All extents with every symbol replaced by `value`, such as the batch size.
    pub fn with_symbols(&self, value: usize) -> Vec<usize> {
        self.0.iter().map(|d| d.fixed().unwrap_or(value)).collect()
    }

    /// Whether a value of this shape may have these extents, where the symbols in `known` have
    /// their numbers. Symbols met for the first time get theirs.
    pub fn admits<'a>(&'a self, extents: &[usize], known: &mut BTreeMap<&'a str, usize>) -> bool {
        self.0.len() == extents.len()
            && self.0.iter().zip(extents).all(|(dim, &extent)| match dim {
                Dim::Fixed(n) => *n == extent,
                Dim::Symbol(symbol) => *known.entry(symbol).or_insert(extent) == extent,
            })
    }

    /// Number of elements with every symbol replaced by `value`; fails beyond the limits.
    pub fn len_with(&self, value: usize, place: &str) -> Result<usize> {
        checked_len(&self.with_symbols(value), place)
    }

    /// The extent at `axis`, which must be fixed; errors name `place`.
    pub fn extent(&self, axis: usize, place: &str) -> Result<usize> {
        self.0.get(axis).and_then(Dim::fixed).ok_or_else(|| GraphError::Shape {
            place: place.into(),
            problem: format!("dimension {axis} of {self} must have a fixed size"),
        })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<String> = self.0.iter().map(Dim::to_string).collect();
        write!(f, "[{}]", dims.join(", "))
    }
}
