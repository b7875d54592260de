//! gRPC: messages, client and service of `inference.GRPCInferenceService`, with Triton's
//! `ModelStreamInfer`.
//!
//! Messages are declared by hand with prost and methods with tonic, so that building needs no
//! compiler for `.proto` files.

mod client;
mod codec;
mod contents;
mod convert;
mod messages;
mod scan;
mod server;

pub use client::InferenceClient;
pub use messages::*;
pub use server::{Inference, InferenceServer};

/// Full name of the service.
pub const SERVICE: &str = "inference.GRPCInferenceService";
