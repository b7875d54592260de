//! One set of weights for all networks of a space.
//!
//! ```text
//! Graph of a subnet ──names, shapes──> slices of SharedWeights ──> Engine ──> gradients
//!                                             ▲                                   │
//!                                             └──── added up over a sandwich ─────┘
//! ```
//!
//! Each step trains the largest network on the labels, and the smallest and some random ones on the
//! answers of the largest: the sandwich rule with in-place distillation of BigNAS (Yu et al. 2020,
//! arXiv:2003.11142). BatchNorm's statistics are nobody's: every subnet that is judged first collects its
//! own on training pictures ([`Judge`]).
//!
//! A subnet is any graph whose constants have the names of the largest ones and are not larger. It has
//! the first channels of each weight and the middle of each filter (Cai et al. 2020, arXiv:1908.09791),
//! so this knows no architecture.

mod judge;
mod narrow;
mod pictures;
mod sandwich;
mod subnet;
mod weights;

pub use judge::Judge;
pub use pictures::Pictures;
pub(crate) use pictures::from_data;
pub use sandwich::{Sandwich, SandwichProgress, train};
pub use subnet::Subnet;
pub use weights::SharedWeights;

use edgecut_graph::Graph;
use edgecut_graph::rng::Rng;

use crate::error::Result;

/// A network as it will be deployed.
#[derive(Clone, Debug)]
pub struct Network {
    /// In float.
    pub graph: Graph,
    /// Names of the nodes whose weights have 4 bits on the device.
    pub four_bit: Vec<String>,
}

impl From<Graph> for Network {
    /// No weights of 4 bits.
    fn from(graph: Graph) -> Network {
        Network { graph, four_bit: vec![] }
    }
}

/// Networks that share weights.
pub trait Family: Sync {
    /// The largest networks, which take turns as such: one where all others are parts of one, several
    /// where stages may have blocks of different kinds.
    ///
    /// # Errors
    /// Where one cannot be built.
    fn largest(&self) -> Result<Vec<Graph>>;

    /// Networks that together have every weight as a whole: the largest ones, unless a part of a smaller
    /// one is larger.
    ///
    /// # Errors
    /// Where one cannot be built.
    fn whole(&self) -> Result<Vec<Graph>> {
        self.largest()
    }

    /// The cheapest network.
    ///
    /// # Errors
    /// Where it cannot be built.
    fn smallest(&self) -> Result<Graph>;

    /// A network that `rng` draws.
    ///
    /// # Errors
    /// Where it cannot be built.
    fn random(&self, rng: &mut Rng) -> Result<Graph>;
}
