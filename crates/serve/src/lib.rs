//! The cloud half: a server of models that speaks the Open Inference Protocol V2.
//!
//! ```text
//! files ─> models ─┐                      ┌─> worker ─┐
//!                  ├─> host ─> schedule ──┼─> worker ─┼─> answer
//! REST, gRPC ──────┘ (front)              └─> worker ─┘
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | [`front`] | REST and gRPC over TCP or TLS, tokens, limits; for any [`front::Backend`] |
//! | [`models`] | files into models: folders, versions, plans by batch, what becomes of inputs; new files while the server runs |
//! | [`schedule`] | which request runs next, and which is refused at once |
//! | [`Host`] | the backend of models |
//! | [`Server`] | all of it, from start to the last answer |

mod error;
pub mod front;
mod host;
pub mod models;
pub mod schedule;
mod server;

pub use error::{Result, ServeError};
pub use host::{Host, HostOptions};
pub use server::{Server, ServerOptions};
