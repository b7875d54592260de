//! Spaces of architectures, stage by stage as papers print them.
//!
//! ```text
//! space.toml ──parse──> SpaceFile ──> genes ──> Genome ──> BlockNet ──> Graph
//! ```
//!
//! A stage has blocks of one family; wherever the file lists several values, the search has a choice:
//!
//! ```toml
//! name = "small-pictures"
//! resolution = [20, 24, 28]       # pixels of the square input; by default as the pictures are
//! stem = { channels = "8..16", stride = 1 }
//! activation = ["relu", "hard-swish"]
//! last = [128, 192]               # channels of the last pointwise convolution
//!
//! [[stage]]
//! block = ["mobilenet-v2", "fire"]
//! channels = "16..32"             # in steps of 8
//! depth = [1, 2, 3]
//! stride = 2
//! kernel = [3, 5, 7]              # of each block
//! expansion = [3, 4, 6]           # of each block
//! excite = [false, true]          # of each block: squeeze-and-excitation
//! bits = [4, 8]                   # of the weights on the device
//! ```

mod choices;
mod file;
mod genes;
mod net;
mod shrink;

pub use choices::Choices;
pub use file::{SPACES, SpaceFile, StageFile, StemFile};
pub use genes::ArchSpace;
pub use shrink::Shrunk;
