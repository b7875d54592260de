//! What can go wrong, by cause.

use std::path::PathBuf;

use edgecut_compress::CompressError;
use edgecut_graph::GraphError;
use edgecut_runtime::RuntimeError;
use edgecut_zoo::ZooError;

/// Result of the device crate.
pub type Result<T> = std::result::Result<T, DeviceError>;

/// An error of the device crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// A graph is not valid.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A graph cannot be compiled or run.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// A network of the table cannot be built.
    #[error(transparent)]
    Zoo(#[from] ZooError),
    /// A network of the table cannot be quantised.
    #[error(transparent)]
    Compress(#[from] CompressError),
    /// The profile is no file that can be read.
    #[error("{path}: {problem}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A step is of a kind that the table does not have.
    #[error(
        "step '{step}' is of kind '{kind}', which was never measured on this device; measure the \
         network there"
    )]
    Unmeasured {
        /// Name of the step.
        step: String,
        /// What it computes.
        kind: String,
    },
    /// Too few networks were measured to learn from.
    #[error("{found} networks of one precision were measured; at least {least} are needed")]
    TooFew {
        /// How many there are.
        found: usize,
        /// How many are needed.
        least: usize,
    },
    /// The caller asked to stop.
    #[error("stopped before the profile was complete")]
    Stopped,
}
