//! What can be wrong with a message, by cause.

use crate::Datatype;

/// An error of this crate: a message that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OipError {
    /// Bytes that are no message, or fields that contradict each other.
    #[error("{place}: {problem}")]
    Malformed {
        /// The message, field or tensor.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// More of something than is allowed.
    #[error("{place}: {value} {what}, at most {limit} are allowed")]
    Limit {
        /// The message, field or tensor.
        place: String,
        /// What is counted.
        what: &'static str,
        /// How many there are.
        value: u64,
        /// How many there may be.
        limit: u64,
    },
    /// A tensor of another type than the reader needs.
    #[error("tensor '{name}': datatype {found}, {wanted}")]
    Type {
        /// The tensor.
        name: String,
        /// Its type.
        found: Datatype,
        /// What would be right.
        wanted: String,
    },
}

impl OipError {
    pub(crate) fn malformed(place: impl Into<String>, problem: impl Into<String>) -> OipError {
        OipError::Malformed { place: place.into(), problem: problem.into() }
    }

    /// An error unless `value` is within `limit`.
    pub(crate) fn within(
        place: &str,
        what: &'static str,
        value: usize,
        limit: usize,
    ) -> Result<()> {
        if value <= limit {
            return Ok(());
        }
        let (value, limit) = (value as u64, limit as u64);
        Err(OipError::Limit { place: place.into(), what, value, limit })
    }

    /// Whether the message is too large rather than wrong: HTTP's 413, gRPC's RESOURCE_EXHAUSTED.
    pub fn is_limit(&self) -> bool {
        matches!(self, OipError::Limit { .. })
    }
}

/// RESOURCE_EXHAUSTED where something is too large, else INVALID_ARGUMENT.
impl From<OipError> for tonic::Status {
    fn from(error: OipError) -> tonic::Status {
        if error.is_limit() {
            tonic::Status::resource_exhausted(error.to_string())
        } else {
            tonic::Status::invalid_argument(error.to_string())
        }
    }
}

/// A result with [`OipError`].
pub type Result<T> = std::result::Result<T, OipError>;
