//! What can go wrong between edge and cloud, by cause.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollabError {
    /// A graph is not valid.
    #[error(transparent)]
    Graph(#[from] edgecut_graph::GraphError),
    /// Vertices and tensors that are no acyclic graph, or times that do not fit it.
    #[error("partition: {0}")]
    Problem(String),
}

/// A result with [`CollabError`].
pub type Result<T> = std::result::Result<T, CollabError>;
