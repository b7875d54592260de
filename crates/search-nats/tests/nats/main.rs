//! Searches, and samples, over a NATS server that these tests start themselves; one program, so that it is linked once.

mod common;
mod credentials;
mod data;
mod journal;
mod killed;
mod samples;
mod server;
mod workers;
