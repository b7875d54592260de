//! Convolutions with weights that are mostly zero.

mod common;

use common::{kinds, plan, run_everywhere};
use edgecut_graph::{Builder, Graph, Op, Tensor, Window, interpret};
use edgecut_kernels::Isa;
use edgecut_testkit::{assert_close, random_inputs};

/// Inverted residuals on a map that is large enough to be computed in a chain.
fn network() -> Graph {
    let mut b = Builder::new("net", 5);
    let mut x = b.input("x", ["n".into(), 32.into(), 56.into(), 56.into()]);
    for i in 0..2 {
        let y = b.conv(x, &format!("expand{i}"), 96, Window::same(1, 1), 1, true).unwrap();
        let y = b.relu6(y).unwrap();
        let y = b.conv(y, &format!("depthwise{i}"), 96, Window::same(3, 1), 96, true).unwrap();
        let y = b.relu6(y).unwrap();
        let y = b.conv(y, &format!("project{i}"), 32, Window::same(1, 1), 1, true).unwrap();
        x = b.add(x, y).unwrap();
    }
    let x = b.conv(x, "last", 60, Window::same(1, 1), 1, true).unwrap();
    b.finish(&[x]).unwrap()
}

/// All but one of `of` weights of dense convolutions become zero.
fn thin(graph: &mut Graph, of: usize) {
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        if !matches!(node.op, Op::Conv(conv) if conv.groups == 1) {
            continue;
        }
        let id = node.input(1).unwrap();
        let tensor = graph.constant(id).unwrap();
        let kept = |(i, &w): (usize, &f32)| if i % of == 0 { w } else { 0.0 };
        let some: Vec<f32> = tensor.f32s().unwrap().iter().enumerate().map(kept).collect();
        let some = Tensor::new(tensor.shape().to_vec(), some).unwrap();
        graph.set_constant(id, some);
    }
}

#[test]
fn zeros_are_left_out_alone_and_in_chains() {
    let mut graph = network();
    let sparse = |graph: &Graph| {
        let plan = plan(graph, 1, Isa::detect());
        let count = kinds(&plan).iter().filter(|kind| kind.contains("sparse")).count();
        (count, plan.macs(), plan.weight_bytes())
    };
    let (none, macs, bytes) = sparse(&graph);
    assert_eq!(none, 0);
    thin(&mut graph, 13);
    let (some, fewer_macs, fewer_bytes) = sparse(&graph);
    assert!(some > 0 && fewer_macs < macs / 2 && fewer_bytes < bytes / 2, "{some} {fewer_macs}");
    for batch in [1, 2] {
        let inputs = random_inputs(&graph, batch, 3);
        let expected = interpret::run(&graph, &inputs).unwrap();
        let outputs = run_everywhere(&graph, &inputs, "sparse");
        assert_close(&outputs[0], &expected[0], 1e-4, "sparse");
    }
}
