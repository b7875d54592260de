//! Channels are followed through every network, and what is left computes the same.

mod common;
mod depth;
mod flow;
mod identity;
mod losses;
mod low_rank;
mod plans;
