//! The saturation certificate against an emulator of the 16-bit path.

use std::sync::Arc;

use edgecut_compress::certificate::{Products, certify, products, relax};
use edgecut_compress::{QuantizeConfig, calibrate, quantize};
use edgecut_graph::Graph;
use edgecut_graph::rng::Rng;
use edgecut_kernels::Pool;
use edgecut_testkit::{random_graph, random_inputs};

fn int8(seed: u64) -> Graph {
    let graph = random_graph(seed);
    let images = (0..4).flat_map(|i| random_inputs(&graph, 2, seed * 100 + i));
    let calibration = calibrate(&graph, images, &Arc::new(Pool::new(1))).unwrap();
    quantize(&graph, &calibration, &QuantizeConfig::default()).unwrap().graph
}

/// `vpmaddubsw` and `vpmaddwd` by ones: pairs are added with 16-bit saturation, their sums in 32
/// bits. With `by_tap` the channels of each tap are padded to an even number.
fn saturating(layer: &Products, channel: usize, x: &[u8], by_tap: bool) -> i32 {
    let row = &layer.rows[channel];
    let piece = if by_tap { layer.tap } else { row.len() };
    let pair = |(x, w): (&[u8], &[i8])| -> i32 {
        let products = x.iter().zip(w).map(|(&x, &w)| i32::from(x) * i32::from(w));
        products.sum::<i32>().clamp(i16::MIN.into(), i16::MAX.into())
    };
    let taps = x.chunks(piece).zip(row.chunks(piece));
    taps.flat_map(|(x, w)| x.chunks(2).zip(w.chunks(2))).map(pair).sum()
}

fn exact(layer: &Products, channel: usize, x: &[u8]) -> i32 {
    x.iter().zip(&layer.rows[channel]).map(|(&x, &w)| i32::from(x) * i32::from(w)).sum()
}

/// Bytes within the layer's range: random ones, and those that make sums as large and as small as
/// they get.
fn inputs(layer: &Products, channel: usize, rng: &mut Rng) -> Vec<Vec<u8>> {
    let (low, high) = (layer.low, layer.high);
    let row = &layer.rows[channel];
    let extreme = |sign: bool| {
        row.iter().map(|&w| if (w > 0) == sign { high } else { low }).collect::<Vec<u8>>()
    };
    let mut random = || {
        let span = usize::from(high - low) + 1;
        row.iter().map(|_| low + rng.below(span) as u8).collect::<Vec<u8>>()
    };
    let mut all: Vec<Vec<u8>> = (0..20).map(|_| random()).collect();
    all.extend([extreme(true), extreme(false), vec![high; row.len()], vec![low; row.len()]]);
    all
}

/// How many inputs of each channel come out differently, by (layer, channel).
fn differing(graph: &Graph, seed: u64) -> Vec<(usize, usize)> {
    let (mut rng, mut found) = (Rng::keyed(&[seed, 7]), vec![]);
    for (index, layer) in products(graph).iter().enumerate() {
        for channel in 0..layer.rows.len() {
            let differs = |x: &Vec<u8>, by_tap| {
                saturating(layer, channel, x, by_tap) != exact(layer, channel, x)
            };
            let inputs = inputs(layer, channel, &mut rng);
            if inputs.iter().any(|x| differs(x, false) || differs(x, true)) {
                found.push((index, channel));
            }
        }
    }
    found
}

/// Exactly the channels at risk differ: the others on no input, those on the worst one.
#[test]
fn certified_channels_never_differ_and_the_others_do() {
    let (mut risky, mut safe) = (0, 0);
    for seed in 0..120 {
        let graph = int8(seed);
        let certificate = certify(&graph);
        let at_risk: Vec<(usize, usize)> = certificate
            .layers
            .iter()
            .enumerate()
            .flat_map(|(l, layer)| layer.at_risk.iter().map(move |&c| (l, c)))
            .collect();
        assert_eq!(differing(&graph, seed), at_risk, "seed {seed}");
        risky += at_risk.len();
        safe += certificate.layers.iter().map(|l| l.channels - l.at_risk.len()).sum::<usize>();
    }
    assert!(risky > 100 && safe > 100, "{risky} at risk, {safe} certified: no test of both");
}

#[test]
fn a_relaxed_graph_is_certified_and_hardly_changed() {
    for seed in 0..60 {
        let graph = int8(seed);
        let (relaxed, changes) = relax(&graph).unwrap();
        assert!(certify(&relaxed).holds(), "seed {seed}");
        assert_eq!(differing(&relaxed, seed), [], "seed {seed}");
        assert_eq!(changes.is_empty(), certify(&graph).holds(), "seed {seed}");
        for change in &changes {
            assert!(change.weights > 0 && change.sqnr_db > 3.0, "seed {seed}: {change:?}");
        }
        let (again, none) = relax(&relaxed).unwrap();
        assert!(none.is_empty() && certify(&again).holds(), "seed {seed}");
    }
}
