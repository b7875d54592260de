//! What is exported: valid, the same in ONNX Runtime, and the same function after a round trip.

mod collections;
mod operators;
mod peer;
mod quantised;
mod round_trip;
