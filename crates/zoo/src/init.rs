//! Distributions of fresh weights, by the number of inputs that an output sums (fan-in) and of
//! outputs that an input reaches (fan-out), both within a group.

use edgecut_graph::{Builder, Result, Tensor, ValueId};

/// How weights are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Init {
    /// Normal, variance `2 / fan-out` (He et al. 2015, arXiv:1502.01852, backward case), as
    /// MobileNets, EfficientNets and torchvision's ResNets.
    FanOutNormal,
    /// Normal, variance `2 / fan-in` (He et al. 2015, forward case).
    FanInNormal,
    /// Uniform, variance `2 / fan-in`.
    FanInUniform,
    /// Uniform, variance `2 / (fan-in + fan-out)` (Glorot and Bengio 2010), as Keras.
    Glorot,
    /// Uniform up to `1 / sqrt(fan-in)`, biases too: what PyTorch does where nothing is asked for.
    InverseFanIn,
    /// Uniform up to `1 / sqrt(fan-out)`, the classifiers of TensorFlow's EfficientNets.
    InverseFanOut,
    /// Normal with this deviation.
    Normal(f32),
}

enum Draw {
    Normal(f32),
    Uniform(f32),
}

impl Init {
    fn draw(self, fans: [usize; 2]) -> Draw {
        let [fan_in, fan_out] = fans.map(|fan| fan.max(1) as f32);
        match self {
            Init::FanOutNormal => Draw::Normal((2.0 / fan_out).sqrt()),
            Init::FanInNormal => Draw::Normal((2.0 / fan_in).sqrt()),
            // A uniform number up to b has the variance b^2 / 3.
            Init::FanInUniform => Draw::Uniform((6.0 / fan_in).sqrt()),
            Init::Glorot => Draw::Uniform((6.0 / (fan_in + fan_out)).sqrt()),
            Init::InverseFanIn => Draw::Uniform(fan_in.sqrt().recip()),
            Init::InverseFanOut => Draw::Uniform(fan_out.sqrt().recip()),
            Init::Normal(deviation) => Draw::Normal(deviation),
        }
    }

    /// `LAYER.weight`; `fans` are fan-in and fan-out.
    pub fn weight(
        self,
        b: &mut Builder,
        layer: &str,
        shape: &[usize],
        fans: [usize; 2],
    ) -> Result<ValueId> {
        let name = format!("{layer}.weight");
        match self.draw(fans) {
            Draw::Normal(deviation) => b.weight(&name, shape, deviation),
            Draw::Uniform(bound) => b.uniform(&name, shape, bound),
        }
    }

    /// `LAYER.bias`: zeros, but for PyTorch's default.
    pub fn bias(
        self,
        b: &mut Builder,
        layer: &str,
        len: usize,
        fans: [usize; 2],
    ) -> Result<ValueId> {
        let name = format!("{layer}.bias");
        match (self, self.draw(fans)) {
            (Init::InverseFanIn, Draw::Uniform(bound)) => b.uniform(&name, &[len], bound),
            _ => Ok(b.constant(&name, Tensor::vector(vec![0.0f32; len]))),
        }
    }
}
