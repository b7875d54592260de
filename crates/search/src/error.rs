//! What can go wrong in a search.

use std::path::{Path, PathBuf};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// A graph could not be built, changed or run.
    #[error(transparent)]
    Graph(#[from] edgecut_graph::GraphError),
    /// A network cannot be built.
    #[error(transparent)]
    Zoo(#[from] edgecut_zoo::ZooError),
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
    /// A space that makes no sense; names the gene.
    #[error("gene `{gene}`: {problem}")]
    Gene {
        /// Its name.
        gene: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A journal that cannot be gone on with.
    #[error("{}: {problem}", path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// What is wrong, the record where there is one, and what to do.
        problem: String,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What is on a server cannot be used, or the server does not answer.
    #[error("{place}: {problem}")]
    Server {
        /// The server without passwords, and what is there.
        place: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A proxy cannot judge a network.
    #[error("{proxy} cannot score '{model}': {problem}")]
    Proxy {
        /// The proxy.
        proxy: &'static str,
        /// Name of the graph.
        model: String,
        /// What is in the way.
        problem: String,
    },
}

impl SearchError {
    pub(crate) fn weight(name: &str, problem: impl Into<String>) -> SearchError {
        SearchError::Weight { name: name.into(), problem: problem.into() }
    }

    pub(crate) fn gene(name: &str, problem: impl Into<String>) -> SearchError {
        SearchError::Gene { gene: name.into(), problem: problem.into() }
    }

    pub(crate) fn journal(path: &Path, problem: impl Into<String>) -> SearchError {
        SearchError::Journal { path: path.into(), problem: problem.into() }
    }

    pub(crate) fn io(path: &Path, source: std::io::Error) -> SearchError {
        SearchError::Io { path: path.into(), source }
    }
}

/// A result with [`SearchError`].
pub type Result<T> = std::result::Result<T, SearchError>;
