//! Where a model is cut between a device and a server, by what is measured and predicted of both, and
//! what becomes of its answers.

pub mod link;
pub mod parts;
pub mod pictures;
pub mod plans;
pub mod prices;
pub mod privacy;
pub mod proof;
pub mod rows;
pub mod times;
pub mod wire;
