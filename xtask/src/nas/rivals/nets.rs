//! Width-scaled networks of the papers for small pictures, and how long they take.

use std::sync::Arc;
use std::time::Duration;

use edgecut_device::cost::Sample;
use edgecut_device::quantised;
use edgecut_graph::Graph;
use edgecut_kernels::Pool;
use edgecut_runtime::{CompileOptions, compile};
use edgecut_zoo::{Activation, Block, BlockNet, BlockStage, Family as Blocks, Options, build};

use crate::nas::training::Built;

/// Networks of one architecture.
pub struct Family {
    pub name: &'static str,
    /// Of a width, for channels, side and classes, with a seed.
    pub build: fn(f64, [usize; 3], u64) -> Built,
    /// Share of the recipe's learning rate.
    pub rate: f64,
}

/// The rivals. ShuffleNetV2 and SqueezeNet are for large pictures in their papers; for small ones the
/// stem keeps the resolution, as is usual for the others. SqueezeNet has no BatchNorm: at the rate of the
/// others it learns nothing.
pub const FAMILIES: [Family; 4] = [
    Family { name: "mobilenet-v2", build: mobilenet_v2, rate: 1.0 },
    Family { name: "mobilenet-v3", build: mobilenet_v3, rate: 1.0 },
    Family { name: "shufflenet-v2", build: shufflenet_v2, rate: 1.0 },
    Family { name: "squeezenet", build: squeezenet, rate: 0.1 },
];

/// The family of that name.
pub fn family(name: &str) -> Result<&'static Family, String> {
    let family = FAMILIES.iter().find(|family| family.name == name);
    family.ok_or_else(|| format!("{name} is no family of rivals"))
}

/// Widths are tried in these steps.
const STEP: f64 = 0.05;
/// The widest.
const STEPS: usize = 80;

/// Time for each measurement of a network, and how often, of which the least counts.
const EACH: Duration = Duration::from_millis(60);
const ROUNDS: usize = 3;

fn zoo(name: &str, width: f64, [channels, side, classes]: [usize; 3], seed: u64) -> Built {
    let options = Options {
        width: Some(width as f32),
        resolution: Some(side),
        classes: Some(classes),
        in_channels: Some(channels),
        seed,
    };
    build(name, &options).map_err(|e| e.to_string())
}

fn mobilenet_v2(width: f64, input: [usize; 3], seed: u64) -> Built {
    zoo(if input[1] > 28 { "mobilenet-v2-s32" } else { "mobilenet-v2-s28" }, width, input, seed)
}

fn mobilenet_v3(width: f64, input: [usize; 3], seed: u64) -> Built {
    zoo("mobilenet-v3-s28", width, input, seed)
}

/// Channels and units of its three stages (Ma et al. 2018, table 5, 1x).
fn shufflenet_v2(width: f64, input: [usize; 3], seed: u64) -> Built {
    let stages = [(116.0, 4), (232.0, 8), (464.0, 4)];
    let stages = stages.map(|(channels, units)| (Blocks::ShuffleNetV2, channels, units));
    blocks("shufflenet-v2", (24.0, &stages, Some(1024.0)), width, input, seed)
}

/// Channels of its fire modules between poolings (Iandola et al. 2016, table 1).
fn squeezenet(width: f64, input: [usize; 3], seed: u64) -> Built {
    let stages = [(128.0, 2), (256.0, 2), (512.0, 4)];
    let stages = stages.map(|(channels, modules)| (Blocks::Fire, channels, modules));
    blocks("squeezenet", (64.0, &stages, None), width, input, seed)
}

/// Stem, stages and last convolution of the full width.
type Shape<'a> = (f64, &'a [(Blocks, f64, usize)], Option<f64>);

fn blocks(
    name: &str,
    (stem, stages, last): Shape,
    width: f64,
    [channels, side, classes]: [usize; 3],
    seed: u64,
) -> Built {
    let scaled = |c: f64| ((c * width / 8.0).round() as usize).max(1) * 8;
    let block = Block { kernel: 3, expansion: 1, excite: false };
    let stage = |&(family, channels, count): &(Blocks, f64, usize)| BlockStage {
        family,
        channels: scaled(channels),
        stride: 2,
        activation: Activation::Relu,
        blocks: vec![block; count],
    };
    let net = BlockNet {
        name: name.into(),
        input: [channels, side, side],
        classes,
        stem: scaled(stem),
        stem_stride: 1,
        activation: Activation::Relu,
        stages: stages.iter().map(stage).collect(),
        last: last.map(scaled),
    };
    net.build(seed).map_err(|e| e.to_string())
}

/// One thread of this machine.
pub struct Timer {
    pool: Arc<Pool>,
}

impl Default for Timer {
    fn default() -> Timer {
        Timer { pool: Arc::new(Pool::new(1)) }
    }
}

impl Timer {
    /// Least milliseconds of `float` as integers.
    pub fn int8_ms(&self, float: &Graph) -> Result<f64, String> {
        let graph = quantised(float, &self.pool).map_err(|e| e.to_string())?;
        let plan = compile(&graph, &CompileOptions::default()).map_err(|e| e.to_string())?;
        let plan = Arc::new(plan);
        let mut least = f64::INFINITY;
        for _ in 0..ROUNDS {
            let sample = Sample::measure(&plan, &self.pool, EACH).map_err(|e| e.to_string())?;
            least = least.min(sample.us / 1e3);
        }
        Ok(least)
    }

    /// The widest network of `family` within `limit` milliseconds, and its own; none where even the
    /// narrowest takes longer. Bisection: wider ones take longer, but for steps of the kernels.
    pub fn widest(
        &self,
        family: &Family,
        input: [usize; 3],
        limit: f64,
    ) -> Result<Option<(f64, f64)>, String> {
        let (mut low, mut high, mut best) = (0, STEPS + 1, None);
        while high - low > 1 {
            let middle = (low + high) / 2;
            let width = (middle as f64 * STEP * 100.0).round() / 100.0;
            let ms = self.int8_ms(&(family.build)(width, input, 0)?)?;
            match ms <= limit {
                true => (low, best) = (middle, Some((width, ms))),
                false => high = middle,
            }
        }
        Ok(best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wider_networks_have_more_parameters() {
        for family in FAMILIES {
            let parameters = |width| {
                let graph = (family.build)(width, [1, 28, 10], 0).unwrap();
                edgecut_graph::cost::cost(&graph, 1).unwrap().parameters
            };
            assert!(parameters(0.25) < parameters(1.0), "{}", family.name);
        }
    }
}
