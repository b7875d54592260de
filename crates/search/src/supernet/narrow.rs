//! Weights as few bits as a network will have on the device.

use edgecut_graph::Graph;
use edgecut_train::params::Params;

/// Largest code of a 4-bit weight; symmetric, so -8 is not used.
const LARGEST: f32 = 7.0;

/// Shares of a channel's largest weight that become the largest code: cutting off outliers leaves finer
/// steps to the others.
const SHARES: [f32; 6] = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5];

/// Rounds the weights of the nodes named `four_bit` to 4 bits, each output channel with the scale of
/// least square error. A BatchNorm behind a convolution scales whole channels and changes nothing of it.
pub(super) fn narrow(graph: &Graph, params: &mut Params, four_bit: &[String]) {
    for node in graph.nodes.iter().filter(|node| four_bit.contains(&node.name)) {
        let Some(weight) = node.inputs.get(1).copied().flatten() else { continue };
        let Some(channels) = graph.constant(weight).and_then(|w| w.shape().first().copied()) else {
            continue;
        };
        // Several where nodes share it.
        for places in params.positions(&graph.value(weight).name) {
            for channel in places.chunks(places.len().div_ceil(channels.max(1)).max(1)) {
                let values: Vec<f32> =
                    channel.iter().map(|&at| params.values[at as usize]).collect();
                let rounded = rounded(&values);
                channel.iter().zip(rounded).for_each(|(&at, w)| params.values[at as usize] = w);
            }
        }
    }
}

/// `values` as multiples of one scale.
fn rounded(values: &[f32]) -> Vec<f32> {
    let largest = values.iter().fold(0.0f32, |most, v| most.max(v.abs()));
    if largest == 0.0 {
        return values.to_vec();
    }
    let with = |share: f32| -> Vec<f32> {
        let scale = largest * share / LARGEST;
        values
            .iter()
            .map(|v| (v / scale).round_ties_even().clamp(-LARGEST, LARGEST) * scale)
            .collect()
    };
    let error = |rounded: &Vec<f32>| -> f64 {
        rounded.iter().zip(values).map(|(r, v)| f64::from(r - v).powi(2)).sum()
    };
    let all = SHARES.map(with);
    let [first, others @ ..] = &all;
    let best =
        others.iter().fold(first, |best, own| if error(own) < error(best) { own } else { best });
    best.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_become_fifteen_levels() {
        let values: Vec<f32> = (0..64).map(|i| (i as f32 * 0.37).sin()).collect();
        let found = rounded(&values);
        let mut levels: Vec<i32> = found.iter().map(|v| (v * 1e6) as i32).collect();
        levels.sort_unstable();
        levels.dedup();
        assert!(levels.len() <= 15, "{levels:?}");
        // Half a step of the coarsest scale.
        assert!(found.iter().zip(&values).all(|(a, b)| (a - b).abs() <= 0.5 / 7.0 + 1e-6));
        // An outlier is cut off where that costs less than it gains.
        let mut heavy = vec![0.1f32; 200];
        heavy.iter_mut().enumerate().for_each(|(i, v)| *v *= (i as f32 * 0.9).sin());
        heavy[0] = 0.2;
        assert!(rounded(&heavy)[0] < 0.2);
        assert_eq!(rounded(&[0.0, 0.0]), [0.0, 0.0]);
    }
}
