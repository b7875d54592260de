//! What can go wrong between a graph and its results.

use std::io;
use std::path::PathBuf;

use edgecut_graph::{DType, GraphError, Shape};

use crate::PackedError;

/// An error of the runtime.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// The graph is not valid, or one of its nodes does not fit its inputs.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A packed model cannot be run, or not be written.
    #[error("{}: {source}", path.display())]
    Packed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        source: PackedError,
    },
    /// A packed model has no plan for the shapes asked for.
    #[error(
        "the model was packed for inputs of {packed:?}, not for {asked:?}: convert it again with \
         that shape"
    )]
    NotPacked {
        /// The shapes asked for, one for each input.
        asked: Vec<Vec<usize>>,
        /// The shapes that there are plans for.
        packed: Vec<Vec<Vec<usize>>>,
    },
    /// The plan needs more memory than [`crate::MAX_ARENA_BYTES`].
    #[error("the plan needs {bytes} bytes for its buffers, more than the limit of {limit}")]
    TooLarge {
        /// Bytes needed.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// No input or output has this index.
    #[error("there is no {what} {index}: the model has {count}")]
    NoSuch {
        /// "input" or "output".
        what: &'static str,
        /// The index asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// An input has another type or shape than the plan was compiled for.
    #[error("input '{name}' is {found} {found_shape:?}, expected {expected} {expected_shape:?}")]
    Input {
        /// Name of the input.
        name: String,
        /// The tensor's type.
        found: DType,
        /// The tensor's extents.
        found_shape: Vec<usize>,
        /// The type expected.
        expected: DType,
        /// The extents expected.
        expected_shape: Vec<usize>,
    },
    /// Another number of inputs than the model has.
    #[error("got {found} inputs, the model has {expected}")]
    InputCount {
        /// Inputs given.
        found: usize,
        /// Inputs needed.
        expected: usize,
    },
    /// A value was asked for as a type that it does not have.
    #[error("'{name}' is {found}, asked for as {expected}")]
    Type {
        /// Name of the value.
        name: String,
        /// Its type.
        found: DType,
        /// The type asked for.
        expected: DType,
    },
    /// A shape does not fit what the model declares for an input.
    #[error("input '{name}' is declared {declared}{known}, cannot be {given:?}")]
    Shape {
        /// Name of the input.
        name: String,
        /// The extents that the model declares.
        declared: Shape,
        /// The symbols that earlier inputs have fixed, in words.
        known: String,
        /// The extents given.
        given: Vec<usize>,
    },
    /// A batch is not enough to know an input's shape.
    #[error("input '{name}' is declared {declared}: more than its batch is open, give its shape")]
    OpenShape {
        /// Name of the input.
        name: String,
        /// The extents that the model declares.
        declared: Shape,
    },
    /// The model's batch is fixed and another was asked for.
    #[error("the model's batch is fixed to {fixed}, asked for {asked}")]
    Batch {
        /// The batch that the graph declares.
        fixed: usize,
        /// The batch asked for.
        asked: usize,
    },
}

/// Result of the runtime.
pub type Result<T, E = RuntimeError> = std::result::Result<T, E>;
