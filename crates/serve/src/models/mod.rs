//! Models: where they are found, how they are loaded and warmed, what becomes of inputs.
//!
//! | file | holds |
//! | --- | --- |
//! | `find` | files named on the command line, or a folder `NAME/VERSION/model.{onnx,tflite,ecut}` |
//! | `config` | `config.toml` beside a model |
//! | `load` | a file into a [`Model`] |
//! | `plans` | plans by batch: which sizes pay, sessions for every worker |
//! | `input` | what a request holds into rows of a model's inputs: numbers, coded tensors, pictures |
//! | `model` | rows through the plans |
//! | `shelf` | models by name and version, swapped while requests run |

mod config;
mod find;
mod input;
mod load;
mod model;
mod plans;
mod shelf;

pub use config::Config;
pub use find::{Found, Source};
pub use input::Inputs;
pub use load::{LoadOptions, load};
pub use model::{Model, Outputs};
pub use shelf::{Change, Shelf};
