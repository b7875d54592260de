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
    /// A file that is no trace of a link.
    #[error("{path}: {problem}", path = path.display())]
    Trace {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file that cannot be read.
    #[error("{path}: {problem}", path = path.display())]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// Why not.
        problem: String,
    },
    /// Tensors that a codec cannot be calibrated on or is not made for, or a file that is none.
    #[error("codec: {0}")]
    Codec(String),
    /// Samples, goals or certificates that nothing can be certified with.
    #[error("certify: {0}")]
    Certify(String),
    /// Bytes that came over the link and are no tensor of this codec.
    #[error("coded tensor: {0}")]
    Coded(String),
}

/// A result with [`CollabError`].
pub type Result<T> = std::result::Result<T, CollabError>;
