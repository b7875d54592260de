//! The device's half as a server of the Open Inference Protocol for programs beside it.

mod backend;

pub use backend::Local;
