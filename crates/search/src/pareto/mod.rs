//! Sets of results with several costs, all of them smaller is better.

mod bounds;
mod crowding;
mod hypervolume;
mod sort;

pub use bounds::Bounds;
pub use crowding::crowding;
pub use hypervolume::{contributions, hypervolume, subset};
pub use sort::{Standing, constrained_sort, front, non_dominated_sort};

/// Whether `a` is nowhere worse than `b` and somewhere better (Pareto dominance).
pub fn dominates(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(x, y)| x <= y) && a.iter().zip(b).any(|(x, y)| x < y)
}

#[cfg(test)]
mod tests;
