//! Names of parameters and headers: those of the protocol, and those of edgecut's own halves.
//!
//! Servers and clients ignore parameters that they do not know, so that either half works with
//! others.

/// Digest of graph, weights, cut and codec of the model that the client means, in hexadecimal; the
/// response says which one answered. Text, in parameters of request and response, and among the
/// properties of a model's metadata.
pub const DIGEST: &str = "edgecut_digest";
/// How long the request waited for a worker, in microseconds. Response.
pub const QUEUE_US: &str = "edgecut_queue_us";
/// Requests that waited for the model when this one was answered. Response.
pub const QUEUE_DEPTH: &str = "edgecut_queue_depth";
/// How long the model computed, in microseconds. Response.
pub const SERVICE_US: &str = "edgecut_service_us";
/// Requests that were computed together with this one. Response.
pub const BATCH: &str = "edgecut_batch";

/// How long the request may wait for a worker, in microseconds, as in Triton. Request.
pub const TIMEOUT: &str = "timeout";
/// Priority, 0 for the model's usual one, else 1 (first) to [`LOWEST_PRIORITY`], as in Triton.
/// Request.
pub const PRIORITY: &str = "priority";
/// The last to be served.
pub const LOWEST_PRIORITY: u64 = 7;

/// Bytes of a tensor in the binary part of a REST message. Input of a request, output of a response.
pub const BINARY_DATA_SIZE: &str = "binary_data_size";
/// Whether this output is wanted as binary data. Requested output.
pub const BINARY_DATA: &str = "binary_data";
/// Whether all outputs are wanted as binary data. Request.
pub const BINARY_DATA_OUTPUT: &str = "binary_data_output";
/// HTTP header: bytes of JSON in front of binary data.
pub const HEADER_LENGTH: &str = "inference-header-content-length";

/// HTTP header and gRPC metadata: the span that a request belongs to (W3C Trace Context).
pub const TRACEPARENT: &str = "traceparent";
/// HTTP header and gRPC metadata: `Bearer TOKEN`.
pub const AUTHORIZATION: &str = "authorization";

/// Extension that a server names in its metadata if it takes and gives binary data over REST.
pub const BINARY_EXTENSION: &str = "binary_tensor_data";
