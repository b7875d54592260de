use edgecut_graph::{Builder, Graph, Op, ReshapeDim, Window};

use super::*;

fn net() -> Graph {
    let mut b = Builder::new("net", 1);
    let x = b.input("x", ["n".into(), 3.into(), 8.into(), 8.into()]);
    let x = b.conv(x, "features.0", 4, Window::same(3, 2), 1, true).unwrap();
    let x = b.batch_norm(x, "features.1").unwrap();
    let x = b.conv(x, "features.2", 6, Window::same(3, 1), 1, true).unwrap();
    let x = b.global_average_pool(x).unwrap();
    let x = b.flatten(x).unwrap();
    let x = b.linear(x, "classifier", 7).unwrap();
    let x = b.softmax(x, 1).unwrap();
    b.finish(&[x]).unwrap()
}

fn rates(tune: &FineTune) -> Vec<f32> {
    let graph = net();
    let rates = tune.options(&graph).unwrap().rates;
    let of = |name: &str| graph.nodes.iter().position(|n| n.name == name).unwrap();
    ["features.0", "features.1", "features.2", "classifier"].map(|n| rates[of(n)]).to_vec()
}

#[test]
fn patterns_and_layers_give_rates() {
    assert_eq!(rates(&FineTune::default()), [1.0; 4]);
    let frozen = FineTune {
        freeze: vec!["features.[01]".into(), "features.?".into()],
        ..FineTune::default()
    };
    assert!(frozen.options(&net()).unwrap_err().to_string().contains("features.[01]"));
    let frozen = FineTune { freeze: vec!["features.1*".into()], ..FineTune::default() };
    assert_eq!(rates(&frozen), [1.0, 0.0, 1.0, 1.0]);
    let slow = FineTune {
        rates: vec![("features.*".into(), 0.1), ("features.0.weight".into(), 0.5)],
        ..FineTune::default()
    };
    assert_eq!(rates(&slow), [0.05, 0.1, 0.1, 1.0]);
    let decayed = FineTune { layer_decay: Some(0.5), ..FineTune::default() };
    assert_eq!(rates(&decayed), [0.25, 0.25, 0.5, 1.0]);
    let all = FineTune {
        freeze: vec!["*".into()],
        head: vec!["classifier".into()],
        ..FineTune::default()
    };
    assert_eq!(rates(&all), [0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn numbers_out_of_range_are_named() {
    let error = |tune: FineTune| tune.options(&net()).unwrap_err().to_string();
    let decay = FineTune { layer_decay: Some(1.5), ..FineTune::default() };
    assert!(error(decay).contains("layer_decay"));
    let rate = FineTune { rates: vec![("*".into(), -1.0)], ..FineTune::default() };
    assert!(error(rate).contains("rates"));
}

#[test]
fn a_head_is_replaced_and_the_rest_stays() {
    let graph = net();
    let (new, head) = replace_head(&graph, 3, 5).unwrap();
    assert_eq!(head, Head { node: "classifier".into(), bias: None, classes: 7 });
    assert_eq!(new.value(new.outputs[0]).shape.to_string(), "[n, 3]");
    for (old, new) in graph.values().iter().zip(new.values()) {
        let replaced = old.name.starts_with("classifier.") && old.constant.is_some();
        assert_eq!(old.constant != new.constant, replaced, "{}", old.name);
    }
    let (again, _) = replace_head(&graph, 3, 5).unwrap();
    let (other, _) = replace_head(&graph, 3, 6).unwrap();
    let weights = |g: &Graph| g.constant(g.find_value("classifier.weight").unwrap()).cloned();
    assert_eq!(weights(&new), weights(&again));
    assert!(weights(&new) != weights(&other));
}

/// SqueezeNet's and MobileNetV3-TFLite's: a convolution, with pooling and reshapes behind it.
#[test]
fn a_head_may_be_a_convolution_or_a_product_and_a_sum() {
    let mut b = Builder::new("conv", 1);
    let x = b.input("x", ["n".into(), 3.into(), 8.into(), 8.into()]);
    let x = b.conv(x, "last", 7, Window::new([1, 1], [1, 1]), 1, true).unwrap();
    let x = b.relu(x).unwrap();
    let x = b.global_average_pool(x).unwrap();
    let x = b.reshape(x, &[ReshapeDim::Copy, ReshapeDim::Fixed(7)]).unwrap();
    let graph = b.finish(&[x]).unwrap();
    let (new, _) = replace_head(&graph, 4, 1).unwrap();
    assert_eq!(new.value(new.outputs[0]).shape.to_string(), "[n, 4]");

    let mut b = Builder::new("sum", 1);
    let x = b.input("x", ["n".into(), 3.into(), 8.into(), 8.into()]);
    let x = b.mean(x, &[2, 3]).unwrap();
    let x = b.dense(x, "last", 7).unwrap();
    let graph = b.finish(&[x]).unwrap();
    let (new, head) = replace_head(&graph, 4, 1).unwrap();
    assert_eq!(head.bias.as_deref(), Some("last"));
    assert_eq!(new.value(new.outputs[0]).shape.to_string(), "[n, 4]");
}

#[test]
fn what_mixes_classes_ends_the_search() {
    let mut b = Builder::new("odd", 1);
    let x = b.input("x", ["n".into(), 3.into(), 8.into(), 8.into()]);
    let x = b.mean(x, &[2, 3]).unwrap();
    let x = b.linear(x, "last", 7).unwrap();
    let sums = Op::CumSum { axis: 1, exclusive: false, reverse: false };
    let x = b.apply("sums", sums, &[x]).unwrap();
    let graph = b.finish(&[x]).unwrap();
    let error = replace_head(&graph, 4, 1).unwrap_err().to_string();
    assert!(error.contains("sums") && error.contains("CumSum"), "{error}");
}
