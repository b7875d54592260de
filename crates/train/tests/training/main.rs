//! Training against oracles: gradients, PyTorch, itself on other threads and after interruptions.

mod determinism;
mod fitting;
mod gradients;
mod operators;
mod oracle;
mod pytorch;
mod recipes;
mod resume;
mod toy;
