//! Channels that hold zeros are removed without a change to the results.

use std::sync::Arc;

use edgecut_compress::prune::Channels;
use edgecut_compress::{QuantizeConfig, RangeMethod, calibrate, quantize};
use edgecut_graph::{Graph, model};
use edgecut_kernels::Pool;
use edgecut_testkit::{max_abs_diff, random_inputs, shared_data};

use crate::common::{exact, outputs, random_plan, zeroed, zoo};

/// Removes a third of the channels, at random, from the graph in which they hold zeros, and
/// compares the results: they differ by at most `tolerance` of the largest output.
pub fn check(name: &str, graph: &Graph, tolerance: f32) {
    let channels = Channels::of(graph).unwrap();
    let plan = exact(&channels, random_plan(&channels, 0.33, 7));
    assert!(!plan.is_empty(), "{name}: nothing can be removed");
    let zeros = zeroed(&channels, &plan);
    let smaller = channels.apply(&plan).unwrap();
    let inputs = random_inputs(&zeros, 1, 3);
    for (before, after) in outputs(&zeros, &inputs).iter().zip(&outputs(&smaller, &inputs)) {
        let largest = before.to_f32().iter().fold(1f32, |m, v| m.max(v.abs()));
        let difference = max_abs_diff(before, after) / largest;
        assert!(difference <= tolerance, "{name}: {difference:e} of the largest output");
    }
}

#[test]
fn zeros_of_every_zoo_network_are_removed() {
    for (name, graph) in zoo() {
        check(name, &graph, 1e-6);
    }
}

#[test]
fn zeros_of_shared_models_are_removed() {
    let Some(folder) = shared_data("models") else { return };
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let tolerance = match path.extension().and_then(|e| e.to_str()) {
            Some("onnx") => 1e-6,
            Some("tflite") => 0.0,
            _ => continue,
        };
        check(&path.display().to_string(), &model::open(&path).unwrap(), tolerance);
    }
}

#[test]
fn zeros_of_integer_networks_are_removed_to_the_bit() {
    let small = ["mobilenet-v2-s28", "shufflenet-v2-0.5", "squeezenet-1.1", "resnet-8"];
    for (name, graph) in zoo().filter(|(name, _)| small.contains(name)) {
        let images = (0..4).flat_map(|seed| random_inputs(&graph, 1, seed)).collect::<Vec<_>>();
        let calibration = calibrate(&graph, images, &Arc::new(Pool::new(1))).unwrap();
        let config = QuantizeConfig { method: RangeMethod::MinMax, ..QuantizeConfig::default() };
        let int8 = quantize(&graph, &calibration, &config).unwrap().graph;
        check(name, &int8, 0.0);
    }
}
