//! Random networks of a space for small pictures: five stages of the blocks of lightweight networks,
//! each with its own family, width, depth, kernels, expansions, squeeze-and-excitation and activation.

use edgecut_graph::rng::Rng;
use edgecut_zoo::{Activation, Block, BlockNet, BlockStage, Family};

/// Sides of the input.
const RESOLUTIONS: [usize; 3] = [24, 28, 32];
/// Least and most channels of each stage, in steps of 8, and its stride.
const STAGES: [([usize; 2], usize); 5] =
    [([16, 24], 1), ([24, 40], 2), ([40, 64], 2), ([64, 96], 1), ([96, 160], 2)];
const DEPTHS: [usize; 3] = [1, 2, 3];
const KERNELS: [usize; 3] = [3, 5, 7];
const EXPANSIONS: [usize; 4] = [2, 3, 4, 6];
const FAMILIES: [Family; 6] = [
    Family::MobileNetV1,
    Family::MobileNetV2,
    Family::MobileNetV3,
    Family::ShuffleNetV1,
    Family::ShuffleNetV2,
    Family::Fire,
];
const ACTIVATIONS: [Activation; 3] = [Activation::Relu, Activation::Relu6, Activation::HardSwish];

/// Network `index` of the space, a function of `seed`.
pub fn subnet(seed: u64, index: usize) -> BlockNet {
    let mut rng = Rng::keyed(&[seed, index as u64]);
    let resolution = pick(&mut rng, &RESOLUTIONS);
    let activation = pick(&mut rng, &ACTIVATIONS);
    let stem = pick(&mut rng, &[8, 16]);
    let mut before = stem;
    let stages = STAGES.map(|([least, most], stride)| {
        let stage = stage(&mut rng, [least, most], stride, before);
        before = stage.channels;
        stage
    });
    BlockNet {
        name: format!("subnet-{index}"),
        input: [3, resolution, resolution],
        classes: 10,
        stem,
        stem_stride: 1,
        activation,
        stages: stages.to_vec(),
        last: Some(pick(&mut rng, &[192, 256, 320])),
    }
}

fn stage(rng: &mut Rng, [least, most]: [usize; 2], stride: usize, before: usize) -> BlockStage {
    let channels = 8 * (least / 8 + rng.below((most - least) / 8 + 1));
    let fits = |family: &Family| match family {
        // ShuffleNet's units halve the map, and V1's widen it.
        Family::ShuffleNetV1 => stride == 2 && channels > before,
        Family::ShuffleNetV2 => stride == 2,
        _ => true,
    };
    let families: Vec<Family> = FAMILIES.into_iter().filter(fits).collect();
    let family = pick(rng, &families);
    let activation = pick(rng, &ACTIVATIONS);
    let blocks = (0..pick(rng, &DEPTHS)).map(|_| Block {
        kernel: pick(rng, &KERNELS),
        expansion: pick(rng, &EXPANSIONS),
        excite: rng.below(2) == 1,
    });
    BlockStage { family, channels, stride, activation, blocks: blocks.collect() }
}

fn pick<T: Copy>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.below(choices.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_of_the_space_can_be_built() {
        for index in 0..60 {
            let net = subnet(1, index);
            net.build(0).unwrap_or_else(|e| panic!("{net:?}: {e}"));
        }
        assert_ne!(subnet(1, 0), subnet(2, 0));
    }
}
