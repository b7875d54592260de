//! What can go wrong in training, by cause. Messages name the node, field or file.

use std::path::{Path, PathBuf};

use edgecut_graph::{GraphError, Node};

use crate::data::DataError;

/// An error of training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The graph is malformed.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A sample cannot be read or prepared.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The graph holds something that has no gradient here.
    #[error("node '{node}' ({op}) cannot be trained: {reason}")]
    Unsupported {
        /// Node name.
        node: String,
        /// Operator name.
        op: &'static str,
        /// What exactly, and what is supported.
        reason: String,
    },
    /// The graph as a whole is not an image classifier.
    #[error("model '{model}' cannot be trained: {problem}")]
    Model {
        /// Name of the graph.
        model: String,
        /// What is missing.
        problem: String,
    },
    /// A setting is out of range, or settings, data and model contradict each other.
    #[error("training setting `{field}`: {problem}")]
    Config {
        /// Field of the configuration.
        field: &'static str,
        /// What is wrong and what is allowed.
        problem: String,
    },
    /// A checkpoint cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A checkpoint is broken or belongs to another training.
    #[error("checkpoint {}: {problem}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What does not fit and what to do.
        problem: String,
    },
    /// The loss stopped being a number.
    #[error(
        "the loss became {loss} at step {step} of epoch {epoch}; \
         try a lower learning rate or a longer warm-up"
    )]
    Diverged {
        /// Epoch, counted from 1.
        epoch: usize,
        /// Step within the epoch, counted from 1.
        step: usize,
        /// The value.
        loss: f64,
    },
}

/// Result of training.
pub type Result<T, E = TrainError> = std::result::Result<T, E>;

impl TrainError {
    pub(crate) fn unsupported(node: &Node, reason: impl Into<String>) -> TrainError {
        let reason = reason.into();
        TrainError::Unsupported { node: node.name.clone(), op: node.op.name(), reason }
    }

    pub(crate) fn config(field: &'static str, problem: impl Into<String>) -> TrainError {
        TrainError::Config { field, problem: problem.into() }
    }

    pub(crate) fn io(path: &Path, source: std::io::Error) -> TrainError {
        TrainError::Io { path: path.to_path_buf(), source }
    }

    pub(crate) fn checkpoint(path: &Path, problem: impl Into<String>) -> TrainError {
        TrainError::Checkpoint { path: path.to_path_buf(), problem: problem.into() }
    }
}
