//! Written TensorFlow Lite files: the same function when read again, and in LiteRT.

use edgecut_graph::interpret::run;
use edgecut_graph::rng::Rng;
use edgecut_graph::tflite::{from_bytes, to_bytes};
use edgecut_graph::{Graph, Tensor};
use edgecut_testkit::{Kernels, LiteRt, assert_close, random_graph, random_inputs, shared_data};

fn random_image(graph: &Graph) -> Tensor {
    let shape = graph.value(graph.inputs[0]).shape.with_symbols(1);
    let mut rng = Rng::new(5);
    let bytes: Vec<u8> = (0..shape.iter().product()).map(|_| rng.below(256) as u8).collect();
    Tensor::new(shape, bytes).unwrap()
}

fn largest_step(a: &Tensor, b: &Tensor) -> i64 {
    assert_eq!((a.shape(), a.dtype()), (b.shape(), b.dtype()));
    let pairs = a.to_i64().unwrap().into_iter().zip(b.to_i64().unwrap());
    pairs.map(|(a, b)| (a - b).abs()).max().unwrap_or(0)
}

/// A public uint8 model survives reading and writing bit for bit, and LiteRT computes the same from
/// the original and from what was written.
fn round_trip(file: &str) {
    let Some(path) = shared_data(&format!("models/{file}")) else { return };
    let original = std::fs::read(&path).unwrap();
    let graph = from_bytes(file, &original).unwrap();
    let written = to_bytes(&graph).unwrap();
    assert_eq!(written, to_bytes(&graph).unwrap());
    let again = from_bytes("written", &written).unwrap();
    assert_eq!(again.metadata, graph.metadata);
    let x = vec![random_image(&graph)];
    assert!(run(&graph, &x).unwrap() == run(&again, &x).unwrap(), "{file}");
    let Some(litert) = LiteRt::find() else { return };
    for kernels in [Kernels::Reference, Kernels::Default] {
        let theirs = litert.run(kernels, &original, &x).unwrap();
        let ours = litert.run(kernels, &written, &x).unwrap();
        // XNNPACK takes more of the operators of one file than of the other.
        let allowed = if matches!(kernels, Kernels::Reference) { 0 } else { 4 };
        let step = largest_step(&ours[0], &theirs[0]);
        assert!(step <= allowed, "{file}, {kernels:?}: {step}");
    }
}

#[test]
fn mobilenet_v1_is_written_as_it_was_read() {
    round_trip("mobilenet_v1_0.25_224_quant.tflite");
}

#[test]
fn mobilenet_v2_is_written_as_it_was_read() {
    round_trip("mobilenet_v2_1.0_224_quant.tflite");
}

/// Float networks of every kind of layer.
#[test]
fn float_networks_agree_with_litert() {
    let litert = LiteRt::find();
    for seed in 0..24 {
        let graph = random_graph(seed);
        let written = to_bytes(&graph).unwrap_or_else(|e| panic!("{seed}: {e}"));
        let again = from_bytes("written", &written).unwrap_or_else(|e| panic!("{seed}: {e}"));
        let inputs = random_inputs(&graph, 2, seed);
        let own = run(&graph, &inputs).unwrap();
        for (a, b) in run(&again, &inputs).unwrap().iter().zip(&own) {
            assert_close(a, b, 1e-6, &format!("seed {seed}, read again"));
        }
        let Some(litert) = &litert else { continue };
        for kernels in [Kernels::Reference, Kernels::Default] {
            let theirs = litert.run(kernels, &written, &inputs).unwrap();
            for (a, b) in theirs.iter().zip(&own) {
                assert_close(a, b, 1e-5, &format!("seed {seed}, {kernels:?}"));
            }
        }
    }
}
