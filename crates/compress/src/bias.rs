//! Bias correction: the mean of each channel of a layer's result is what it was in float.
//!
//! Rounding and clipping do not average out over a few weights, so that quantised layers are off by
//! a constant in each channel, which moves all that follows. The mean shift is measured on images
//! and subtracted from the bias (Nagel et al. 2019, section 4.2). Fast: all layers in one pass, each
//! beside its float twin on the float input, so that only its own error counts. Full: layer by
//! layer in order, with all before quantised and corrected, so that what they pass on counts too.

use std::collections::BTreeMap;

use edgecut_graph::{Graph, Node, Op, Reduction, ValueId};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::layers::{QuantLayer, shift_float_bias};
use crate::probe::Probe;
use crate::scheme::{Learning, Scheme};
use crate::twin::Twin;

/// How biases are corrected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BiasCorrection {
    /// Not at all.
    #[default]
    None,
    /// Each layer by its own error, all in one pass.
    Fast,
    /// Layer by layer, with those before quantised and corrected.
    Full,
}

/// Mean over images and pixels of channels, by layer name.
pub(crate) type Means = BTreeMap<String, Vec<f32>>;

/// The prepared graph of `scheme` with corrected biases. `truth` is the float graph, whose means
/// are the goal: biases of `scheme` may have been changed before, along with codes of `learning`.
pub(crate) fn correct(
    scheme: &Scheme,
    learning: &Learning,
    truth: &Graph,
    how: BiasCorrection,
    probe: Probe,
) -> Result<Graph> {
    let shifts = match how {
        BiasCorrection::None => Means::new(),
        BiasCorrection::Fast => fast(scheme, learning, truth, probe)?,
        BiasCorrection::Full => full(scheme, learning, truth, probe)?,
    };
    let mut corrected = scheme.float.clone();
    for (layer, shift) in &shifts {
        shift_float_bias(&mut corrected, layer, shift)?;
    }
    Ok(corrected)
}

/// Learned layers are left as they are: their biases make up for all before them already, which
/// does not show on float inputs.
fn fast(scheme: &Scheme, learning: &Learning, truth: &Graph, probe: Probe) -> Result<Means> {
    let mut twin = Twin::of(scheme, learning, truth)?;
    twin.layers.retain(|layer| !learning.contains_key(&layer.name));
    if twin.layers.is_empty() {
        return Ok(Means::new());
    }
    let names: Vec<String> = twin.layers.iter().map(|layer| layer.name.clone()).collect();
    let mut values = vec![];
    for index in 0..names.len() {
        let error = twin.layers[index].error;
        values.push(add_mean(&mut twin.graph, error)?);
    }
    let mut shifts = means(&twin.graph, &values, &names, probe)?;
    shifts.values_mut().flatten().for_each(|shift| *shift = -*shift);
    Ok(shifts)
}

fn full(scheme: &Scheme, learning: &Learning, truth: &Graph, probe: Probe) -> Result<Means> {
    let layers = scheme.layers();
    let names: Vec<String> = layers.iter().map(|node| node.name.clone()).collect();
    let mut float = truth.clone();
    let mut values = vec![];
    for node in &layers {
        values.push(add_mean(&mut float, node.output())?);
    }
    let truth = means(&float, &values, &names, probe)?;
    let mut quantised = scheme.build(learning)?.graph;
    let mut shifts = Means::new();
    for name in &names {
        let layer = QuantLayer::find(&quantised, name)?;
        let mut measured = quantised.clone();
        let mean = add_mean(&mut measured, layer.y)?;
        let found = means(&measured, &[mean], std::slice::from_ref(name), probe)?;
        let pairs = truth[name].iter().zip(&found[name]);
        let shift: Vec<f32> = pairs.map(|(truth, found)| truth - found).collect();
        layer.shift_bias(&mut quantised, &shift)?;
        shifts.insert(name.clone(), shift);
    }
    Ok(shifts)
}

/// Appends the mean over all but batch and channels of `value`: `[n, c]`.
pub(crate) fn add_mean(graph: &mut Graph, value: ValueId) -> Result<ValueId> {
    let rank = graph.value(value).shape.rank();
    if rank <= 2 {
        return Ok(value);
    }
    let op = Op::Reduce { kind: Reduction::Mean, axes: (2..rank).collect(), keep_dims: false };
    let name = unique_node(graph, "mean");
    Ok(graph.add_node(name, op, &[Some(value)])?)
}

/// A node name that is not in use.
pub(crate) fn unique_node(graph: &Graph, stem: &str) -> String {
    let taken = |name: &str| graph.nodes.iter().any(|node: &Node| node.name == name);
    (0..).map(|i| format!("{stem}.{i}")).find(|name| !taken(name)).expect("endless range")
}

/// Means over the images of `values`, which are `[n, c]`.
fn means(graph: &Graph, values: &[ValueId], names: &[String], probe: Probe) -> Result<Means> {
    let mut sums = vec![vec![]; values.len()];
    probe.run(graph, values, &mut |_, position, elements| {
        let sum: &mut Vec<f64> = &mut sums[position];
        sum.resize(elements.len(), 0.0);
        sum.iter_mut().zip(elements).for_each(|(sum, &v)| *sum += f64::from(v));
        Ok(())
    })?;
    let count = probe.images.len().max(1) as f64;
    let mean = |sum: Vec<f64>| sum.iter().map(|s| (s / count) as f32).collect();
    Ok(names.iter().cloned().zip(sums.into_iter().map(mean)).collect())
}
