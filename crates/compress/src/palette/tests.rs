use edgecut_graph::{Builder, Graph, Window};

use super::*;

/// A convolution with pruned weights, and a linear layer.
fn network() -> Graph {
    let mut b = Builder::new("net", 1);
    let x = b.input("x", [1.into(), 3.into(), 6.into(), 6.into()]);
    let weight = b.weight("conv.weight", &[16, 3, 3, 3], 0.3).unwrap();
    let bias = b.uniform("conv.bias", &[16], 0.5).unwrap();
    let conv = edgecut_graph::Conv { window: Window::new([3, 3], [1, 1]), groups: 1 };
    let x = b.node("conv", Op::Conv(conv), &[x, weight, bias]).unwrap();
    let x = b.global_average_pool(x).unwrap();
    let x = b.flatten(x).unwrap();
    let weight = b.weight("fc.weight", &[16, 40], 1.0).unwrap();
    let y = b.mat_mul(x, weight).unwrap();
    let mut graph = b.finish(&[y]).unwrap();
    let id = graph.find_value("conv.weight").unwrap();
    let mut values = floats(&graph, "conv.weight");
    values.iter_mut().step_by(3).for_each(|w| *w = 0.0);
    graph.set_constant(id, Tensor::new([16, 3, 3, 3], values).unwrap());
    graph
}

fn floats(graph: &Graph, name: &str) -> Vec<f32> {
    graph.constant(graph.find_value(name).unwrap()).unwrap().to_f32()
}

#[test]
fn layers_have_few_values_and_keep_their_zeros() {
    let graph = network();
    let mut before = f64::NEG_INFINITY;
    for bits in 1..=8 {
        let config = PaletteConfig { bits, ..PaletteConfig::default() };
        let (shared, layers) = share_weights(&graph, &config).unwrap();
        assert!(layers.iter().all(|l| l.values <= 1 << bits && l.entropy <= f64::from(bits)));
        assert!(layers[1].sqnr_db > before + 3.0, "{bits}: {layers:?}");
        before = layers[1].sqnr_db;
        let (old, new) = (floats(&graph, "conv.weight"), floats(&shared, "conv.weight"));
        assert!(old.iter().zip(&new).all(|(old, new)| *old != 0.0 || *new == 0.0));
        assert_eq!(layers[0].zeros, new.iter().filter(|w| **w == 0.0).count());
        for bias in floats(&shared, "conv.bias") {
            assert_eq!(bias.to_bits() & 0xFFFF, 0);
        }
        let (again, _) = share_weights(&shared, &config).unwrap();
        for name in ["conv.weight", "fc.weight", "conv.bias"] {
            assert_eq!(floats(&again, name), floats(&shared, name), "{name}");
        }
    }
}

#[test]
fn what_cannot_be_clustered_is_named() {
    let graph = network();
    let refused = |config| share_weights(&graph, &config).unwrap_err().to_string();
    let none = PaletteConfig { bits: 0, ..PaletteConfig::default() };
    assert!(refused(none).contains("1 to 8 bits"));
    let unknown = PaletteConfig { exclude: vec!["cnv".into()], ..PaletteConfig::default() };
    assert!(refused(unknown).contains("cnv"));
    let only = PaletteConfig { exclude: vec!["conv".into()], ..PaletteConfig::default() };
    let (shared, layers) = share_weights(&graph, &only).unwrap();
    assert_eq!(layers.len(), 1);
    assert_eq!(floats(&shared, "conv.weight"), floats(&graph, "conv.weight"));
    let mut broken = network();
    let id = broken.find_value("conv.bias").unwrap();
    broken.set_constant(id, Tensor::vector(vec![f32::NAN; 16]));
    let error = share_weights(&broken, &PaletteConfig::default()).unwrap_err().to_string();
    assert!(error.contains("'conv'") && error.contains("bias"), "{error}");
}

#[test]
fn rounding_is_to_the_nearest_and_even() {
    for (x, rounded) in
        [(1.0, 1.0), (1.001, 1.0), (1.0 + 1.0 / 256.0, 1.0), (1.0 + 3.0 / 256.0, 1.015625)]
    {
        assert_eq!(bfloat16(x), rounded, "{x}");
        assert_eq!(bfloat16(-x), -rounded, "{x}");
    }
    assert_eq!(bfloat16(0.0), 0.0);
}
