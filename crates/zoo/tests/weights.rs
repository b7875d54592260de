//! Fresh weights: their distributions, and that they are a function of the seed.

use edgecut_graph::{Data, Graph};
use edgecut_zoo::{Options, build, list};

/// Mean, deviation and largest magnitude of a stored tensor.
fn statistics(graph: &Graph, name: &str) -> (usize, f32, f32, f32) {
    let id = graph.find_value(name).unwrap_or_else(|| panic!("{name}"));
    let values = graph.constant(id).unwrap().to_f32();
    let n = values.len() as f32;
    let mean = values.iter().sum::<f32>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / n;
    (values.len(), mean, variance.sqrt(), values.iter().fold(0.0, |m, v| m.max(v.abs())))
}

enum Expected {
    /// With this deviation.
    Normal(f32),
    /// Between this and its negative.
    Uniform(f32),
}
use Expected::{Normal, Uniform};

#[test]
fn distributions_are_those_of_papers_and_references() {
    // Fans count the inputs and outputs of one group.
    for (name, tensor, expected) in [
        ("mobilenet-v1", "conv_stem.weight", Normal((2.0f32 / (32.0 * 9.0)).sqrt())),
        ("mobilenet-v1", "blocks.4.1.conv_dw.weight", Normal((2.0f32 / 9.0).sqrt())),
        ("mobilenet-v1", "classifier.weight", Uniform(1000f32.sqrt().recip())),
        ("mobilenet-v3-large", "classifier.0.weight", Normal(0.01)),
        ("mobilenet-v3-large", "features.7.block.0.0.weight", Normal((2.0f32 / 240.0).sqrt())),
        ("shufflenet-v1-g4", "stage2.1.conv3.weight", Normal((2.0f32 / 68.0).sqrt())),
        ("shufflenet-v2-1.0", "stage3.0.branch2.0.weight", Uniform(116f32.sqrt().recip())),
        ("shufflenet-v2-1.0", "fc.bias", Uniform(1024f32.sqrt().recip())),
        ("squeezenet-1.1", "features.3.squeeze.weight", Uniform((6.0f32 / 64.0).sqrt())),
        ("squeezenet-1.1", "classifier.1.weight", Normal(0.01)),
        ("efficientnet-lite0", "conv_head.weight", Normal((2.0f32 / 1280.0).sqrt())),
        ("resnet-20", "layer3.0.conv1.weight", Normal((2.0f32 / (32.0 * 9.0)).sqrt())),
        ("resnet-18", "layer4.0.conv1.weight", Normal((2.0f32 / (512.0 * 9.0)).sqrt())),
        ("resnet-18", "fc.weight", Uniform(512f32.sqrt().recip())),
        ("ds-cnn-m", "blocks.0.conv_pw.weight", Uniform((6.0f32 / (172.0 + 172.0)).sqrt())),
    ] {
        let graph = build(name, &Options::default()).unwrap();
        let (len, mean, deviation, largest) = statistics(&graph, tensor);
        let (theory, bound) = match expected {
            // The generator adds twelve uniform numbers: six deviations at most.
            Normal(deviation) => (deviation, 6.0 * deviation),
            Uniform(bound) => (bound / 3f32.sqrt(), bound),
        };
        // Five standard errors of a mean and of a deviation.
        let n = len as f32;
        assert!(mean.abs() < 5.0 * theory / n.sqrt(), "{name} {tensor}: mean {mean}");
        let error = (deviation / theory - 1.0).abs();
        assert!(error < 5.0 / (2.0 * n).sqrt(), "{name} {tensor}: {deviation}, not {theory}");
        assert!(largest <= bound, "{name} {tensor}: {largest} exceeds {bound}");
        // A quarter of a normal distribution's range would not be reached by a uniform one.
        let wide = matches!(expected, Normal(_)) && n > 1000.0;
        assert!(!wide || largest > 2.5 * theory, "{name} {tensor}: {largest} of {theory}");
    }
}

#[test]
fn the_same_seed_gives_the_same_weights() {
    for architecture in list() {
        let weights = |seed| -> Vec<(String, Data)> {
            let options = Options { seed, width: Some(0.25), ..Options::default() };
            let graph = architecture.build(&options).unwrap();
            let stored = graph.values().iter().filter_map(|v| Some((v, v.constant.as_ref()?)));
            stored.map(|(v, t)| (v.name.clone(), t.data().clone())).collect()
        };
        let (one, two) = (weights(1), weights(2));
        assert_eq!(one, weights(1), "{}", architecture.name);
        for ((name, a), (_, b)) in one.iter().zip(&two) {
            let drawn = a.len() > 1 && name.ends_with(".weight") && !constant(a);
            assert!(!drawn || a != b, "{}: {name} ignores the seed", architecture.name);
        }
    }
}

fn constant(data: &Data) -> bool {
    matches!(data, Data::F32(values) if values.iter().all(|v| *v == values[0]))
}
