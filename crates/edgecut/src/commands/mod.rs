//! One file per verb: its options, what it does, how it says it.

pub mod agent;
pub mod bench;
pub mod bottleneck;
pub mod cascade;
pub mod convert;
pub mod data;
pub mod deploy;
pub mod device;
pub mod distill;
pub mod edge;
pub mod eval;
pub mod exits;
pub mod inspect;
pub mod new;
pub mod prune;
pub mod quantize;
pub mod run;
pub mod search;
pub mod serve;
pub mod split;
pub mod train;
pub mod verify;
pub mod zoo;
