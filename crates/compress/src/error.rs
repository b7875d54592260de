//! What can go wrong, by cause.

use edgecut_graph::GraphError;
use edgecut_runtime::RuntimeError;

/// An error of the compress crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompressError {
    /// The graph is not valid, or a node cannot be computed.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The graph cannot be compiled or run for calibration.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// There was no image to calibrate on.
    #[error("calibration needs at least one image; give more data or a smaller batch")]
    NoImages,
    /// Gradients of a loss need the class of each image.
    #[error(
        "gradients need pictures of the model's size with classes that it knows; l2 needs none"
    )]
    NoLabels,
    /// The loss has no gradient by a weight.
    #[error(
        "there is no gradient by '{value}', which is quantised or no weight to training: prune the float model, or take what needs no gradients, such as l2"
    )]
    NoGradient {
        /// Name of the tensor.
        value: String,
    },
    /// The graph cannot be differentiated.
    #[error(transparent)]
    Train(#[from] edgecut_train::TrainError),
    /// The graph does not take one image tensor.
    #[error("the graph has {found} inputs; calibration feeds exactly one image input")]
    Inputs {
        /// Number of inputs of the graph.
        found: usize,
    },
    /// An activation was NaN or infinite.
    #[error(
        "value '{value}' is NaN or infinite on a calibration image: check the model's weights and the preprocessing"
    )]
    NotFinite {
        /// Name of the value.
        value: String,
    },
    /// A weight or bias is NaN or infinite.
    #[error("node '{node}': {what} holds NaN or infinity")]
    BadWeight {
        /// Name of the node.
        node: String,
        /// "weight" or "bias".
        what: &'static str,
    },
    /// The calibration does not know a value of the graph.
    #[error("value '{value}' was not calibrated: the calibration is of another graph")]
    Uncalibrated {
        /// Name of the value.
        value: String,
    },
    /// A node that should be excluded does not exist.
    #[error("cannot treat node '{name}' apart: the graph has no node of that name{hint}")]
    UnknownNode {
        /// The name asked for.
        name: String,
        /// A similar name, as a question; may be empty.
        hint: String,
    },
    /// An image could not be read.
    #[error("{0}")]
    Image(String),
    /// The time was over, or somebody asked to stop, before there was a result.
    #[error("stopped before there was a result")]
    Stopped,
    /// A setting is out of its range.
    #[error("{field} is {value}, must be {expected}")]
    Setting {
        /// Name of the setting.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// No layer has weights that could become zero.
    #[error("no dense layer with constant float weights is left to prune; prune before quantising")]
    NothingToPrune,
}

/// Result of the compress crate.
pub type Result<T, E = CompressError> = std::result::Result<T, E>;
