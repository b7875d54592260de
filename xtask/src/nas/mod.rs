//! Architecture search against published tables.

pub mod bench201;
pub mod device;
pub mod proxies;
mod subnets;
pub mod supernet;
