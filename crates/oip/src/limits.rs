//! What a message may hold, each limit stated once. What real clients send is far below.

/// Largest number of dimensions of a tensor: that of a graph.
pub use edgecut_graph::limits::MAX_RANK;

/// Largest request or response in bytes where nobody says otherwise: 64 MiB.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;
/// Largest number of tensors in a request or response.
pub const MAX_TENSORS: usize = 256;
/// Largest number of parameters of a request, response or tensor.
pub const MAX_PARAMETERS: usize = 64;
/// Longest name or id, in bytes.
pub const MAX_NAME_BYTES: usize = 1024;
/// Largest number of elements of a tensor of bytes: each costs memory beside its content.
pub const MAX_BYTES_ELEMENTS: usize = 1 << 20;
