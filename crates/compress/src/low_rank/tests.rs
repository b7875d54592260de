use edgecut_graph::rng::Rng;
use edgecut_graph::{Builder, Conv, Gemm, Tensor, Window, interpret};

use super::*;

/// A strided 1x1 convolution, one with a 3x3 window, Gemm both ways round, and MatMul.
fn network() -> Graph {
    let mut b = Builder::new("net", 1);
    let x = b.input("x", ["batch".into(), 24.into(), 9.into(), 9.into()]);
    let window = Window { pads: [1, 0, 1, 2], ..Window::new([1, 1], [2, 2]) };
    let weight = b.weight("point.weight", &[40, 24, 1, 1], 0.3).unwrap();
    let bias = b.uniform("point.bias", &[40], 0.5).unwrap();
    let x = b.node("point", Op::Conv(Conv { window, groups: 1 }), &[x, weight, bias]).unwrap();
    let x = b.relu(x).unwrap();
    let weight = b.weight("dense.weight", &[40, 40, 3, 3], 0.1).unwrap();
    let dense = Conv { window: Window::new([3, 3], [1, 1]), groups: 1 };
    let x = b.node("dense", Op::Conv(dense), &[x, weight]).unwrap();
    let x = b.global_average_pool(x).unwrap();
    let mut x = b.flatten(x).unwrap();
    for (name, shape, trans_b) in [("rows", [30, 40], true), ("columns", [30, 30], false)] {
        let weight = b.weight(&format!("{name}.weight"), &shape, 0.3).unwrap();
        let bias = b.uniform(&format!("{name}.bias"), &[30], 0.5).unwrap();
        let gemm = Gemm { alpha: 1.5, beta: 0.5, trans_a: false, trans_b };
        x = b.node(name, Op::Gemm(gemm), &[x, weight, bias]).unwrap();
    }
    let weight = b.weight("product.weight", &[30, 50], 0.3).unwrap();
    let y = b.node("product", Op::MatMul, &[x, weight]).unwrap();
    b.finish(&[y]).unwrap()
}

const POINTS: [&str; 4] = ["point", "rows", "columns", "product"];

/// Makes each layer a product of so many columns and rows.
fn with_rank(mut graph: Graph, rank: usize) -> Graph {
    let mut rng = Rng::new(2);
    for name in POINTS {
        let id = graph.find_value(&format!("{name}.weight")).unwrap();
        let shape = graph.value(id).shape.with_symbols(1);
        let mut part = |n: usize| (0..n).map(|_| rng.normal() * 0.3).collect::<Vec<f32>>();
        let (a, b) = (part(shape[0] * rank), part(rank * shape[1]));
        let entry = |i: usize| {
            let (row, column) = (i / shape[1], i % shape[1]);
            (0..rank).map(|r| a[row * rank + r] * b[r * shape[1] + column]).sum::<f32>()
        };
        let values: Vec<f32> = (0..shape[0] * shape[1]).map(entry).collect();
        graph.set_constant(id, Tensor::new(shape, values).unwrap());
    }
    graph
}

fn run(graph: &Graph) -> Vec<f32> {
    let mut rng = Rng::new(3);
    let values: Vec<f32> = (0..2 * 24 * 81).map(|_| rng.normal()).collect();
    let input = Tensor::new([2, 24, 9, 9], values).unwrap();
    interpret::run(graph, &[input]).unwrap().remove(0).to_f32()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    let scale = a.iter().fold(1e-9f32, |m, x| m.max(x.abs()));
    a.iter().zip(b).fold(0.0f32, |m, (a, b)| m.max((a - b).abs())) / scale
}

fn thinner(graph: &Graph, keep: Keep) -> LowRank {
    let config = LowRankConfig { keep, exclude: vec![] };
    factorise(graph, &config, &Control::unlimited()).unwrap()
}

