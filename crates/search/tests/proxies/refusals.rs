//! What is scored by hand, and what cannot be scored.

use edgecut_graph::{Builder, Graph, GraphError, Unary, ValueId, Window};
use edgecut_search::proxy::{Proxy, ProxyOptions, fresh_weights};
use edgecut_testkit::nas_bench_201::{Cell, Edge};

use crate::{batch, options};

/// A network of `layers` convolutions of 1x1 on a single pixel.
fn chain(layers: usize, channels: usize) -> Graph {
    let mut b = Builder::new("chain", 0);
    let mut x = b.input("x", ["n".into(), channels.into(), 1.into(), 1.into()]);
    for layer in 0..layers {
        x = b
            .conv(x, &format!("conv{layer}"), channels, Window::same(1, 1), 1, layer % 3 == 0)
            .unwrap();
        x = b.batch_norm(x, &format!("bn{layer}")).unwrap();
        x = b.relu6(x).unwrap();
    }
    let x = b.flatten(x).unwrap();
    let x = b.linear(x, "linear", 3).unwrap();
    b.finish(&[x]).unwrap()
}

/// The flow of a chain in float64: forward and backward through positive weights.
fn flow_of_chain(graph: &Graph, seed: u64, layers: usize) -> f64 {
    let (graph, _) = fresh_weights(graph, seed).unwrap();
    let values = |name: &str| -> Vec<f64> {
        let id = graph.find_value(name);
        let tensor = id.and_then(|id| graph.constant(id)).map(|t| t.to_f32()).unwrap_or_default();
        tensor.into_iter().map(|v| f64::from(v.abs())).collect()
    };
    let mut names: Vec<String> = (0..layers).map(|i| format!("conv{i}")).collect();
    names.push("linear".into());
    let layers: Vec<_> = names
        .iter()
        .map(|n| [values(&format!("{n}.weight")), values(&format!("{n}.bias"))])
        .collect();
    let mut inputs = vec![vec![1.0; graph.value(graph.inputs[0]).shape.with_symbols(1)[1]]];
    for [weight, bias] in &layers {
        let x = inputs.last().unwrap();
        let product = |row: &[f64]| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
        let mut y: Vec<f64> = weight.chunks(x.len()).map(product).collect();
        y.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
        inputs.push(y);
    }
    let mut gradient = vec![1.0; inputs.last().unwrap().len()];
    let mut flow = 0.0;
    for ([weight, _], x) in layers.iter().zip(&inputs).rev() {
        let mut before = vec![0.0; x.len()];
        for (row, g) in weight.chunks(x.len()).zip(&gradient) {
            for ((w, x), before) in row.iter().zip(x).zip(&mut before) {
                flow += w * x * g;
                *before += w * g;
            }
        }
        gradient = before;
    }
    flow.ln()
}

/// Of 60 layers with 64 channels the flow is about 4^60, of 90 layers 1e54: beyond float32.
#[test]
fn flows_beyond_float32_are_right() {
    for layers in [1, 7, 60, 90] {
        let graph = chain(layers, 64);
        let score = Proxy::SynFlow.score(&graph, &batch(&graph, 1, 3, 1), &options(5)).unwrap();
        let expected = flow_of_chain(&graph, 5, layers);
        assert!((score - expected).abs() < 1e-4, "{layers} layers: {score}, {expected}");
    }
}

#[test]
fn counts_are_those_of_the_graph() {
    let graph = chain(2, 4);
    let batch = batch(&graph, 1, 3, 1);
    let score = |proxy: Proxy| proxy.score(&graph, &batch, &options(1)).unwrap();
    assert_eq!(score(Proxy::Parameters), (2 * 16 + 4 + 2 * 8 + 15) as f64);
    assert_eq!(score(Proxy::Macs), (2 * 16 + 12) as f64);
}

/// A network that answers the same to every image comes last, and is no error.
#[test]
fn a_network_without_a_path_has_the_lowest_score() {
    let graph = Cell([Edge::None; 6]).network(10).unwrap();
    let batch = batch(&graph, 4, 10, 1);
    for proxy in [Proxy::SynFlow, Proxy::NasWot, Proxy::JacobCov] {
        let score = proxy.score(&graph, &batch, &options(1)).unwrap();
        assert_eq!(score, f64::NEG_INFINITY, "{}", proxy.name());
    }
}

