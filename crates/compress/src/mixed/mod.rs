//! Widths chosen layer by layer, so that a limit on size or on lost accuracy is met.
//!
//! How much each layer loses is measured: the noise at the graph's outputs when it alone is
//! quantised. Noises of different layers are independent, so they add. Under a limit on size the
//! widths of least sum are found exactly ([`choose`]), and so they are under a limit on latency
//! ([`latency`]); a limit on accuracy alone is met with as few float layers as it takes, the most
//! sensitive first, and the result itself is measured, not the sum.

mod choose;
pub(crate) mod latency;

use edgecut_graph::Graph;
use serde::Serialize;

use crate::layers::QuantLayer;
use crate::probe::Probe;
use crate::recipe::{Built, Stage};
use crate::scheme::{Learning, Scheme};
use crate::score::Truth;
use crate::weights::FloatLayer;
use crate::{Quantized, Recipe, Result, weight_bytes};
use choose::{Choice, choose};

/// What the result must be.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Images whose most likely class may differ from that of the float graph, percent.
    pub max_drop: Option<f64>,
    /// Bytes of all constants.
    pub max_bytes: Option<usize>,
    /// Milliseconds of a run on one image, measured on this machine.
    pub max_latency_ms: Option<f64>,
}

impl Limits {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Limits::default()
    }
}

/// How the limits were met.
#[derive(Clone, Debug, Serialize)]
pub struct Mixed {
    /// Layers by sensitivity, the most sensitive first.
    pub layers: Vec<Sensitivity>,
    /// Percent of images with another most likely class than float; none without classes.
    pub drop: Option<f64>,
    /// Bytes of all constants.
    pub bytes: usize,
    /// Milliseconds of a run, measured, where there is a limit on it.
    pub latency_ms: Option<f64>,
    /// Whether every limit is met.
    pub met: bool,
}

/// What a layer loses when it alone is quantised.
#[derive(Clone, Debug, Serialize)]
pub struct Sensitivity {
    /// Name of the layer.
    pub node: String,
    /// Number of its weights.
    pub weights: usize,
    /// Signal to noise of the outputs in decibels with 8-bit weights.
    pub int8_db: f64,
    /// With 4-bit weights; none where it was not asked for.
    pub int4_db: Option<f64>,
    /// Microseconds that it takes in float, measured where there is a limit on latency.
    pub float_us: Option<f64>,
    /// With the weights that all layers have.
    pub int8_us: Option<f64>,
    /// With 4-bit weights.
    pub int4_us: Option<f64>,
    /// Width of the result: 32 (float), 8 or 4 bits.
    pub bits: u8,
    /// Why.
    pub reason: String,
}

/// What is measured with.
pub(crate) struct Judge<'a> {
    pub stage: &'a Stage,
    pub truth: &'a Truth,
    pub probe: Probe<'a>,
}

/// Outcome of [`meet`].
pub(crate) struct Met {
    pub recipe: Recipe,
    pub quantized: Quantized,
    pub mixed: Mixed,
}

impl Judge<'_> {
    /// Measures every layer of `recipe`, the most sensitive first.
    pub fn sensitivity(&self, recipe: &Recipe, int4: bool) -> Result<Vec<Sensitivity>> {
        let graph = &self.stage.graph;
        let scheme = Scheme::new(graph, &self.stage.calibration, &recipe.config)?;
        let layers = scheme.layers();
        let names: Vec<&String> = layers.iter().map(|node| &node.name).collect();
        let mut found = vec![];
        for node in &layers {
            (self.probe.control.say)(&format!("sensitivity of '{}'", node.name));
            let alone = |four: bool| -> Result<f64> {
                let mut config = recipe.config.clone();
                let others = names.iter().filter(|name| **name != &node.name);
                config.exclude.extend(others.map(|name| name.to_string()));
                config.int4 = if four { vec![node.name.clone()] } else { vec![] };
                let scheme = Scheme::new(graph, &self.stage.calibration, &config)?;
                let quantized = scheme.build(&Learning::new())?;
                Ok(self.truth.score(&quantized.graph, self.probe)?.sqnr_db)
            };
            found.push(Sensitivity {
                node: node.name.clone(),
                weights: FloatLayer::of(graph, node)?.weight.len(),
                int8_db: alone(false)?,
                int4_db: if int4 { Some(alone(true)?) } else { None },
                float_us: None,
                int8_us: None,
                int4_us: None,
                bits: if recipe.config.weight_scheme(&node.name).int4 { 4 } else { 8 },
                reason: String::new(),
            });
        }
        found.sort_by(|a, b| a.int8_db.total_cmp(&b.int8_db));
        Ok(found)
    }

    /// Percent of images with another most likely class than float.
    fn drop(&self, graph: &Graph) -> Result<Option<f64>> {
        let score = self.truth.score(graph, self.probe)?;
        Ok(score.agreement.map(|share| 100.0 * (1.0 - share)))
    }

    /// The quantised graph of `built` with the layers `float` of it left float, with their own
    /// biases.
    pub fn with_float(
        &self,
        recipe: &Recipe,
        built: &Built,
        float: &[String],
    ) -> Result<(Recipe, Quantized)> {
        let mut recipe = recipe.clone();
        recipe.config.exclude.extend(float.iter().cloned());
        let mut graph = built.float.clone();
        for name in float {
            restore_bias(&mut graph, &self.stage.graph, name);
        }
        let scheme = Scheme::new(&graph, &self.stage.calibration, &recipe.config)?;
        let quantized = scheme.build(&built.learning)?;
        Ok((recipe, quantized))
    }
}

