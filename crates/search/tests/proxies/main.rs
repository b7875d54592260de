//! Zero-cost proxies against PyTorch, by hand, and on every architecture of the zoo.

mod refusals;
mod torch;
mod zoo;

use edgecut_graph::Graph;
use edgecut_graph::rng::Rng;
use edgecut_search::proxy::ProxyOptions;
use edgecut_train::data::Batch;

/// Random pictures and labels for `graph`, whose batch is a symbol.
fn batch(graph: &Graph, n: usize, classes: usize, seed: u64) -> Batch {
    let len: usize = graph.value(graph.inputs[0]).shape.with_symbols(1).iter().product();
    let mut rng = Rng::new(seed);
    Batch {
        x: (0..n * len).map(|_| rng.normal()).collect(),
        labels: (0..n).map(|_| rng.below(classes) as u32).collect(),
        n,
        ..Batch::default()
    }
}

fn options(seed: u64) -> ProxyOptions {
    ProxyOptions { seed, threads: 1 }
}
