//! Quantised networks as TensorFlow Lite files: the same integers when read again, and in LiteRT.

use std::sync::Arc;

use edgecut_compress::{Placement, QuantizeConfig, calibrate, quantize};
use edgecut_graph::interpret::run;
use edgecut_graph::tflite::{from_bytes, to_bytes};
use edgecut_graph::{Graph, Tensor};
use edgecut_kernels::Pool;
use edgecut_testkit::{
    Kernels, LiteRt, assert_close, integer_steps, random_graph, random_inputs,
    randomise_statistics, relative_error,
};

/// As other runtimes need it to compute in integers.
fn every_operator() -> QuantizeConfig {
    QuantizeConfig { placement: Placement::EveryOperator, ..QuantizeConfig::default() }
}

fn quantised(graph: &Graph, seed: u64) -> Graph {
    let images: Vec<Tensor> =
        (0..6).flat_map(|i| random_inputs(graph, 2, seed * 1000 + i)).collect();
    let calibration = calibrate(graph, images, &Arc::new(Pool::new(1))).unwrap();
    quantize(graph, &calibration, &every_operator()).unwrap().graph
}

/// The file computes what the graph does, bit for bit as it is read again, and within a step of
/// the last bit in LiteRT, operator by operator. Returns how many integer tensors were compared.
fn check(graph: &Graph, seed: u64, litert: Option<&LiteRt>) -> usize {
    let int8 = quantised(graph, seed);
    let context = format!("{}, seed {seed}", graph.name);
    let bytes = to_bytes(&int8).unwrap_or_else(|e| panic!("{context}: {e}"));
    assert!(bytes == to_bytes(&int8).unwrap());
    let again = from_bytes("again", &bytes).unwrap_or_else(|e| panic!("{context}: {e}"));
    let inputs = random_inputs(graph, 2, seed);
    let own = run(&int8, &inputs).unwrap();
    let read = run(&again, &inputs).unwrap();
    // An average over unusual padding is two operators in the file, which round twice in float.
    let spelled = again.nodes.len() > int8.nodes.len();
    assert!(own == read || spelled, "{context}");
    read.iter().zip(&own).for_each(|(a, b)| assert_close(a, b, 1e-6, &context));
    let Some(litert) = litert else { return 0 };
    let reference = litert.tensors(&bytes, &inputs).unwrap_or_else(|e| panic!("{context}: {e}"));
    let steps = integer_steps(&again, &inputs, &reference);
    println!("{context}: {steps:?}");
    assert!(steps.largest <= 1, "{context}: {steps:?}");
    let fast = litert.run(Kernels::Default, &bytes, &inputs).unwrap();
    for (a, b) in fast.iter().zip(&own) {
        // Other kernels round halves differently; differences add up over the layers.
        let error = relative_error(a, b);
        assert!(error < 0.05, "{context}: {error}");
    }
    steps.tensors
}

#[test]
fn generated_networks() {
    let litert = LiteRt::find();
    let compared: usize =
        (0..20).map(|seed| check(&random_graph(seed), seed, litert.as_ref())).sum();
    assert!(litert.is_none() || compared > 60, "{compared}");
}

#[test]
fn mobilenet_v2() {
    let options = edgecut_zoo::Options::default();
    let mut graph = edgecut_zoo::build("mobilenet-v2-s28", &options).unwrap();
    randomise_statistics(&mut graph, 3);
    let litert = LiteRt::find();
    let compared = check(&graph, 3, litert.as_ref());
    assert!(litert.is_none() || compared > 30, "{compared}");
}

/// One network of each family of the zoo, small: float as it is, and quantised.
#[test]
fn families_of_the_zoo() {
    let litert = LiteRt::find();
    let mut wrong = vec![];
    for name in [
        "mobilenet-v1",
        "mobilenet-v3-small",
        "shufflenet-v1-g3",
        "shufflenet-v2-0.5",
        "squeezenet-1.1",
        "efficientnet-lite0",
        "resnet-8",
        "ds-cnn-s",
    ] {
        let small =
            edgecut_zoo::Options { resolution: Some(64), classes: Some(10), ..Default::default() };
        let own = edgecut_zoo::Options::default();
        let built = edgecut_zoo::build(name, &small).or_else(|_| edgecut_zoo::build(name, &own));
        let mut graph = built.unwrap();
        randomise_statistics(&mut graph, 4);
        let bytes = to_bytes(&graph).unwrap_or_else(|e| panic!("{name}: {e}"));
        let inputs = random_inputs(&graph, 1, 4);
        let truth = run(&graph, &inputs).unwrap();
        let again = from_bytes("again", &bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        let read = run(&again, &inputs).unwrap();
        assert_close(&read[0], &truth[0], 1e-5, name);
        if let Some(litert) = &litert {
            let theirs = litert.run(Kernels::Default, &bytes, &inputs).unwrap();
            let error = relative_error(&theirs[0], &truth[0]);
            if error > 1e-4 {
                wrong.push(format!("{name}: {error}"));
            }
        }
        check(&graph, 4, litert.as_ref());
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}
