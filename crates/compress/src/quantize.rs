//! From a float graph and its calibration to a QDQ graph.

use std::collections::BTreeMap;

use edgecut_graph::{Graph, ValueId};
use serde::{Deserialize, Serialize};

use crate::emit::Emitter;
use crate::params::Params;
use crate::placement::{Placement, Ranges, Role, Roles};
use crate::{
    ActivationReport, Calibration, CompressError, LayerReport, QuantizeReport, Range, RangeMethod,
    Result, SkippedNode, prepare, weight_bytes, weights,
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
    config.method.check()?;
    let float = prepare(graph)?;
    check_names(graph, &float, &config.exclude)?;
    let range = |id: ValueId| {
        let histogram = calibration.histogram(&float.value(id).name)?;
        Some(config.method.range(histogram))
    };
    let roles = Roles::of(&float, config.placement, &config.exclude, &range)?;
    let ranges = group_ranges(&float, &roles, &range)?;
    let params: BTreeMap<usize, Params> =
        ranges.iter().map(|(&group, &range)| (group, Params::for_range(range))).collect();
    let mut emitter = Emitter::new(&float, &roles, &params);
    let (mut layers, mut skipped) = (vec![], vec![]);
    for (index, node) in float.nodes.iter().enumerate() {
        let chain: Vec<_> = roles.chain[index].iter().map(|&i| &float.nodes[i]).collect();
        match &roles.roles[index] {
            Role::Weighted => {
                let x = emitter.params_of(node.input(0)?);
                let weights = weights::quantise(&float, node, x.scale)?;
                layers.push(LayerReport {
                    node: node.name.clone(),
                    op: node.op.name(),
                    channels: weights.scales.len(),
                    zero_channels: weights.zero_channels,
                    weight_sqnr_db: weights.sqnr_db,
                });
                emitter.weighted_node(node, &chain, weights)?;
            }
            Role::Integer | Role::SameScale => emitter.integer_node(node, &chain)?,
            // Its step takes care of it.
            Role::Absorbed => {}
            Role::Float(reason) => {
                skipped.push(SkippedNode {
                    node: node.name.clone(),
                    op: node.op.name(),
                    reason: reason.clone(),
                });
                emitter.float_node(node)?;
            }
        }
    }
    let quantised = emitter.finish()?;
    let report = QuantizeReport {
        method: config.method,
        calibration_images: calibration.images(),
        activations: activations(&float, &roles, &ranges, &params),
        layers,
        skipped,
        float_bytes: weight_bytes(&float),
        int8_bytes: weight_bytes(&quantised),
    };
    Ok(Quantized { graph: quantised, report })
}

/// The range of each group of values that share a scale: it holds the ranges of all that decide.
fn group_ranges(graph: &Graph, roles: &Roles, range: Ranges) -> Result<BTreeMap<usize, Range>> {
    let mut ranges: BTreeMap<usize, Range> = BTreeMap::new();
    for id in graph.value_ids().filter(|&id| roles.decides(id)) {
        let value = graph.value(id);
        let range = match &value.constant {
            Some(constant) => Range::of(constant.f32s()?),
            None => range(id)
                .ok_or_else(|| CompressError::Uncalibrated { value: value.name.clone() })?,
        };
        ranges
            .entry(roles.group(id))
            .and_modify(|group| *group = group.union(range))
            .or_insert(range);
    }
    Ok(ranges)
}

fn activations(
    graph: &Graph,
    roles: &Roles,
    ranges: &BTreeMap<usize, Range>,
    params: &BTreeMap<usize, Params>,
) -> Vec<ActivationReport> {
    let computed = graph.nodes.iter().map(|node| node.output());
    let decided = graph.inputs.iter().copied().chain(computed).filter(|&id| roles.decides(id));
    let report = |id: ValueId| {
        let (range, params) = (ranges[&roles.group(id)], params[&roles.group(id)]);
        ActivationReport {
            value: graph.value(id).name.clone(),
            low: range.low,
            high: range.high,
            scale: params.scale,
            zero_point: params.zero_point,
        }
    };
    decided.map(report).collect()
}

/// Fails for a name that neither the given graph nor its prepared form has. A node that
/// preparation folded away needs no exclusion.
fn check_names(given: &Graph, prepared: &Graph, names: &[String]) -> Result<()> {
    let nodes = || given.nodes.iter().chain(&prepared.nodes).map(|node| node.name.as_str());
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