#[test]
fn what_cannot_be_scored_is_said() {
    let mut b = Builder::new("smooth", 0);
    let x = b.input("x", ["n".into(), 3.into(), 8.into(), 8.into()]);
    let x = b.conv(x, "conv", 4, Window::same(3, 1), 1, false).unwrap();
    let x = b.unary(Unary::Tanh, x).unwrap();
    let x = b.global_average_pool(x).unwrap();
    let x = b.flatten(x).unwrap();
    let x = b.linear(x, "linear", 3).unwrap();
    let smooth = b.finish(&[x]).unwrap();
    let chain = chain(2, 3);
    let images = batch(&smooth, 4, 3, 1);
    let said = |proxy: Proxy, graph: &Graph, batch: &_| {
        proxy.score(graph, batch, &options(1)).unwrap_err().to_string()
    };
    let message = said(Proxy::NasWot, &smooth, &images);
    assert!(message.contains("naswot cannot score 'smooth': it has no activation"), "{message}");
    let message = said(Proxy::SynFlow, &smooth, &images);
    assert!(message.contains("(Tanh) has no linear form"), "{message}");
    let message = said(Proxy::JacobCov, &chain, &images);
    assert!(message.contains("1 x 1 pixels with 3 channels"), "{message}");
    let message = said(Proxy::JacobCov, &smooth, &batch(&smooth, 1, 3, 1));
    assert!(message.contains("at least 2 images, not 1"), "{message}");
    let message = said(Proxy::Zico, &smooth, &batch(&smooth, 3, 3, 1));
    assert!(message.contains("at least 4 images, not 3"), "{message}");
    let message = said(Proxy::Zico, &smooth, &batch(&smooth, 64, 9, 1));
    assert!(message.contains("it knows 3 classes"), "{message}");
    // Nothing to be drawn, and nothing to train.
    let mut b = Builder::new("bare", 0);
    let x = b.input("x", ["n".into(), 3.into(), 8.into(), 8.into()]);
    let x = b.relu(x).unwrap();
    let x = b.global_average_pool(x).unwrap();
    let x = b.flatten(x).unwrap();
    let bare = b.finish(&[x]).unwrap();
    let message = said(Proxy::NasWot, &bare, &images);
    assert!(message.contains("no float weights"), "{message}");
}

/// A gate of a large number is 1: the flow is that of the layers around it. One that is added to
/// something is no gate.
#[test]
fn gates_are_open() {
    let build = |join: fn(&mut Builder, ValueId, ValueId) -> Result<ValueId, GraphError>| {
        let mut b = Builder::new("gated", 0);
        let x = b.input("x", ["n".into(), 3.into(), 1.into(), 1.into()]);
        let x = b.conv(x, "conv0", 8, Window::same(1, 1), 1, false).unwrap();
        let s = b.global_average_pool(x).unwrap();
        let s = b.conv(s, "squeeze", 4, Window::same(1, 1), 1, true).unwrap();
        let s = b.relu(s).unwrap();
        let s = b.conv(s, "excite", 8, Window::same(1, 1), 1, true).unwrap();
        let s = b.hard_sigmoid(s).unwrap();
        let x = join(&mut b, x, s).unwrap();
        let x = b.flatten(x).unwrap();
        let x = b.linear(x, "linear", 3).unwrap();
        b.finish(&[x]).unwrap()
    };
    let gated = build(Builder::mul);
    let images = batch(&gated, 1, 3, 1);
    let score = Proxy::SynFlow.score(&gated, &images, &options(3)).unwrap();
    let expected = flow_of_chain(&gated, 3, 1);
    assert!((score - expected).abs() < 1e-5, "{score} {expected}");
    let error = Proxy::SynFlow.score(&build(Builder::add), &images, &options(3)).unwrap_err();
    assert!(error.to_string().contains("does something else with the gate"), "{error}");
}

#[test]
fn threads_change_nothing() {
    let graph =
        Cell([Edge::Conv3, Edge::Skip, Edge::Conv1, Edge::None, Edge::Average, Edge::Conv3]);
    let graph = graph.network(10).unwrap();
    let batch = batch(&graph, 4, 10, 1);
    for proxy in Proxy::ALL {
        let score =
            |threads| proxy.score(&graph, &batch, &ProxyOptions { seed: 2, threads }).unwrap();
        assert_eq!(score(1).to_bits(), score(3).to_bits(), "{}", proxy.name());
    }
}
