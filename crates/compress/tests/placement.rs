//! Where the quantiser rounds to bytes, and what it leaves float.

use std::sync::Arc;

use edgecut_compress::{Placement, QuantizeConfig, Quantized, RangeMethod, calibrate, quantize};
use edgecut_graph::interpret::run;
use edgecut_graph::{Builder, Graph, Op, Tensor, ValueId, Window};
use edgecut_kernels::Pool;
use edgecut_testkit::{random_inputs, relative_error};

fn images(graph: &Graph, count: u64) -> Vec<Tensor> {
    (0..count).flat_map(|seed| random_inputs(graph, 2, seed)).collect()
}

fn quantised(graph: &Graph, placement: Placement) -> Quantized {
    let calibration = calibrate(graph, images(graph, 8), &Arc::new(Pool::new(1))).unwrap();
    let method = RangeMethod::MinMax;
    quantize(graph, &calibration, &QuantizeConfig { method, placement, ..Default::default() })
        .unwrap()
}

/// Quantise nodes that round what a node computed.
fn roundings(graph: &Graph) -> usize {
    graph.nodes.iter().filter(|n| matches!(n.op, Op::Quantize { .. })).count()
}

fn error(graph: &Graph, other: &Graph) -> f32 {
    let inputs = images(graph, 1);
    relative_error(&run(other, &inputs).unwrap()[0], &run(graph, &inputs).unwrap()[0])
}

fn image(b: &mut Builder, channels: usize) -> ValueId {
    b.input("image", ["batch".into(), channels.into(), 8.into(), 8.into()])
}

/// A residual block with an activation behind the sum, which is rounded once.
#[test]
fn a_layer_takes_the_sum_and_the_activation_along() {
    let mut b = Builder::new("block", 1);
    let x = image(&mut b, 4);
    let x = b.conv(x, "stem", 4, Window::same(3, 1), 1, true).unwrap();
    let x = b.hard_swish(x).unwrap();
    let y = b.conv(x, "inner", 4, Window::same(3, 1), 1, true).unwrap();
    let y = b.add(y, x).unwrap();
    let y = b.silu(y).unwrap();
    let y = b.max_pool(y, Window::same(3, 2)).unwrap();
    let y = b.global_average_pool(y).unwrap();
    let y = b.flatten(y).unwrap();
    let y = b.linear(y, "fc", 5).unwrap();
    let graph = b.finish(&[y]).unwrap();
    let fused = quantised(&graph, Placement::Fused);
    assert!(fused.report.skipped.is_empty(), "{:?}", fused.report.skipped);
    // Image, stem with hard-swish, inner with sum and SiLU, mean; pooling and Flatten move bytes.
    assert_eq!(roundings(&fused.graph), 6);
    let every = quantised(&graph, Placement::EveryOperator);
    assert!(every.report.skipped.is_empty(), "{:?}", every.report.skipped);
    // Image, stem, hard-swish, inner, sum, SiLU, mean, and the two that move bytes.
    assert_eq!(roundings(&every.graph), 9);
    assert!(error(&graph, &fused.graph) < 0.05 && error(&graph, &every.graph) < 0.1);
}

/// The layer that is computed later takes the sum; the other side is rounded.
#[test]
fn of_two_branches_one_takes_the_sum() {
    let mut b = Builder::new("branches", 2);
    let x = image(&mut b, 4);
    let left = b.conv(x, "left", 6, Window::same(1, 1), 1, true).unwrap();
    let right = b.conv(x, "right", 6, Window::same(3, 1), 1, true).unwrap();
    let y = b.add(right, left).unwrap();
    let y = b.relu(y).unwrap();
    let y = b.conv(y, "out", 3, Window::same(1, 1), 1, true).unwrap();
    let graph = b.finish(&[y]).unwrap();
    let Quantized { graph: int8, report } = quantised(&graph, Placement::Fused);
    // Image, left, sum; the last layer returns real numbers.
    assert_eq!((roundings(&int8), report.activations.len()), (3, 3));
    assert!(error(&graph, &int8) < 0.05);
}

