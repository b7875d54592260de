//! The stages that verbs share. A verb parses options and prints; the work is done here, so that
//! `deploy` and the single verbs cannot differ.

pub mod bottleneck;
pub mod calibrate;
pub mod card;
pub mod cascade;
pub mod classify;
pub mod data;
pub mod edge;
pub mod feed;
pub mod interface;
pub mod loaded;
pub mod model;
pub mod nets;
pub mod npy;
pub mod pack;
pub mod palette;
pub mod precision;
pub mod preprocessing;
pub mod prune;
pub mod runner;
pub mod search;
pub mod shapes;
pub mod sizes;
pub mod speed;
pub mod split;
pub mod time;
pub mod train;
pub mod tune;
pub mod way;
