//! Lightweight architectures, built as graphs with fresh weights.
//!
//! ```
//! use edgecut_zoo::{Options, build};
//! let graph = build("mobilenet-v2-s28", &Options::default()).unwrap();
//! assert_eq!(graph.value(graph.inputs[0]).shape.to_string(), "[batch, 1, 28, 28]");
//! ```
//!
//! Every network takes `input` `[batch, channels, height, width]` and returns `logits`
//! `[batch, classes]`; the batch is a symbol. Dropout is a matter of training and is not in the
//! graph. Layer names follow torchvision, so that its weights can be matched by name.

mod catalogue;
mod channels;
mod mobilenet_v2;

pub use catalogue::{Architecture, Options, build, list};
pub use channels::make_divisible;
pub use mobilenet_v2::{MobileNetV2, Stage};

/// Why a network could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ZooError {
    /// No architecture has this name.
    #[error("unknown architecture '{name}'{}; known: {}", suggest(.similar), .known.join(", "))]
    UnknownName {
        /// The name asked for.
        name: String,
        /// The known name that is closest to it, where one is close.
        similar: Option<&'static str>,
        /// All known names.
        known: Vec<&'static str>,
    },
    /// A parameter is outside its range.
    #[error("{field} is {value}, must be {allowed}")]
    OutOfRange {
        /// The parameter.
        field: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// The parameters give a graph that cannot exist, such as an image smaller than its kernels.
    #[error(transparent)]
    Graph(#[from] edgecut_graph::GraphError),
}

fn suggest(similar: &Option<&'static str>) -> String {
    similar.map_or(String::new(), |name| format!(" (did you mean '{name}'?)"))
}

/// Placeholder until the reader lands.
#[allow(missing_docs)]
pub mod state_dict {
    pub struct Loaded {
        pub assigned: Vec<String>,
        pub unused: Vec<String>,
    }
    pub fn read(_: &std::path::Path) -> Result<(), String> {
        Err("not yet".into())
    }
    pub fn load(_: &mut edgecut_graph::Graph, _: &()) -> Result<Loaded, String> {
        Err("not yet".into())
    }
}
