//! All decisions about one quantised graph: what becomes integers, with which scales.

use std::collections::BTreeMap;

use edgecut_graph::{Graph, Node, ValueId};

use crate::emit::Emitter;
use crate::params::Params;
use crate::placement::{Ranges, Role, Roles, is_weighted};
use crate::weights::{self, Learned};
use crate::{
    ActivationReport, Activations, Calibration, CompressError, LayerReport, QuantizeConfig,
    QuantizeReport, Quantized, Range, Result, SkippedNode, weight_bytes,
};

/// Learned codes by the name of their layer.
pub(crate) type Learning = BTreeMap<String, Learned>;

/// The decisions for a prepared graph.
pub(crate) struct Scheme<'a> {
    pub float: &'a Graph,
    pub config: &'a QuantizeConfig,
    calibration: &'a Calibration,
    roles: Roles,
    /// By group of values.
    ranges: BTreeMap<usize, Range>,
    params: BTreeMap<usize, Params>,
}

impl<'a> Scheme<'a> {
    /// Decides for `float`, which is prepared, with the ranges that `calibration` saw on it.
    pub fn new(
        float: &'a Graph,
        calibration: &'a Calibration,
        config: &'a QuantizeConfig,
    ) -> Result<Scheme<'a>> {
        let range = |id: ValueId| {
            let name = &float.value(id).name;
            let method = config.methods.get(name).copied().unwrap_or(config.method);
            Some(method.range(calibration.histogram(name)?))
        };
        let roles = Roles::of(float, config.placement, &config.exclude, &range)?;
        let ranges = group_ranges(float, &roles, &range)?;
        let params = ranges.iter().map(|(&group, &range)| (group, Params::for_range(range)));
        let params = params.collect();
        Ok(Scheme { float, config, calibration, roles, ranges, params })
    }

    /// Layers with integer weights, in order of computation.
    pub fn layers(&self) -> Vec<&'a Node> {
        let nodes = self.float.nodes.iter().zip(&self.roles.roles);
        nodes.filter(|(_, role)| **role == Role::Weighted).map(|(node, _)| node).collect()
    }

    /// Scale and zero point of what `layer` reads.
    pub fn input_params(&self, layer: &Node) -> Result<Params> {
        let group = self.roles.group(layer.input(0)?);
        let params = self.params.get(&group).copied();
        Ok(params.unwrap_or(Params { scale: 1.0, zero_point: 0 }))
    }

    /// Values that decide scales, by name: what [`QuantizeConfig::methods`] may name.
    pub fn deciding(&self) -> Vec<String> {
        let computed = self.float.nodes.iter().map(|node| node.output());
        let values = self.float.inputs.iter().copied().chain(computed);
        let deciding = values.filter(|&id| self.roles.decides(id));
        deciding.map(|id| self.float.value(id).name.clone()).collect()
    }

    /// The quantised graph; layers in `learning` take their codes from there.
    pub fn build(&self, learning: &Learning) -> Result<Quantized> {
        let mut emitter = Emitter::new(self.float, &self.roles, &self.params);
        let (mut layers, mut skipped) = (vec![], vec![]);
        for (index, node) in self.float.nodes.iter().enumerate() {
            let role = &self.roles.roles[index];
            if self.config.activations == Activations::Float {
                self.weights_only(node, role, learning, &mut emitter, &mut layers)?;
                continue;
            }
            let chain: Vec<&Node> =
                self.roles.chain[index].iter().map(|&i| &self.float.nodes[i]).collect();
            match role {
                Role::Weighted => {
                    let quantised = self.layer(node, learning, &mut layers)?;
                    emitter.weighted_node(node, &chain, quantised)?;
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
            method: self.config.method,
            calibration_images: self.calibration.images(),
            activations: self.activations(),
            layers,
            skipped,
            float_bytes: weight_bytes(self.float),
            int8_bytes: weight_bytes(&quantised),
        };
        Ok(Quantized { graph: quantised, report })
    }

    fn weights_only(
        &self,
        node: &Node,
        role: &Role,
        learning: &Learning,
        emitter: &mut Emitter,
        layers: &mut Vec<LayerReport>,
    ) -> Result<()> {
        let keeps = self.config.exclude.contains(&node.name) || *role != Role::Weighted;
        if keeps || !is_weighted(&node.op) {
            return emitter.float_node(node);
        }
        let quantised = self.layer(node, learning, layers)?;
        emitter.weights_only_node(node, quantised)
    }

    fn layer(
        &self,
        node: &Node,
        learning: &Learning,
        layers: &mut Vec<LayerReport>,
    ) -> Result<weights::LayerWeights> {
        let scheme = self.config.weight_scheme(&node.name);
        let x_scale = self.input_params(node)?.scale;
        let learned = learning.get(&node.name);
        let weights = weights::quantise(self.float, node, x_scale, scheme, learned)?;
        layers.push(LayerReport {
            node: node.name.clone(),
            op: node.op.name(),
            channels: weights.scales.len(),
            bits: if scheme.int4 { 4 } else { 8 },
            zero_channels: weights.zero_channels,
            weight_sqnr_db: weights.sqnr_db,
            output_sqnr_db: None,
        });
        Ok(weights)
    }

    fn activations(&self) -> Vec<ActivationReport> {
        if self.config.activations == Activations::Float {
            return vec![];
        }
        let computed = self.float.nodes.iter().map(|node| node.output());
        let values = self.float.inputs.iter().copied().chain(computed);
        let report = |id: ValueId| {
            let group = self.roles.group(id);
            let (range, params) = (self.ranges[&group], self.params[&group]);
            let name = &self.float.value(id).name;
            let (low, high) = params.reach();
            let saturated = self.calibration.histogram(name).map_or(0.0, |h| h.beyond(low, high));
            ActivationReport {
                value: name.clone(),
                low: range.low,
                high: range.high,
                scale: params.scale,
                zero_point: params.zero_point,
                saturated,
            }
        };
        values.filter(|&id| self.roles.decides(id)).map(report).collect()
    }
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
