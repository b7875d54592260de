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
//! graph. Layers are called as in a public implementation, so that its weights load by name: see
//! [`state_dict`].
//!
//! [`list`] has the architectures that the papers name. Each is a type of its own ([`MobileNetV3`],
//! [`ShuffleNetV1`], ...), which builds a graph for [`Settings`].

mod block_net;
mod catalogue;
mod channels;
mod ds_cnn;
mod efficientnet_lite;
mod entries;
mod init;
mod layers;
mod lenet;
mod mobilenet_v1;
mod mobilenet_v2;
mod mobilenet_v3;
mod mobilenet_v3_minimal;
mod resnet;
mod resnet_cifar;
mod separable;
mod settings;
mod shufflenet_v1;
mod shufflenet_v2;
mod squeezenet;
pub mod state_dict;

pub use block_net::{Activation, Block, BlockNet, BlockStage, Family};
pub use catalogue::{Architecture, build, find, list};
pub use channels::make_divisible;
pub use ds_cnn::DsCnn;
pub use efficientnet_lite::EfficientNetLite;
pub use lenet::LeNet5;
pub use mobilenet_v1::MobileNetV1;
pub use mobilenet_v2::{MobileNetV2, Stage};
pub use mobilenet_v3::MobileNetV3;
pub use resnet::ResNet;
pub use resnet_cifar::ResNetCifar;
pub use settings::{Options, Settings};
pub use shufflenet_v1::ShuffleNetV1;
pub use shufflenet_v2::ShuffleNetV2;
pub use squeezenet::{SqueezeNet, SqueezeNetVersion};

/// Why a network could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ZooError {
    /// No architecture has this name.
    #[error("unknown architecture '{name}'{}", suggest(.similar, .known))]
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

fn suggest(similar: &Option<&'static str>, known: &[&'static str]) -> String {
    match similar {
        Some(name) => format!(" (did you mean '{name}'?)"),
        None => format!("; known: {}", known.join(", ")),
    }
}
