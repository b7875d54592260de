//! The reference interpreter: against ONNX Runtime on generated operators and networks, and on
//! inputs that nobody would feed it.

mod laws;
mod networks;
mod operators;
mod peer;
mod total;
