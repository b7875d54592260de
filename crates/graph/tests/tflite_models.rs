//! Public quantised TensorFlow Lite models against LiteRT's reference kernels, one operator at a
//! time: each is fed the integers that LiteRT computed before it, so that differences do not add
//! up.
//!
//! LiteRT's reference kernels round twice: the product with a 31-bit multiplier to an integer with
//! `s` further bits, then those bits away, halves up. A value up to `2^-(s+1)` below a half is
//! rounded up by that, for small `s` (multipliers near one) several of a hundred; the graph rounds
//! once. Sums of two tensors, pools and softmax are equal throughout.

use std::collections::HashMap;

use edgecut_graph::interpret::{run, run_node};
use edgecut_graph::rng::Rng;
use edgecut_graph::{DType, Graph, Tensor, tflite};
use edgecut_testkit::{Python, shared_data};

const SCRIPT: &str = include_str!("peers/litert_tensors.py");

/// Differences of one model's integers.
#[derive(Debug, Default)]
struct Outcome {
    tensors: usize,
    elements: usize,
    different: usize,
    largest: i64,
}

/// Runs `graph` with every 8-bit result replaced by the reference's once it was compared.
fn compare(graph: &Graph, x: &Tensor, reference: &HashMap<String, Tensor>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut tensors: Vec<Option<Tensor>> = vec![None; graph.values().len()];
    tensors[graph.inputs[0].index()] = Some(x.clone());
    for node in &graph.nodes {
        let args: Vec<Option<&Tensor>> =
            node.inputs.iter().map(|i| i.and_then(|id| tensors[id.index()].as_ref())).collect();
        let mut own = run_node(graph, node, &args).unwrap().remove(0);
        let value = graph.value(node.output());
        if let Some(expected) = reference.get(&value.name).filter(|_| value.dtype != DType::F32) {
            assert_eq!(own.shape(), expected.shape(), "{}", value.name);
            outcome.tensors += 1;
            for (a, b) in own.to_i64().unwrap().into_iter().zip(expected.to_i64().unwrap()) {
                outcome.elements += 1;
                outcome.different += usize::from(a != b);
                outcome.largest = outcome.largest.max((a - b).abs());
            }
            own = expected.clone();
        }
        tensors[node.output().index()] = Some(own);
    }
    outcome
}

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
    let Some(python) = Python::with(&["ai_edge_litert"]) else { return };
    let x = random_image(&graph);
    let results =
        python.run(SCRIPT, &[], &[("model", &Tensor::vector(bytes)), ("x0", &x)]).unwrap();
    let names = String::from_utf8(results["names"].u8s().unwrap().to_vec()).unwrap();
    let named =
        names.lines().enumerate().map(|(i, n)| (n.to_string(), results[&format!("t{i}")].clone()));
    let reference: HashMap<String, Tensor> = named.collect();
    let outcome = compare(&graph, &x, &reference);
    let whole = run(&graph, std::slice::from_ref(&x)).unwrap()[0].to_i64().unwrap();
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
