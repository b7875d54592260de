//! Parameters and multiply-adds against the references and the papers.

use edgecut_graph::cost::cost;
use edgecut_zoo::{Options, build, list};

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
        // Caffe's, as arXiv:1510.00149, Table 3 rounds it: 0.5 + 25 + 400 + 5 thousand.
        ("lenet-5", 431_080),
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

/// Millions of multiply-adds that the papers give, and by how much a printed figure may be off.
#[test]
fn macs_equal_the_papers() {
    for (name, width, millions, tolerance) in [
        // arXiv:1704.04861, Table 6.
        ("mobilenet-v1", 1.0, 569.0, 0.5),
        ("mobilenet-v1", 0.75, 325.0, 0.5),
        ("mobilenet-v1", 0.5, 149.0, 0.5),
        ("mobilenet-v1", 0.25, 41.0, 0.5),
        // arXiv:1707.01083, Tables 1 and 5; 133 and 137 M for g = 4 and 8 are 1 % lower than the
        // layers of the table give.
        ("shufflenet-v1-g1", 1.0, 143.0, 0.5),
        ("shufflenet-v1-g2", 1.0, 140.0, 1.0),
        ("shufflenet-v1-g3", 1.0, 137.0, 0.5),
        ("shufflenet-v1-g4", 1.0, 133.0, 1.5),
        ("shufflenet-v1-g8", 1.0, 137.0, 1.5),
        ("shufflenet-v1-g3", 0.5, 38.0, 0.5),
        ("shufflenet-v1-g3", 1.5, 292.0, 0.5),
        ("shufflenet-v1-g3", 2.0, 524.0, 0.5),
        // The authors' release.
        ("mobilenet-v3-large-minimal", 1.0, 209.0, 0.5),
        // arXiv:1711.07128, Table 4: two operations for each multiply-add.
        ("ds-cnn-s", 1.0, 5.4 / 2.0, 0.05),
        ("ds-cnn-m", 1.0, 19.8 / 2.0, 0.1),
        ("ds-cnn-l", 1.0, 56.9 / 2.0, 0.13),
        // arXiv:1512.03385, Table 1: FLOPs are multiply-adds.
        ("resnet-18", 1.0, 1_800.0, 50.0),
    ] {
        let macs = counts(name, width).1 as f64 / 1e6;
        assert!((macs - millions).abs() <= tolerance, "{name} {width}: {macs}, not {millions}");
    }
}

/// Millions of parameters that the papers and releases print, to their last digit.
#[test]
fn parameters_equal_the_papers() {
    for (name, width, millions, digit) in [
        ("mobilenet-v1", 0.75, 2.6, 0.1),
        ("mobilenet-v1", 0.5, 1.3, 0.1),
        ("mobilenet-v1", 0.25, 0.5, 0.1),
        ("mobilenet-v3-small-minimal", 1.0, 2.0, 0.1),
        ("mobilenet-v3-large-minimal", 1.0, 3.9, 0.1),
        ("efficientnet-lite1", 1.0, 5.4, 0.1),
        ("efficientnet-lite2", 1.0, 6.1, 0.1),
        ("efficientnet-lite3", 1.0, 8.2, 0.1),
        ("efficientnet-lite4", 1.0, 13.0, 0.1),
        ("resnet-20", 1.0, 0.27, 0.01),
        ("resnet-56", 1.0, 0.85, 0.01),
    ] {
        let parameters = counts(name, width).0 as f64 / 1e6;
        let error = (parameters - millions).abs();
        assert!(error <= digit / 2.0 + 1e-9, "{name} {width}: {parameters}, not {millions}");
    }
}

/// The networks for small images are nobody else's; this is what they are meant to cost.
#[test]
fn networks_for_small_images_are_small() {
    assert_eq!(counts("mobilenet-v2-s28", 1.0), (68_834, 5_245_312));
    assert_eq!(counts("mobilenet-v3-s28", 1.0), (290_418, 3_909_544));
}

/// Recipes and trained models depend on these graphs: the weights are a function of names, shapes
/// and seed alone.
#[test]
fn mobilenet_v2_keeps_its_bytes() {
    // FNV-1a over names and weights.
    let hash = |name: &str| {
        let graph = build(name, &Options { seed: 1, ..Options::default() }).unwrap();
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        let mut add = |bytes: &[u8]| {
            for &byte in bytes {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            }
        };
        for value in graph.values() {
            add(value.name.as_bytes());
            for element in value.constant.iter().flat_map(|t| t.to_f32()) {
                add(&element.to_le_bytes());
            }
        }
        hash
    };
    let hashes = ["mobilenet-v2", "mobilenet-v2-s32", "mobilenet-v2-s28"].map(hash);
    let known = [0x6234_e56b_6ef5_0aa5, 0x27f0_9083_87db_a51c, 0xe16f_36dd_a7e8_b834];
    assert_eq!(hashes, known, "{hashes:#x?}");
}

/// The extremes of width give networks too: channels are rounded so that groups and halves fit.
#[test]
fn every_width_builds() {
    for architecture in list() {
        for width in [0.05, 0.3, 0.7, 1.1] {
            let options = Options { width: Some(width), classes: Some(3), ..Options::default() };
            let graph = architecture.build(&options);
            let graph = graph.unwrap_or_else(|e| panic!("{} {width}: {e}", architecture.name));
            graph.validate().unwrap();
            assert_eq!(graph.value(graph.outputs[0]).name, "logits");
        }
    }
}

/// Small inputs give a network; windows without padding may not fit them.
#[test]
fn small_pictures_build_or_are_refused() {
    for architecture in list() {
        for resolution in [1, 2, 7, 17, 33] {
            let options =
                Options { width: Some(0.25), resolution: Some(resolution), ..Options::default() };
            if let Err(error) = architecture.build(&options) {
                let name = architecture.name;
                assert!(name.starts_with("squeezenet") || name == "lenet-5", "{name}: {error}");
                assert!(error.to_string().contains("exceeds its input"), "{error}");
            }
        }
    }
}
