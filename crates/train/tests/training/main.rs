//! Training against oracles: gradients, PyTorch, itself on other threads and after interruptions.

mod bf16;
mod determinism;
mod distill;
mod fitting;
mod gradients;
mod memory;
mod operators;
mod oracle;
mod partial;
mod pytorch;
mod qat;
mod random_nets;
mod recipes;
mod resume;
mod sparse;
mod toy;
mod zoo;
