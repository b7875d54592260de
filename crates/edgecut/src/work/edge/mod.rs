//! The device's half as a server of the Open Inference Protocol for programs beside it.

mod backend;
mod on_server;

pub use backend::Local;
pub use on_server::OnServer;
