//! Predictors of costs from few results: cheap enough to be trained again after every batch.

mod boost;
mod cholesky;
mod gaussian;
mod table;
mod tree;

pub use boost::{Boosted, Boosting};
pub use gaussian::{Gaussian, Normal};
pub use table::{Binning, Row};
pub use tree::Growth;

#[cfg(test)]
mod tests;
