//! The graph that everything in edgecut makes, reads, rewrites or runs.
//!
//! A [`Graph`] holds values and nodes in the logical semantics of ONNX: NCHW, explicit padding,
//! one closed enum of operators ([`Op`]) with typed attributes. Physical layouts, fusion and
//! packing belong to the runtime and never appear here.
//!
//! | module | holds |
//! | --- | --- |
//! | `graph`, `op`, `shape`, `tensor` | the representation |
//! | [`Builder`] | graphs written in code |
//! | [`infer`] | type and shape of every operator's output |
//! | [`interpret`] | a plain reference implementation of every operator |
//! | [`cost`] | parameters, multiply-adds, peak activation memory |
//! | [`file`] | files written whole or not at all |
//! | [`onnx`] | import and export |
//! | [`tflite`] | import and export of TensorFlow Lite |
//! | [`npy`] | tensors as NumPy writes them |
//! | [`model`] | opening a model of either format |
//! | [`passes`] | rewrites that keep the function |

mod builder;
pub mod cost;
pub mod error;
pub mod file;
pub mod float16;
mod graph;
pub mod infer;
pub mod interpret;
pub mod limits;
pub mod model;
pub mod npy;
pub mod onnx;
mod op;
pub mod passes;
pub mod rng;
mod shape;
mod tensor;
pub mod tflite;

pub use builder::Builder;
pub use error::{GraphError, Result};
pub use graph::{Graph, Node, Value, ValueId};
pub use op::{
    Binary, Compare, Conv, ConvTranspose, Coordinates, Cut, DepthOrder, Gemm, Hw, Logic, Nearest,
    Op, PadMode, Pool, Reduction, ReshapeDim, Resize, ResizeAxis, ResizeMode, ScatterMode, Unary,
    Window,
};
pub use shape::{Dim, Shape};
pub use tensor::{DType, Data, Tensor, checked_len};
