//! What can go wrong in a search.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// A graph could not be built, changed or run.
    #[error(transparent)]
    Graph(#[from] edgecut_graph::GraphError),
    /// A network cannot be trained, or its pictures cannot be read.
    #[error(transparent)]
    Train(#[from] edgecut_train::TrainError),
    /// A genome, setting or objective that does not fit; says what to do.
    #[error("{0}")]
    Input(String),
    /// Networks that cannot share a weight.
    #[error("weight '{name}' {problem}")]
    Weight {
        /// Name of the constant.
        name: String,
        /// What is in the way.
        problem: String,
    },
}

impl SearchError {
    pub(crate) fn weight(name: &str, problem: impl Into<String>) -> SearchError {
        SearchError::Weight { name: name.into(), problem: problem.into() }
    }
}

/// A result with [`SearchError`].
pub type Result<T> = std::result::Result<T, SearchError>;
