//! Parameters and multiply-adds against the references and the papers.

use edgecut_graph::cost::cost;
use edgecut_zoo::{Options, build};

fn counts(name: &str, width: f32) -> (u64, u64) {
    let graph = build(name, &Options { width: Some(width), ..Options::default() }).unwrap();
    let cost = cost(&graph, 1).unwrap();
    (cost.parameters, cost.macs)
}

/// Trained parameters, as the reference implementations count them: running statistics are not
/// among them.
#[test]
fn parameters_equal_the_references() {
    for (name, parameters) in [
        ("mobilenet-v1", 4_231_976),
        ("mobilenet-v2", 3_504_872),
        ("mobilenet-v3-large", 5_483_032),
        ("mobilenet-v3-small", 2_542_856),
        ("shufflenet-v2-0.5", 1_366_792),
        ("shufflenet-v2-1.0", 2_278_604),
        ("shufflenet-v2-1.5", 3_503_624),
        ("shufflenet-v2-2.0", 7_393_996),
        ("squeezenet-1.0", 1_248_424),
        ("squeezenet-1.0-bypass", 1_248_424),
        ("squeezenet-1.1", 1_235_496),
        ("squeezenet-1.1-bypass", 1_235_496),
        ("efficientnet-lite0", 4_652_008),
        ("resnet-18", 11_689_512),
        ("resnet-50", 25_557_032),
        // 78,666 and 24,908 with the running statistics (MLPerf Tiny).
        ("resnet-8", 78_666 - 2 * 240),
        ("ds-cnn-s", 24_908 - 2 * 9 * 64),
    ] {
        assert_eq!(counts(name, 1.0).0, parameters, "{name}");
    }
}
