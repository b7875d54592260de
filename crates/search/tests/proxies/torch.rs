//! The same scores from PyTorch in float64, for the same weights and pictures.

use edgecut_graph::Tensor;
use edgecut_search::proxy::{Proxy, fresh_weights};
use edgecut_testkit::Python;
use edgecut_testkit::nas_bench_201::{Cell, Edge};

use crate::{batch, options};

const IMAGES: usize = 8;
const CELLS: [[Edge; 6]; 4] = [
    [Edge::Conv3, Edge::Conv1, Edge::Skip, Edge::Skip, Edge::None, Edge::Conv3],
    [Edge::Skip, Edge::Skip, Edge::Conv1, Edge::Average, Edge::Conv3, Edge::Skip],
    [Edge::None, Edge::Conv3, Edge::Conv1, Edge::Skip, Edge::Conv3, Edge::None],
    [Edge::Conv1, Edge::Average, Edge::None, Edge::None, Edge::Conv1, Edge::Conv3],
];

#[test]
fn pytorch_has_the_same_scores() {
    let Some(python) = Python::with(&["torch"]) else { return };
    for cell in CELLS {
        let graph = Cell(cell).network(10).unwrap();
        let batch = batch(&graph, IMAGES, 10, 3);
        let (fresh, _) = fresh_weights(&graph, 11).unwrap();
        let values = fresh.values().iter();
        let weights: Vec<(&str, &Tensor)> =
            values.filter_map(|v| Some((v.name.as_str(), v.constant.as_ref()?))).collect();
        let pixels = Tensor::new([IMAGES, 32, 32, 3], batch.x.clone()).unwrap();
        let labels = batch.labels.iter().map(|&l| i64::from(l)).collect::<Vec<_>>();
        let labels = Tensor::new([IMAGES], labels).unwrap();
        let inputs = [&weights[..], &[("pixels", &pixels), ("labels", &labels)]].concat();
        let edges = cell.map(|edge| Edge::NAMES.iter().find(|(e, _)| *e == edge).unwrap().1);
        let results = python.run(include_str!("scores.py"), &edges, &inputs).unwrap();
        let own = |proxy: Proxy| proxy.score(&graph, &batch, &options(11)).unwrap();
        // Tolerances relative to the score. The last bits of float32 turn some activations over, and
        // weigh where gradients are alike: of images in one, of halves of the batch in the other,
        // whose quotients have the heavy tail of 1 / (g1 - g2).
        let proxies = [
            (Proxy::SynFlow, 1e-6),
            (Proxy::NasWot, 1e-3),
            (Proxy::JacobCov, 1e-3),
            (Proxy::Zico, 1e-2),
        ];
        for (proxy, tolerance) in proxies {
            let (own, theirs) = (own(proxy), f64::from(results[proxy.name()].to_f32()[0]));
            let difference = (own / theirs - 1.0).abs();
            assert!(difference < tolerance, "{edges:?} {}: {own}, {theirs}", proxy.name());
        }
    }
}
