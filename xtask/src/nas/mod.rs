//! Architecture search against published tables, measurements and networks trained alone.

pub mod bench201;
pub mod crash;
pub mod device;
mod found;
pub mod proxies;
pub mod rivals;
pub mod supernet;
pub mod tables;
mod training;