#[test]
fn layers_of_low_rank_become_two_that_compute_the_same() {
    let graph = with_rank(network(), 5);
    let thin = thinner(&graph, Keep::Energy(0.999_999_999));
    thin.graph.validate().unwrap();
    let ranks: Vec<Option<usize>> = thin.layers.iter().map(|layer| layer.rank).collect();
    assert_eq!(ranks, [Some(5); 4]);
    assert!(largest_difference(&run(&graph), &run(&thin.graph)) < 1e-5);
    let names: Vec<&str> = thin.graph.nodes.iter().map(|node| node.name.as_str()).collect();
    for name in POINTS {
        let at = names.iter().position(|n| *n == name).unwrap();
        assert_eq!(names[at - 1], format!("{name}.in"), "{names:?}");
    }
    assert!(thin.graph.find_value("point.weight").is_none(), "what is replaced is gone");
}

#[test]
fn the_full_rank_is_the_matrix_and_the_error_is_the_tail() {
    let mut rng = Rng::new(4);
    for (outputs, inputs) in [(12, 20), (20, 12), (9, 9)] {
        for by_output in [true, false] {
            let weights: Vec<f32> = (0..outputs * inputs).map(|_| rng.normal()).collect();
            let form = Form { outputs, inputs, by_output };
            let factors = Factors::of(&weights, form).unwrap();
            for rank in 1..=outputs.min(inputs) {
                let cut = factors.cut(rank);
                let places = |o: usize, i: usize, r: usize| match by_output {
                    true => (o * rank + r, r * inputs + i),
                    false => (r * outputs + o, i * rank + r),
                };
                let part = |(second, first): (usize, usize)| cut.second[second] * cut.first[first];
                let product =
                    |o: usize, i: usize| (0..rank).map(|r| part(places(o, i, r))).sum::<f32>();
                let mut error = 0.0;
                for (o, i) in (0..outputs).flat_map(|o| (0..inputs).map(move |i| (o, i))) {
                    let place = if by_output { o * inputs + i } else { i * outputs + o };
                    error += f64::from(product(o, i) - weights[place]).powi(2);
                }
                // Eckart and Young: the squares that are left out.
                let total: f64 = weights.iter().map(|w| f64::from(*w).powi(2)).sum();
                let tail = total * (1.0 - factors.energy(rank));
                assert!((error - tail).abs() < 1e-5 * total, "{rank}: {error}, {tail}");
            }
        }
    }
}

#[test]
fn a_share_of_the_multiply_adds_is_met_with_the_most_energy() {
    let graph = network();
    let macs = |graph: &Graph| cost(graph, 1).unwrap().macs as f64;
    let only_points = LowRankConfig { keep: Keep::Macs(0.96), exclude: vec![] };
    let thin = factorise(&graph, &only_points, &Control::unlimited()).unwrap();
    assert!(thin.met && macs(&thin.graph) <= 0.96 * macs(&graph));
    assert!(macs(&thin.graph) > 0.93 * macs(&graph), "{}", macs(&thin.graph) / macs(&graph));
    // The dense layer has nine tenths: nothing of low rank halves them.
    let small = thinner(&graph, Keep::Macs(0.5));
    assert!(!small.met && small.layers.iter().all(|layer| layer.rank == Some(1)));
    let before = run(&graph);
    let loss = |thin: &LowRank| largest_difference(&before, &run(&thin.graph));
    assert!(loss(&thin) < loss(&small));
}

#[test]
fn what_is_not_cheaper_or_excluded_stays() {
    let graph = network();
    let all = thinner(&graph, Keep::Energy(1.0));
    assert!(all.layers.iter().all(|layer| layer.rank.is_none() && layer.energy == 1.0));
    assert_eq!(run(&graph), run(&all.graph));
    let exclude = vec!["point".to_string(), "rows".to_string()];
    let config = LowRankConfig { keep: Keep::Energy(0.3), exclude };
    let thin = factorise(&graph, &config, &Control::unlimited()).unwrap();
    let names: Vec<&str> = thin.layers.iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names, ["columns", "product"]);
    for keep in [Keep::Energy(0.0), Keep::Energy(f64::NAN), Keep::Macs(1.0)] {
        let config = LowRankConfig { keep, exclude: vec![] };
        assert!(factorise(&graph, &config, &Control::unlimited()).is_err(), "{keep:?}");
    }
}
