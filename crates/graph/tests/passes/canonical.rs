//! All passes together.

use std::collections::BTreeSet;

use edgecut_graph::{Builder, Graph, Op, Tensor, Unary, ValueId, Window, onnx, passes};
use edgecut_testkit::{random_graph, randomise_statistics, shared_data};
use proptest::prelude::*;

use crate::{assert_same, ops};

/// The canonical form, after checking that it is settled and computes the same.
pub fn canonical(graph: &Graph, tolerance: f64) -> Graph {
    let mut rewritten = graph.clone();
    let applied = passes::canonicalise(&mut rewritten).unwrap();
    assert_same(graph, &rewritten, tolerance);
    assert_eq!(passes::canonicalise(&mut rewritten.clone()).unwrap(), [], "{}", graph.name);
    let last = applied.last().map_or(graph.nodes.len(), |a| a.nodes_after);
    assert_eq!(last, rewritten.nodes.len());
    rewritten
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn random_networks_keep_their_function(seed: u64) {
        canonical(&random_graph(seed), 1e-5);
    }

    /// Each pass alone, in any order.
    #[test]
    fn each_pass_keeps_the_function(seed: u64) {
        let graph = random_graph(seed);
        for pass in passes::all() {
            let mut rewritten = graph.clone();
            (pass.run)(&mut rewritten).unwrap();
            assert_same(&graph, &rewritten, 1e-5);
        }
    }

    #[test]
    fn simplify_leaves_weights_alone(seed: u64) {
        let graph = random_graph(seed);
        let mut simple = graph.clone();
        passes::simplify(&mut simple).unwrap();
        assert_same(&graph, &simple, 1e-6);
        for id in simple.value_ids() {
            let Some(tensor) = simple.constant(id) else { continue };
            let old = graph.find_value(&simple.value(id).name).unwrap();
            prop_assert_eq!(graph.constant(old), Some(tensor));
        }
    }
}

#[test]
fn passes_have_names_and_summaries_of_their_own() {
    let names: BTreeSet<&str> = passes::all().iter().map(|p| p.name).collect();
    let summaries: BTreeSet<&str> = passes::all().iter().map(|p| p.summary).collect();
    assert_eq!((names.len(), summaries.len()), (passes::all().len(), passes::all().len()));
}

/// A block of MobileNetV3 as PyTorch writes it before opset 14.
fn block() -> Graph {
    let mut b = Builder::new("block", 1);
    let x = b.input("x", ["n".into(), 3.into(), 8.into(), 8.into()]);
    let x = b.conv(x, "conv", 8, Window::same(3, 2), 1, false).unwrap();
    let x = b.batch_norm(x, "norm").unwrap();
    let (three, six) = (Tensor::scalar(3.0), Tensor::scalar(6.0));
    let (three, six) = (b.constant("three", three), b.constant("six", six));
    let binary = |b: &mut Builder, f, x, y: ValueId| b.apply("f", Op::Binary(f), &[x, y]).unwrap();
    let gate = |b: &mut Builder, x| {
        let y = binary(b, edgecut_graph::Binary::Add, x, three);
        let y = b.apply("clip", Op::Unary(Unary::Clip { min: 0.0, max: 6.0 }), &[y]).unwrap();
        binary(b, edgecut_graph::Binary::Div, y, six)
    };
    let g = gate(&mut b, x);
    let x = binary(&mut b, edgecut_graph::Binary::Mul, x, g);
    let s = b.global_average_pool(x).unwrap();
    let s = b.conv(s, "squeeze", 2, Window::same(1, 1), 1, true).unwrap();
    let s = b.relu(s).unwrap();
    let s = b.conv(s, "excite", 8, Window::same(1, 1), 1, true).unwrap();
    let s = gate(&mut b, s);
    let x = binary(&mut b, edgecut_graph::Binary::Mul, s, x);
    let mut graph = b.finish(&[x]).unwrap();
    randomise_statistics(&mut graph, 1);
    graph
}

#[test]
fn a_block_of_mobilenet_v3_becomes_its_paper() {
    let graph = block();
    let expected =
        ["Conv", "HardSwish", "GlobalAveragePool", "Conv", "Relu", "Conv", "HardSigmoid", "Mul"];
    assert_eq!(ops(&canonical(&graph, 1e-5)), expected);
    let mut again = graph.clone();
    let applied = passes::canonicalise(&mut again).unwrap();
    let swish = applied.iter().find(|a| a.pass == "hard_swish").unwrap();
    assert_eq!((swish.rewrites, swish.nodes.len()), (1, 1));
    assert!(applied.iter().all(|a| a.rewrites > 0 && a.nodes_after <= a.nodes_before));
}

/// Import leaves what files say; the canonical form has no node that another operator covers.
#[test]
fn stored_models_keep_their_function() {
    let Some(models) = shared_data("models") else { return };
    for name in ["resnet8_mlperf_cifar10", "resnet20_cifar10"] {
        let graph = onnx::import(&models.join(format!("{name}.onnx"))).unwrap();
        let rewritten = canonical(&graph, 1e-5);
        assert!(ops(&rewritten).iter().all(|o| *o != "BatchNormalization"), "{name}");
    }
}
