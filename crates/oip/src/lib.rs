//! The Open Inference Protocol, version 2: what inference servers and their clients say to each
//! other.
//!
//! ```text
//! JSON, binary data ─┐                                       ┌─> JSON, binary data
//!                    ├─> InferRequest ─> model ─> InferResponse
//! gRPC messages ─────┘   (WireTensor <─> graph's Tensor)     └─> gRPC messages
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | [`InferRequest`], [`InferResponse`], [`WireTensor`], [`Parameters`] | what is asked and answered, whatever carries it |
//! | [`rest`] | bodies of HTTP: JSON, and JSON followed by binary data |
//! | [`grpc`] | messages, client and service of gRPC, without a compiler for `.proto` files |
//! | [`names`] | names of parameters and headers, edgecut's own among them |
//! | [`limits`] | what a message may hold |
//!
//! The crate does no input or output of its own, but for the gRPC client's. Nothing that comes from
//! outside is believed: sizes are checked before anything is allocated for them, and what is wrong
//! is an error that names the field.
//!
//! Sources: the specification of the protocol (kserve/open-inference-protocol), and Triton's
//! extensions for binary data, `timeout`, `priority` and streaming.

mod datatype;
mod error;
pub mod grpc;
mod infer;
pub mod limits;
mod metadata;
pub mod names;
mod parameters;
pub mod rest;
mod tensor;
mod traceparent;

pub use datatype::Datatype;
pub use error::{OipError, Result};
pub use infer::{InferRequest, InferResponse, RequestedOutput};
pub use metadata::{ModelMetadata, ServerMetadata, TensorMetadata};
pub use parameters::{Parameter, Parameters};
pub use tensor::WireTensor;
pub use traceparent::Traceparent;
