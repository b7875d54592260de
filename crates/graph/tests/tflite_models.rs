//! Public quantised TensorFlow Lite models against LiteRT's reference kernels, one operator at a
//! time: each is fed the integers that LiteRT computed before it, so that differences do not add
//! up.
//!
//! LiteRT's reference kernels round twice: the product with a 31-bit multiplier to an integer with
//! `s` further bits, then those bits away, halves up. A value up to `2^-(s+1)` below a half is
//! rounded up by that, for small `s` (multipliers near one) several of a hundred; the graph rounds
//! once. Sums of two tensors, pools and softmax are equal throughout.

use edgecut_graph::interpret::run;
use edgecut_graph::rng::Rng;
use edgecut_graph::{Graph, Tensor, tflite};
use edgecut_testkit::{LiteRt, integer_steps, shared_data};

fn random_image(graph: &Graph) -> Tensor {
    let shape = graph.value(graph.inputs[0]).shape.with_symbols(1);
    let mut rng = Rng::new(5);
    let bytes: Vec<u8> = (0..shape.iter().product()).map(|_| rng.below(256) as u8).collect();
    Tensor::new(shape, bytes).unwrap()
}

fn check(file: &str, quantised: usize) {
    let Some(path) = shared_data(&format!("models/{file}")) else { return };
    let bytes = std::fs::read(&path).unwrap();
    let graph = tflite::from_bytes(file, &bytes).unwrap();
    assert_eq!(graph.metadata["edgecut.source_layout"], "NHWC");
    let Some(litert) = LiteRt::find() else { return };
    let x = vec![random_image(&graph)];
    let reference = litert.tensors(&bytes, &x).unwrap();
    let outcome = integer_steps(&graph, &x, &reference);
    let whole = run(&graph, &x).unwrap()[0].to_i64().unwrap();
    let expected = reference[&graph.value(graph.outputs[0]).name].to_i64().unwrap();
    let drift = whole.iter().zip(&expected).map(|(a, b)| (a - b).abs()).max();
    println!("{file}: {outcome:?}, whole net differs by at most {drift:?}");
    assert_eq!(outcome.tensors, quantised, "{file}");
    assert!(outcome.largest <= 1, "{file}: {outcome:?}");
    assert!(outcome.different * 25 < outcome.elements, "{file}: {outcome:?}");
}

#[test]
fn mobilenet_v1_has_the_integers_of_litert() {
    check("mobilenet_v1_0.25_224_quant.tflite", 31);
}

#[test]
fn mobilenet_v1_of_192_pixels_has_the_integers_of_litert() {
    check("mobilenet_v1_0.75_192_quant.tflite", 31);
}

#[test]
fn mobilenet_v2_has_the_integers_of_litert() {
    check("mobilenet_v2_1.0_224_quant.tflite", 66);
}
