use std::collections::BTreeMap;

use edgecut_graph::{Builder, Graph, Window};
use proptest::prelude::*;

use super::*;

/// A dense convolution, a depthwise one, and a linear layer.
fn net() -> Graph {
    let mut b = Builder::new("net", 3);
    let x = b.input("x", [1.into(), 8.into(), 6.into(), 6.into()]);
    let x = b.conv(x, "dense", 16, Window::same(3, 1), 1, true).unwrap();
    let x = b.conv(x, "depthwise", 16, Window::same(3, 1), 16, true).unwrap();
    let x = b.relu(x).unwrap();
    let x = b.global_average_pool(x).unwrap();
    let x = b.flatten(x).unwrap();
    let x = b.linear(x, "linear", 10).unwrap();
    b.finish(&[x]).unwrap()
}

fn sparse(config: &SparseConfig) -> (Graph, Vec<SparseLayer>) {
    sparsify(&net(), config, &BTreeMap::new()).unwrap()
}

fn weights(graph: &Graph, layer: &str) -> Vec<f32> {
    let node = graph.nodes.iter().find(|node| node.name == layer).unwrap();
    graph.constant(node.inputs[1].unwrap()).unwrap().f32s().unwrap().to_vec()
}

proptest! {
    #[test]
    fn the_share_is_exact_and_what_stays_is_not_touched(
        share in 0.0..0.99f64,
        per_layer: bool,
        lamp: bool,
    ) {
        let criterion = if lamp { Criterion::Lamp } else { Criterion::Magnitude };
        let config = SparseConfig { share, per_layer, criterion, ..SparseConfig::default() };
        let (graph, report) = sparse(&config);
        prop_assert_eq!(report.iter().map(|l| l.name.as_str()).collect::<Vec<_>>(), ["dense", "linear"]);
        let total: usize = report.iter().map(|l| l.weights).sum();
        let zeros: usize = report.iter().map(|l| l.zeros).sum();
        let slack = if per_layer { report.len() } else { 1 };
        prop_assert!((zeros as f64 - share * total as f64).abs() <= slack as f64);
        for layer in ["dense", "depthwise", "linear"] {
            let same = |(a, b): (&f32, &f32)| *a == *b || *a == 0.0 && layer != "depthwise";
            prop_assert!(weights(&graph, layer).iter().zip(&weights(&net(), layer)).all(same));
        }
    }

    #[test]
    fn of_every_group_at_most_n_stay(keep in 1usize..4, more in 1usize..5) {
        let of = keep + more;
        let pattern = Pattern::Neighbours { keep, of };
        let (graph, _) = sparse(&SparseConfig { pattern, ..SparseConfig::default() });
        // The dense layer's weights are [16, 8, 3, 3]: inputs are 9 apart.
        let w = weights(&graph, "dense");
        for (output, place) in (0..16).flat_map(|o| (0..9).map(move |p| (o, p))) {
            for first in (0..8).step_by(of) {
                let group = first..(first + of).min(8);
                let left = group.clone().filter(|i| w[output * 72 + i * 9 + place] != 0.0).count();
                prop_assert_eq!(left, keep.min(group.len()));
            }
        }
    }
}

#[test]
fn blocks_stand_or_fall_as_a_whole() {
    let pattern = Pattern::Block { outputs: 8 };
    let (graph, report) = sparse(&SparseConfig { pattern, share: 0.5, ..SparseConfig::default() });
    let w = weights(&graph, "dense");
    for (block, k) in (0..2).flat_map(|b| (0..72).map(move |k| (b, k))) {
        let zeros = (0..8).filter(|o| w[(block * 8 + o) * 72 + k] == 0.0).count();
        assert!(zeros == 0 || zeros == 8, "block {block} of column {k} has {zeros} zeros");
    }
    assert!(report.iter().any(|layer| layer.zeros > 0));
}

#[test]
fn zeros_stay_when_it_goes_on_and_scores_of_the_caller_count() {
    let half = SparseConfig { share: 0.5, ..SparseConfig::default() };
    let (first, _) = sparse(&half);
    let more = SparseConfig { share: 0.75, ..half };
    let (second, _) = sparsify(&first, &more, &BTreeMap::new()).unwrap();
    let stay = |(a, b): (&f32, &f32)| *a != 0.0 || *b == 0.0;
    assert!(weights(&first, "dense").iter().zip(&weights(&second, "dense")).all(stay));

    let graph = net();
    let linear = graph.nodes.iter().find(|node| node.name == "linear").unwrap();
    let name = graph.value(linear.inputs[1].unwrap()).name.clone();
    let count = weights(&graph, "linear").len();
    let scores = BTreeMap::from([(name.clone(), (0..count).map(|i| i as f64).collect())]);
    let config = SparseConfig { share: 0.25, per_layer: true, ..SparseConfig::default() };
    let (graph, _) = sparsify(&graph, &config, &scores).unwrap();
    assert!(weights(&graph, "linear")[..count / 4].iter().all(|&w| w == 0.0));
    let short = BTreeMap::from([(name, vec![1.0])]);
    assert!(sparsify(&net(), &config, &short).unwrap_err().to_string().contains("one for each"));
}

#[test]
fn lamp_lets_no_layer_die() {
    let config = SparseConfig { share: 0.98, ..SparseConfig::default() };
    let (_, report) = sparse(&config);
    assert!(report.iter().all(|layer| layer.zeros < layer.weights), "{report:?}");
    // Squares 1, 4, 9: 1 of 14, 4 of 13, 9 of 9.
    let scores = Criterion::Lamp.score(&[-2.0, 1.0, 3.0]);
    assert_eq!(scores, [4.0 / 13.0, 1.0 / 14.0, 1.0]);
}

#[test]
fn settings_are_checked_and_patterns_are_words() {
    for pattern in ["single", "2:4", "1:4", "16x1"] {
        assert_eq!(pattern.parse::<Pattern>().unwrap().to_string(), pattern);
    }
    for wrong in ["", "4:2", "0:4", "16x2", "1x1", "dense"] {
        assert!(wrong.parse::<Pattern>().unwrap_err().contains("allowed are"), "{wrong}");
    }
    let none = BTreeMap::new();
    let config = SparseConfig { share: 1.0, ..SparseConfig::default() };
    assert!(sparsify(&net(), &config, &none).unwrap_err().to_string().contains("share"));
    let config = SparseConfig { exclude: vec!["nobody".into()], ..SparseConfig::default() };
    assert!(sparsify(&net(), &config, &none).unwrap_err().to_string().contains("nobody"));
    assert_eq!(gradual_share(0.8, 4, 4), 0.8);
    assert!(gradual_share(0.8, 1, 4) > 0.4 && gradual_share(0.8, 0, 4) == 0.0);
}
