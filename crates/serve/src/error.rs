//! What keeps a server from starting, or a model from being served.

use std::path::{Path, PathBuf};

/// An error of this crate. What is wrong with a request is a [`crate::front::Refusal`] instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// An address that cannot be listened on.
    #[error("{address}: cannot listen: {problem}")]
    Listen {
        /// The address.
        address: String,
        /// Why not.
        problem: String,
    },
    /// A file or folder that cannot be used.
    #[error("{path}: {problem}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The system has no thread for us.
    #[error("no threads: {0}")]
    Threads(std::io::Error),
}

impl ServeError {
    pub(crate) fn listen(address: &str, error: &std::io::Error) -> ServeError {
        ServeError::Listen { address: address.into(), problem: error.to_string() }
    }

    pub(crate) fn file(path: &Path, problem: impl ToString) -> ServeError {
        ServeError::File { path: path.to_path_buf(), problem: problem.to_string() }
    }
}

/// A result with [`ServeError`].
pub type Result<T> = std::result::Result<T, ServeError>;

/// The text of a file of at most `limit` bytes.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String> {
    let size = std::fs::metadata(path).map_err(|e| ServeError::file(path, e))?.len();
    if size > limit {
        return Err(ServeError::file(path, format!("{size} bytes, at most {limit} are read")));
    }
    std::fs::read_to_string(path).map_err(|e| ServeError::file(path, e))
}
