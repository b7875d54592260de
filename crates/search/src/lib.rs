//! Architecture search for one task and one device.

mod error;
pub mod supernet;

pub use error::{Result, SearchError};
