//! From a float graph and its calibration to a QDQ graph.

use std::collections::BTreeMap;

use edgecut_graph::Graph;
use serde::{Deserialize, Serialize};

use crate::scheme::{Learning, Scheme};
use crate::weights::WeightScheme;
use crate::{
    Calibration, CompressError, Placement, QuantizeReport, RangeMethod, Result, WeightRange,
    prepare,
};

/// Settings of [`quantize`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuantizeConfig {
    /// How the range of an activation is chosen.
    pub method: RangeMethod,
    /// Where results are rounded.
    pub placement: Placement,
    /// Names of nodes that stay float. A layer and the activation after it are one.
    pub exclude: Vec<String>,
    /// What activations become.
    pub activations: Activations,
    /// How the scales of weights are chosen.
    pub weights: WeightRange,
    /// Bits of the weights of layers that `int4` does not name: 8 or 4.
    pub bits: Bits,
    /// Names of layers with 4-bit weights.
    pub int4: Vec<String>,
    /// Values whose ranges are chosen in another way than by `method`, by name.
    pub methods: BTreeMap<String, RangeMethod>,
}

impl QuantizeConfig {
    /// Fails where a setting is out of range.
    pub fn check(&self) -> Result<()> {
        self.method.check()?;
        self.methods.values().try_for_each(|method| method.check())
    }

    /// How the weights of the layer called `node` are quantised.
    pub(crate) fn weight_scheme(&self, node: &str) -> WeightScheme {
        let int4 = self.bits == Bits::Four || self.int4.iter().any(|name| name == node);
        WeightScheme { range: self.weights, int4 }
    }
}

/// What activations become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activations {
    /// Bytes: layers compute in integers.
    #[default]
    Bytes,
    /// They stay float: only weights shrink.
    Float,
}

/// Width of weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bits {
    /// -127..=127
    #[default]
    Eight,
    /// -7..=7
    Four,
}

/// A quantised graph and how it came about.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// The graph in QDQ form. Inputs and outputs are those of the float graph, float included.
    pub graph: Graph,
    /// What was decided.
    pub report: QuantizeReport,
}

/// Quantises `graph` with the ranges that [`crate::calibrate`] saw on it.
///
/// Convolutions and linear layers get integer weights; sums, pooling, concatenation and changes of
/// shape between them stay on bytes; everything else stays float behind DequantizeLinear and is
/// listed in the report. The output of a last linear layer is float.
///
/// # Errors
/// Where the configuration is out of range or names an unknown node, the calibration is of another
/// graph, or weights are not finite.
pub fn quantize(
    graph: &Graph,
    calibration: &Calibration,
    config: &QuantizeConfig,
) -> Result<Quantized> {
    config.check()?;
    let float = prepare(graph)?;
    check_names(graph, config.exclude.iter().chain(&config.int4))?;
    Scheme::new(&float, calibration, config)?.build(&Learning::new())
}

/// Fails for a name of a node that neither `graph` nor its prepared form has. A node that
/// preparation folded away needs no exclusion.
pub fn check_names<'a>(graph: &Graph, names: impl Iterator<Item = &'a String>) -> Result<()> {
    let mut names = names.peekable();
    if names.peek().is_none() {
        return Ok(());
    }
    let prepared = prepare(graph)?;
    let nodes = || graph.nodes.iter().chain(&prepared.nodes).map(|node| node.name.as_str());
    for name in names {
        if nodes().any(|node| node == name) {
            continue;
        }
        let near = nodes().find(|n| n.contains(name.as_str()) || name.contains(n));
        let hint = near.map_or(String::new(), |n| format!("; did you mean '{n}'?"));
        return Err(CompressError::UnknownNode { name: name.clone(), hint });
    }
    Ok(())
}
