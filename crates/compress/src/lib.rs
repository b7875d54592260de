//! Pruning ([`prune`], [`sparse`], [`low_rank`]), weight sharing ([`palette`]), and post-training quantisation: a float graph and some images become an int8 graph.
//!
//! ```text
//! graph ── prepare ──> canonical float graph
//!            ├── calibrate ──> Calibration: a histogram and channel statistics of every activation
//!            ├── equalise ───> the same function with channels of one size
//!            ├── learn ──────> codes of weights, layer by layer   ┐ Recipe: one combination
//!            ├── bias ───────> corrected biases                   ┘
//!            └── Scheme::build ──> QDQ graph + report
//! portfolio: tries recipes, scores them on held-out images, keeps the best; mixed: widths of layers
//! ```
//!
//! The result is an ordinary [`Graph`](edgecut_graph::Graph) in ONNX's QDQ form: integer weights
//! behind DequantizeLinear, activations through QuantizeLinear and DequantizeLinear. Interpreted
//! literally it says what int8 execution computes; our runtime and ONNX Runtime replace the
//! patterns by integer kernels.
//!
//! Scheme: u8 activations, affine, one scale a tensor, with 0.0 an exact byte; s8 weights,
//! symmetric in -127..=127, one scale an output channel; i32 biases of scale `sx * sw`. It is what
//! x86 (`vpdpbusd`) and Arm (`usdot`, or `sdot` after a shift) multiply natively (Jacob et al.
//! 2018; Nagel et al. 2021, section 2).
//!
//! Images are read again for each pass ([`Images`]), so memory does not depend on their number.
//! Nothing here computes layers itself: every measurement is a graph that the runtime runs, the
//! float one with other outputs, one with a quantised twin beside each layer, or the result so far.

mod bias;
mod calibrate;
pub mod certificate;
mod channels;
mod emit;
mod equalise;
mod error;
mod gradients;
mod histogram;
mod images;
mod layers;
mod learn;
pub mod low_rank;
mod mixed;
pub mod palette;
mod params;
mod placement;
mod portfolio;
mod prepare;
mod probe;
pub mod prune;
mod quantize;
mod range;
mod recipe;
mod refine;
mod report;
mod scheme;
mod score;
mod size;
pub mod sparse;
mod twin;
mod weights;

pub use bias::BiasCorrection;
pub use calibrate::{Calibration, calibrate};
pub use channels::ChannelStats;
pub use error::{CompressError, Result};
pub use histogram::Histogram;
pub use images::Images;
pub use mixed::{Limits, Mixed, Sensitivity};
pub use params::Params;
pub use placement::Placement;
pub use portfolio::{Found, Trial, portfolio, quantize_with};
pub use prepare::prepare;
pub use probe::Control;
pub use quantize::{Activations, Bits, QuantizeConfig, Quantized, check_names, quantize};
pub use range::{Range, RangeMethod};
pub use recipe::{Recipe, Rounding};
pub use report::{ActivationReport, LayerReport, QuantizeReport, SkippedNode};
pub use score::Score;
pub use size::{WeightBytes, weight_bytes};
pub use weights::WeightRange;