/// Names of layers that become 4-bit so that all constants fit `max_bytes`, with the least noise;
/// `None` where even 4 bits everywhere do not fit. `other` is what does not depend on widths.
pub(crate) fn narrow(
    layers: &[Sensitivity],
    other: usize,
    max_bytes: usize,
) -> Option<Vec<String>> {
    let noise = |db: f64| 10f64.powf(-db / 10.0);
    let choices: Vec<Vec<Choice>> = layers
        .iter()
        .map(|layer| {
            let eight = Choice { cost: layer.weights as u64, loss: noise(layer.int8_db) };
            let four = layer
                .int4_db
                .map(|db| Choice { cost: (layer.weights as u64).div_ceil(2), loss: noise(db) });
            std::iter::once(eight).chain(four).collect()
        })
        .collect();
    let chosen = choose(&choices, max_bytes.checked_sub(other)? as u64)?;
    let narrow = layers.iter().zip(chosen).filter(|(_, choice)| *choice == 1);
    Some(narrow.map(|(layer, _)| layer.node.clone()).collect())
}

/// Leaves as few layers of `built` float as it takes to lose at most `max_drop`, the most sensitive
/// first.
pub(crate) fn meet(
    judge: &Judge,
    recipe: &Recipe,
    built: &Built,
    mut layers: Vec<Sensitivity>,
    limits: Limits,
) -> Result<Met> {
    let measure = |count: usize| -> Result<(Recipe, Quantized, Option<f64>)> {
        let names: Vec<String> = layers[..count].iter().map(|l| l.node.clone()).collect();
        let (recipe, quantized) = judge.with_float(recipe, built, &names)?;
        let drop = judge.drop(&quantized.graph)?;
        Ok((recipe, quantized, drop))
    };
    let mut best = (0, measure(0)?);
    let before = best.1.2;
    let max_drop = limits.max_drop.unwrap_or(f64::INFINITY);
    let fits = |found: &(Recipe, Quantized, Option<f64>)| found.2.is_none_or(|d| d <= max_drop);
    if !fits(&best.1) {
        // The least count that fits, taking it that more float layers never lose more.
        let (mut low, mut high) = (0, layers.len());
        best = (high, measure(high)?);
        while high - low > 1 && fits(&best.1) {
            let middle = low.midpoint(high);
            let found = measure(middle)?;
            if fits(&found) {
                high = middle;
                best = (middle, found);
            } else {
                low = middle;
            }
        }
    }
    let (count, (recipe, quantized, drop)) = best;
    for (index, layer) in layers.iter_mut().enumerate() {
        let alone = format!("{:.1} dB when quantised alone", layer.int8_db);
        layer.reason = match (index < count, layer.bits, before) {
            (true, _, Some(before)) => format!(
                "{alone}: with it and all less sensitive ones in integers {before:.2} % of answers changed"
            ),
            (_, 4, _) => {
                let four = layer.int4_db.unwrap_or(f64::NAN);
                format!("4 bits cost little here ({four:.1} dB) for the bytes that they save")
            }
            _ => alone,
        };
        if index < count {
            layer.bits = 32;
        }
    }
    let bytes = packed_bytes(&quantized);
    let met = drop.is_none_or(|d| d <= max_drop) && limits.max_bytes.is_none_or(|m| bytes <= m);
    Ok(Met { recipe, quantized, mixed: Mixed { layers, drop, bytes, latency_ms: None, met } })
}

/// Bytes of all constants, 4-bit weights two a byte.
pub(crate) fn packed_bytes(quantized: &Quantized) -> usize {
    let four = quantized.report.layers.iter().filter(|layer| layer.bits == 4);
    let saved = |name: &String| {
        let layer = QuantLayer::find(&quantized.graph, name).ok();
        layer.map_or(0, |l| {
            quantized.graph.value(l.codes).shape.with_symbols(1).iter().product::<usize>() / 2
        })
    };
    weight_bytes(&quantized.graph).total() - four.map(|layer| saved(&layer.node)).sum::<usize>()
}

fn restore_bias(graph: &mut Graph, original: &Graph, name: &str) {
    let bias = |graph: &Graph| {
        let node = graph.nodes.iter().find(|node| node.name == name)?;
        node.inputs.get(2).copied().flatten()
    };
    let old = bias(original).and_then(|id| original.constant(id)).cloned();
    if let (Some(id), Some(tensor)) = (bias(graph), old) {
        graph.set_constant(id, tensor);
    }
}