/// Squeeze-excite of MobileNetV3 has no float part.
#[test]
fn squeeze_excite_is_integer_throughout() {
    for placement in [Placement::Fused, Placement::EveryOperator] {
        let mut b = Builder::new("se", 3);
        let x = image(&mut b, 4);
        let x = b.conv(x, "stem", 8, Window::same(3, 1), 1, true).unwrap();
        let x = b.hard_swish(x).unwrap();
        let gate = b.global_average_pool(x).unwrap();
        let gate = b.conv(gate, "squeeze", 4, Window::same(1, 1), 1, true).unwrap();
        let gate = b.relu(gate).unwrap();
        let gate = b.conv(gate, "excite", 8, Window::same(1, 1), 1, true).unwrap();
        let gate = b.hard_sigmoid(gate).unwrap();
        let x = b.mul(x, gate).unwrap();
        let x = b.conv(x, "project", 4, Window::same(1, 1), 1, true).unwrap();
        let x = b.global_average_pool(x).unwrap();
        let x = b.flatten(x).unwrap();
        let x = b.linear(x, "fc", 5).unwrap();
        let graph = b.finish(&[x]).unwrap();
        let Quantized { graph: int8, report } = quantised(&graph, placement);
        assert!(report.skipped.is_empty(), "{:?}", report.skipped);
        assert_eq!(report.layers.len(), 5);
        assert!(error(&graph, &int8) < 0.08, "{placement:?}");
    }
}

/// A head whose outputs are of different magnitude keeps both: boxes in pixels beside scores.
#[test]
fn joined_outputs_of_different_ranges_stay_apart() {
    let mut b = Builder::new("head", 4);
    let x = image(&mut b, 4);
    let x = b.conv(x, "stem", 8, Window::same(3, 1), 1, true).unwrap();
    let x = b.relu(x).unwrap();
    let boxes = b.conv(x, "boxes", 4, Window::same(1, 1), 1, true).unwrap();
    let boxes = b.max_pool(boxes, Window::same(3, 1)).unwrap();
    let scores = b.conv(x, "scores", 4, Window::same(1, 1), 1, true).unwrap();
    let scores = b.max_pool(scores, Window::same(3, 1)).unwrap();
    let joined = b.concat(&[boxes, scores], 1).unwrap();
    let mut graph = b.finish(&[joined]).unwrap();
    let node = graph.nodes.iter().find(|n| n.name == "boxes").unwrap().clone();
    let weight = node.inputs[1].unwrap();
    let large = graph.constant(weight).unwrap().f32s().unwrap().iter().map(|w| w * 100.0);
    let large =
        Tensor::new(graph.constant(weight).unwrap().shape().to_vec(), large.collect::<Vec<_>>());
    graph.set_constant(weight, large.unwrap());
    let Quantized { graph: int8, report } = quantised(&graph, Placement::Fused);
    assert!(report.skipped.iter().any(|s| s.op == "Concat"), "{:?}", report.skipped);
    let inputs = images(&graph, 1);
    let (truth, got) = (run(&graph, &inputs).unwrap(), run(&int8, &inputs).unwrap());
    let half = |t: &Tensor| {
        let values = t.f32s().unwrap();
        let scores = values.chunks(8 * 64).flat_map(|image| image[4 * 64..].to_vec());
        Tensor::vector(scores.collect::<Vec<f32>>())
    };
    assert!(relative_error(&half(&got[0]), &half(&truth[0])) < 0.05, "scores keep their scale");
}

/// Numbers and vectors that a network adds or multiplies are part of the integer graph.
#[test]
fn constants_do_not_break_the_chain_of_bytes() {
    let mut b = Builder::new("constants", 5);
    let x = image(&mut b, 4);
    let x = b.conv(x, "stem", 8, Window::same(3, 1), 1, true).unwrap();
    let x = b.relu(x).unwrap();
    let y = b.max_pool(x, Window::same(3, 1)).unwrap();
    let vector = b.constant(
        "vector",
        Tensor::new([1, 8, 1, 1], (1..9).map(|v| v as f32).collect::<Vec<_>>()).unwrap(),
    );
    let y = b.mul(y, vector).unwrap();
    let number = b.constant("number", Tensor::scalar(0.5f32));
    let y = b.add(y, number).unwrap();
    let y = b.conv(y, "out", 3, Window::same(1, 1), 1, true).unwrap();
    let graph = b.finish(&[y]).unwrap();
    let Quantized { graph: int8, report } = quantised(&graph, Placement::Fused);
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);
    assert!(error(&graph, &int8) < 0.05);
}
