//! Runs graphs: [`compile`] decides everything ahead of time, a [`Session`] only computes.
//!
//! A [`Plan`] is a flat list of steps over one block of memory. Compilation folds BatchNorm and
//! constants, lets a convolution take along the bias, residual add and clamp behind it, turns
//! Dequantize - operator - Quantize into integer arithmetic, packs weights, and assigns every
//! buffer its offset. So [`Session::run`] allocates nothing, infers nothing and looks nothing up,
//! and the memory that a model needs is known before it runs.
//!
//! Inside a plan images are channels-last (NHWC); callers see ONNX's NCHW only. Results are the
//! same bits for every instruction set and number of threads.
//!
//! ```
//! use std::sync::Arc;
//! use edgecut_graph::{Builder, Tensor, Window};
//! use edgecut_kernels::Pool;
//! use edgecut_runtime::{CompileOptions, Session, compile};
//!
//! let mut b = Builder::new("tiny", 1);
//! let x = b.input("image", [1.into(), 3.into(), 8.into(), 8.into()]);
//! let x = b.conv(x, "stem", 4, Window::same(3, 2), 1, false)?;
//! let x = b.relu6(x)?;
//! let graph = b.finish(&[x])?;
//!
//! let plan = Arc::new(compile(&graph, &CompileOptions::default())?);
//! let mut session = Session::new(plan, Arc::new(Pool::new(2)));
//! let outputs = session.infer(&[Tensor::zeros([1, 3, 8, 8])?])?;
//! assert_eq!(outputs[0].shape(), [1, 4, 4, 4]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// Without `compile`, what only compilation calls stays in the source and out of the program.
#![cfg_attr(not(feature = "compile"), allow(dead_code, unused_imports))]

#[macro_use]
mod by_type;
#[cfg(feature = "compile")]
mod compile;
mod error;
#[cfg(feature = "compile")]
mod fuse;
mod layout;
#[cfg(feature = "compile")]
mod lower;
#[cfg(feature = "compile")]
pub mod memory;
#[cfg(feature = "compile")]
mod model;
#[cfg(feature = "compile")]
mod model_plans;
mod packed;
mod plan;
mod profile;
mod session;
#[cfg(feature = "compile")]
mod share;
mod step;
#[cfg(feature = "compile")]
mod tune;

#[cfg(feature = "compile")]
pub use compile::{CompileOptions, Precision, compile, compile_for};
pub use error::{Result, RuntimeError};
#[cfg(feature = "compile")]
pub use model::{Input, MAX_PLANS, Model};
#[cfg(all(feature = "compile", feature = "coded"))]
pub use packed::coded_bytes;
pub use packed::{Facts, MAX_PACKED_PLANS, Packed, PackedError};
#[cfg(feature = "compile")]
pub use packed::{Storage, pack, packed_bytes};
pub use plan::{Plan, Port, StepInfo};
pub use profile::{Profile, StepProfile};
pub use session::Session;
#[cfg(feature = "compile")]
pub use tune::{Tuner, TuningChange, TuningReport};

/// Largest arena that [`compile`] accepts: 8 GiB, which bounds what a hostile model can ask for.
pub const MAX_ARENA_BYTES: usize = 8 << 30;
