//! Residual blocks go, and what is left computes what it did where they added nothing.

use edgecut_compress::prune::depth::{branches, without};
use edgecut_graph::cost::cost;
use edgecut_graph::{Graph, Op, Tensor};
use edgecut_testkit::{assert_close, random_inputs};

use crate::common::{outputs, zoo};
use crate::losses::net;

#[test]
fn a_branch_that_adds_nothing_goes_without_a_change() {
    let mut graph = net();
    let found = branches(&graph).unwrap();
    assert_eq!(found.len(), 1);
    // Three convolutions, their norms and two clamps.
    assert_eq!(found[0].nodes, 8);
    let norms = graph.nodes.iter().filter(|node| matches!(node.op, Op::BatchNorm { .. }));
    let factors = norms.flat_map(|node| [node.input(1).unwrap(), node.input(2).unwrap()]);
    let last: Vec<_> = factors.filter(|&id| graph.value(id).name.starts_with("narrow")).collect();
    assert_eq!(last.len(), 2);
    for id in last {
        let shape = graph.constant(id).unwrap().shape().to_vec();
        let zeros = vec![0f32; shape.iter().product()];
        graph.set_constant(id, Tensor::new(shape, zeros).unwrap());
    }
    let shorter = without(&graph, &found[0].sum).unwrap();
    let inputs = random_inputs(&graph, 1, 3);
    let (whole, left) = (&outputs(&graph, &inputs)[0], &outputs(&shorter, &inputs)[0]);
    assert_close(left, whole, 1e-6, "without the branch");
    assert!(branches(&shorter).unwrap().is_empty());
    assert!(without(&shorter, "no such sum").is_err());
}

#[test]
fn blocks_of_networks_are_found_and_leave_valid_networks() {
    let expected = [("resnet-8", 3), ("resnet-18", 8), ("mobilenet-v2", 10), ("mobilenet-v1", 0)];
    let of = |graph: &Graph| cost(graph, 1).unwrap().macs;
    for (name, count) in expected {
        let Some((_, graph)) = zoo().find(|(known, _)| *known == name) else { panic!("{name}") };
        let found = branches(&graph).unwrap();
        assert_eq!(found.len(), count, "{name}");
        for branch in &found {
            let shorter = without(&graph, &branch.sum).unwrap();
            assert_eq!(of(&graph) - of(&shorter), branch.macs, "{name}: {}", branch.sum);
        }
        if let Some(first) = found.first() {
            let shorter = without(&graph, &first.sum).unwrap();
            let result = &outputs(&shorter, &random_inputs(&shorter, 1, 1))[0];
            assert_eq!(result.shape(), [1, 10], "{name}");
        }
    }
}
