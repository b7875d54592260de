//! What can go wrong with a graph, by cause. Messages name the node, operator and field.

use crate::DType;

/// An error of the graph crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Path as the caller gave it.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Anything below, in a file.
    #[error("{file}: {source}")]
    InFile {
        /// Path or name as the caller gave it.
        file: String,
        /// What is wrong in it.
        source: Box<GraphError>,
    },
    /// The file is not what it should be: truncated, wrong magic, contradictory fields.
    #[error("{place}: {problem}")]
    Malformed {
        /// File, node, tensor or field.
        place: String,
        /// What is wrong and, where known, what to do.
        problem: String,
    },
    /// A node uses an operator, attribute or type that edgecut does not support.
    #[error("node '{node}': operator {op}{domain} (opset {opset}) is not supported: {reason}", domain = domain_suffix(.domain))]
    Unsupported {
        /// Node name.
        node: String,
        /// Operator type.
        op: String,
        /// Operator domain; empty for the standard one.
        domain: String,
        /// Opset version of that domain in the file.
        opset: i64,
        /// Which part is unsupported, and what is supported.
        reason: String,
    },
    /// An operator's inputs do not fit it.
    #[error("node '{node}' ({op}): {problem}")]
    Node {
        /// Node name.
        node: String,
        /// Operator name.
        op: &'static str,
        /// What does not fit.
        problem: String,
    },
    /// A model for inputs of any size needs a size.
    #[error("input '{input}' is declared {declared}: give it a shape of fixed extents ({source})")]
    NeedsShape {
        /// Name of the input.
        input: String,
        /// Its shape, with symbols.
        declared: crate::Shape,
        /// What cannot be done without.
        source: Box<GraphError>,
    },
    /// A declared size exceeds a limit of [`crate::limits`].
    #[error("{place}: {what} is {value}, more than the limit of {limit}")]
    Limit {
        /// File, node or tensor.
        place: String,
        /// The quantity.
        what: &'static str,
        /// Its declared value.
        value: u64,
        /// The limit.
        limit: u64,
    },
    /// A tensor has another type than the operation needs.
    #[error("tensor '{name}' is {found}, expected {expected}")]
    Type {
        /// Tensor name; may be empty.
        name: String,
        /// Its type.
        found: DType,
        /// The type needed.
        expected: DType,
    },
    /// Data and shape disagree, or an input has another shape than the graph declares.
    #[error("{place}: {problem}")]
    Shape {
        /// Node, value or tensor.
        place: String,
        /// What disagrees.
        problem: String,
    },
}

impl GraphError {
    /// The same error, with the file that it is about.
    pub fn in_file(self, file: &str) -> GraphError {
        GraphError::InFile { file: file.into(), source: Box::new(self) }
    }

    /// The error without the file or the advice around it.
    pub fn root(&self) -> &GraphError {
        match self {
            GraphError::InFile { source, .. } | GraphError::NeedsShape { source, .. } => {
                source.root()
            }
            other => other,
        }
    }
}

fn domain_suffix(domain: &str) -> String {
    if domain.is_empty() { String::new() } else { format!(" of domain '{domain}'") }
}

/// Result of the graph crate.
pub type Result<T, E = GraphError> = std::result::Result<T, E>;
