//! LeNet-5 (LeCun et al. 1998, "Gradient-based learning applied to document recognition") in the form
//! that Caffe made of it and that the compression literature counts: 431,080 parameters, nine tenths
//! of them in the first fully connected layer (Han et al. 2016, arXiv:1510.00149, Table 3).
//!
//! Two convolutions of 5x5 without padding, each followed by a maximum over 2x2, then 500 hidden
//! units; the only activation is theirs. The width multiplier scales all channels and hidden units,
//! rounded to the nearest number.
//!
//! Layers are called `conv1`, `conv2`, `ip1`, `ip2`, as in Caffe.

use edgecut_graph::{Graph, Window};

use crate::channels::{decimal, make_divisible};
use crate::init::Init;
use crate::layers::{Act, Filter, Padding, Style};
use crate::{Settings, ZooError};

/// A LeNet-5 to be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeNet5;

impl LeNet5 {
    /// The graph with fresh weights.
    pub fn build(&self, settings: &Settings) -> Result<Graph, ZooError> {
        let style = Style {
            padding: Padding::Valid,
            filters: Init::FanInUniform,
            linear: Init::Glorot,
            ..Style::TORCH
        };
        let wide = |units: usize| make_divisible(units as f64 * decimal(settings.width), 1);
        let (mut net, mut x) = settings.start(style)?;
        for (name, channels) in [("conv1", 20), ("conv2", 50)] {
            x = net.conv(x, name, Filter::square(wide(channels), 5, 1), style.filters, true)?;
            x = net.b.max_pool(x, Window::new([2, 2], [2, 2]))?;
        }
        let x = net.b.flatten(x)?;
        let x = net.linear(x, "ip1", wide(500))?;
        let x = net.act(x, Act::Relu)?;
        let x = net.linear(x, "ip2", settings.classes)?;
        net.finish(x)
    }
}
