//! What can go wrong on the device, by cause.

use std::path::{Path, PathBuf};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EdgeError {
    /// A file or folder that cannot be used.
    #[error("{path}: {problem}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// A request that cannot be computed, whatever the plan.
    #[error("{0}")]
    Request(String),
    /// Too many requests are under way.
    #[error("too many requests are under way: ask again later")]
    Busy,
    /// A server's address, certificate or token that cannot be used.
    #[error("{url}: {problem}")]
    Server {
        /// The server.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Cutting a model or coding what crosses failed.
    #[error(transparent)]
    Collab(#[from] edgecut_collab::CollabError),
    /// A graph is not valid.
    #[error(transparent)]
    Graph(#[from] edgecut_graph::GraphError),
    /// The runtime failed.
    #[error(transparent)]
    Runtime(#[from] edgecut_runtime::RuntimeError),
}

impl EdgeError {
    pub(crate) fn file(path: &Path, problem: impl ToString) -> EdgeError {
        EdgeError::File { path: path.into(), problem: problem.to_string() }
    }
}

/// A result with [`EdgeError`].
pub type Result<T> = std::result::Result<T, EdgeError>;
