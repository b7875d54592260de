//! What can go wrong with data, said so that the reader knows which file to look at and what to do.

use std::path::{Path, PathBuf};

/// A failure while finding, reading, checking or preparing data.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The operating system refused a file or folder.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file exists but does not hold what its kind promises.
    #[error("{}: {problem}", path.display())]
    Format {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong and, where there is a remedy, what to do.
        problem: String,
    },
    /// Nothing was found under a name or path.
    #[error("{what} not found: {hint}")]
    Missing {
        /// The name or path asked for.
        what: String,
        /// Where it was looked for and how to get it.
        hint: String,
    },
    /// An option, a split or a preprocessing description contradicts itself or the data.
    #[error("{field}: {problem}")]
    Invalid {
        /// The field at fault, as it is spelled in a recipe.
        field: String,
        /// What is wrong and what is allowed.
        problem: String,
    },
    /// The content of a file is not the published one.
    #[error(
        "{}: SHA-256 of the content is {found}, expected {expected}; delete the file and fetch it again",
        path.display()
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The published hash, hexadecimal.
        expected: String,
        /// The hash of what is there, hexadecimal.
        found: String,
    },
    /// A download failed; nothing was written under the final name.
    #[error("cannot fetch {url}: {problem}")]
    Fetch {
        /// The address.
        url: String,
        /// The reason.
        problem: String,
    },
    /// More samples than allowed cannot be read.
    #[error("{count} pictures cannot be read, {limit} may be skipped; the last: {last}")]
    Unreadable {
        /// How many could not be read.
        count: usize,
        /// How many were allowed.
        limit: usize,
        /// What is wrong with the last one.
        last: Box<DataError>,
    },
    /// A loader thread ended without delivering its batch: a defect of a [`Dataset`](super::Dataset).
    #[error("a loader thread panicked while it prepared a batch")]
    Worker,
}

/// Result of everything in [`data`](super).
pub type Result<T> = std::result::Result<T, DataError>;

impl DataError {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> DataError {
        DataError::Io { path: path.to_path_buf(), source }
    }

    pub(crate) fn format(path: &Path, problem: impl Into<String>) -> DataError {
        DataError::Format { path: path.to_path_buf(), problem: problem.into() }
    }

    pub(crate) fn invalid(field: impl Into<String>, problem: impl Into<String>) -> DataError {
        DataError::Invalid { field: field.into(), problem: problem.into() }
    }
}
