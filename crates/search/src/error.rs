//! What can go wrong in a search.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// A graph could not be built, changed or run.
    #[error(transparent)]
    Graph(#[from] edgecut_graph::GraphError),
}

/// A result with [`SearchError`].
pub type Result<T> = std::result::Result<T, SearchError>;
