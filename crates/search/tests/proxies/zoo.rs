//! Every architecture of the zoo has a score.

use edgecut_search::proxy::{Proxy, fresh_weights};
use edgecut_zoo::{Options, build, list};

use crate::{batch, options};

#[test]
fn every_network_of_the_zoo_is_scored() {
    for architecture in list() {
        let small = Options { width: Some(0.25), resolution: Some(32), ..Options::default() };
        let Ok(graph) = build(architecture.name, &small) else { continue };
        let batch = batch(&graph, 4, 10, 1);
        for proxy in Proxy::ALL {
            let score = proxy.score(&graph, &batch, &options(1));
            let score = score.unwrap_or_else(|e| panic!("{}: {e}", architecture.name));
            assert!(score.is_finite(), "{}: {} is {score}", architecture.name, proxy.name());
        }
        // All weights of a network were drawn.
        let (_, drawn) = fresh_weights(&graph, 1).unwrap();
        let layers =
            graph.nodes.iter().filter(|n| matches!(n.op.name(), "Conv" | "Gemm" | "MatMul"));
        assert_eq!(drawn, layers.count(), "{}", architecture.name);
    }
}
