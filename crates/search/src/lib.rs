//! Architecture search for one task and one device.

mod error;

pub use error::{Result, SearchError};
