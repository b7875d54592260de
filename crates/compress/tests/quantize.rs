//! The quantised graph against the float graph, on generated networks.

use std::sync::Arc;

use edgecut_compress::{
    Calibration, CompressError, QuantizeConfig, Quantized, RangeMethod, calibrate, quantize,
};
use edgecut_graph::interpret::run;
use edgecut_graph::{Builder, DType, Graph, Op, Tensor, Window};
use edgecut_kernels::Pool;
use edgecut_runtime::Model;
use edgecut_testkit::{random_graph, random_inputs};

fn images(graph: &Graph, count: usize, seed: u64) -> Vec<Tensor> {
    (0..count as u64).flat_map(|i| random_inputs(graph, 2, seed * 1000 + i)).collect()
}

fn calibration(graph: &Graph, seed: u64) -> Calibration {
    calibrate(graph, images(graph, 8, seed), &Arc::new(Pool::new(1))).unwrap()
}

fn min_max() -> QuantizeConfig {
    QuantizeConfig { method: RangeMethod::MinMax, ..QuantizeConfig::default() }
}

fn sqnr_db(truth: &Tensor, other: &Tensor) -> f64 {
    let error = f64::from(edgecut_testkit::relative_error(other, truth));
    -20.0 * error.max(1e-9).log10()
}

fn names(graph: &Graph, op: &str) -> Vec<String> {
    graph.nodes.iter().filter(|n| n.op.name() == op).map(|n| n.name.clone()).collect()
}

/// Literal execution of the QDQ graph is close to the float graph, for every kind of layer.
#[test]
fn literal_execution_is_close_to_float() {
    let mut worst = vec![];
    for seed in 0..150 {
        let graph = random_graph(seed);
        let Quantized { graph: int8, .. } =
            quantize(&graph, &calibration(&graph, seed), &min_max()).unwrap();
        let inputs = images(&graph, 1, seed);
        let (truth, got) = (run(&graph, &inputs).unwrap(), run(&int8, &inputs).unwrap());
        worst.push((sqnr_db(&truth[0], &got[0]), seed));
    }
    worst.sort_by(|a: &(f64, u64), b| a.0.total_cmp(&b.0));
    assert!(worst[0].0 >= 20.0, "lowest SQNR in dB, seed: {:?}", &worst[..8]);
}

/// Inputs and outputs keep names, types and shapes; weights stay in -127..=127.
#[test]
fn interface_and_weights_are_as_promised() {
    for seed in 0..60 {
        let graph = random_graph(seed);
        let int8 = quantize(&graph, &calibration(&graph, seed), &min_max()).unwrap().graph;
        int8.validate().unwrap();
        let ends = |g: &Graph| {
            let ids = g.inputs.iter().chain(&g.outputs);
            ids.map(|&id| (g.value(id).name.clone(), g.value(id).shape.clone())).collect::<Vec<_>>()
        };
        assert_eq!(ends(&graph), ends(&int8));
        for value in int8.values().iter().filter(|v| v.dtype == DType::I8) {
            let codes = value.constant.as_ref().unwrap().i8s().unwrap();
            assert!(codes.iter().all(|&w| w >= -127), "{}", value.name);
        }
    }
}

/// Threads and batches change nothing, down to the bytes.
#[test]
fn result_does_not_depend_on_threads_or_batches() {
    for seed in 0..20 {
        let graph = random_graph(seed);
        let all = images(&graph, 6, seed);
        let rows = |t: &Tensor, i: usize| {
            let len = t.len() / 2;
            let mut shape = t.shape().to_vec();
            shape[0] = 1;
            Tensor::new(shape, t.f32s().unwrap()[i * len..][..len].to_vec()).unwrap()
        };
        let single: Vec<Tensor> = all.iter().flat_map(|t| [rows(t, 0), rows(t, 1)]).collect();
        let one = calibrate(&graph, all.clone(), &Arc::new(Pool::new(1))).unwrap();
        let two = calibrate(&graph, single, &Arc::new(Pool::new(2))).unwrap();
        assert_eq!(one, two, "seed {seed}");
        let bytes = |c: &Calibration| {
            let graph = quantize(&graph, c, &QuantizeConfig::default()).unwrap().graph;
            edgecut_graph::onnx::to_bytes(&graph).unwrap()
        };
        assert_eq!(bytes(&one), bytes(&two));
    }
}

/// Integer execution by the runtime differs from literal execution by few roundings.
#[test]
fn runtime_agrees_with_literal_execution() {
    for seed in 0..60 {
        let graph = random_graph(seed);
        let int8 = quantize(&graph, &calibration(&graph, seed), &min_max()).unwrap().graph;
        let inputs = images(&graph, 1, seed);
        let literal = run(&int8, &inputs).unwrap();
        let mut session = Model::new(int8, Arc::new(Pool::new(2))).session(2).unwrap();
        let got = session.infer(&inputs).unwrap();
        let db = sqnr_db(&literal[0], &got[0]);
        assert!(db >= 25.0, "seed {seed}: {db} dB");
    }
}

/// conv-relu6 -> depthwise-relu6 -> conv, added to the first; pooled and classified.
fn residual() -> Graph {
    let mut b = Builder::new("residual", 3);
    let x = b.input("image", ["batch".into(), 3.into(), 8.into(), 8.into()]);
    let x = b.conv(x, "stem", 16, Window::same(3, 1), 1, true).unwrap();
    let x = b.relu6(x).unwrap();
    let y = b.conv(x, "dw", 16, Window::same(3, 1), 16, true).unwrap();
    let y = b.relu6(y).unwrap();
    let y = b.conv(y, "project", 16, Window::same(1, 1), 1, true).unwrap();
    let x = b.add(x, y).unwrap();
    let x = b.global_average_pool(x).unwrap();
    let x = b.flatten(x).unwrap();
    let x = b.linear(x, "fc", 10).unwrap();
    b.finish(&[x]).unwrap()
}

#[test]
fn activations_disappear_and_logits_stay_float() {
    let graph = residual();
    let Quantized { graph: int8, report } =
        quantize(&graph, &calibration(&graph, 1), &min_max()).unwrap();
    assert!(names(&int8, "Clip").is_empty(), "the bytes saturate where ReLU6 does");
    let last = int8.nodes.iter().find(|n| n.outputs[0] == int8.outputs[0]).unwrap();
    assert_eq!(last.op.name(), "Gemm");
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);
    assert_eq!(report.layers.len(), 4);
    assert!(report.layers.iter().all(|l| l.weight_sqnr_db.is_some_and(|db| db > 30.0)));
    // Input, stem, dw, sum, mean; Flatten keeps the scale of the mean.
    assert_eq!(report.activations.len(), 5);
    assert!(report.int8_bytes.total() * 2 < report.float_bytes.total());
}

#[test]
fn excluded_layers_stay_float() {
    let graph = residual();
    let calibration = calibration(&graph, 1);
    for node in &graph.nodes {
        let config = QuantizeConfig { exclude: vec![node.name.clone()], ..min_max() };
        let Quantized { graph: int8, report } = quantize(&graph, &calibration, &config).unwrap();
        assert!(report.skipped.iter().any(|s| s.node == node.name || s.op == "Conv"));
        let inputs = images(&graph, 1, 9);
        let (truth, got) = (run(&graph, &inputs).unwrap(), run(&int8, &inputs).unwrap());
        assert!(sqnr_db(&truth[0], &got[0]) > 20.0, "{}", node.name);
    }
    let config = QuantizeConfig { exclude: vec!["proj".into()], ..min_max() };
    let error = quantize(&graph, &calibration, &config).unwrap_err().to_string();
    assert!(error.contains("'proj'") && error.contains("'project'"), "{error}");
}

#[test]
fn concatenated_values_share_a_scale() {
    let mut b = Builder::new("concat", 4);
    let x = b.input("image", ["batch".into(), 2.into(), 6.into(), 6.into()]);
    let left = b.conv(x, "left", 4, Window::same(3, 1), 1, true).unwrap();
    let right = b.conv(x, "right", 4, Window::same(1, 1), 1, true).unwrap();
    let right = b.relu(right).unwrap();
    let both = b.concat(&[left, right], 1).unwrap();
    let out = b.conv(both, "out", 3, Window::same(1, 1), 1, true).unwrap();
    let graph = b.finish(&[out]).unwrap();
    let int8 = quantize(&graph, &calibration(&graph, 2), &min_max()).unwrap().graph;
    let concat = int8.nodes.iter().find(|n| matches!(n.op, Op::Concat { .. })).unwrap();
    let producers = int8.producers();
    let scale_of = |value| {
        let node: &edgecut_graph::Node =
            &int8.nodes[producers[edgecut_graph::ValueId::index(value)].unwrap()];
        node.inputs[1].unwrap()
    };
    let scales: Vec<_> = concat.inputs.iter().map(|i| scale_of(i.unwrap())).collect();
    assert_eq!(scales[0], scales[1]);
    let inputs = images(&graph, 1, 9);
    let (truth, got) = (run(&graph, &inputs).unwrap(), run(&int8, &inputs).unwrap());
    assert!(sqnr_db(&truth[0], &got[0]) > 25.0);
    // The shared range reaches below 0, so the bytes alone do not do what Relu does.
    assert_eq!(names(&int8, "Relu").len(), 1);
}

/// Channels of zeros or of tiny weights keep their bias.
#[test]
fn degenerate_channels_keep_their_bias() {
    let mut graph = residual();
    let stem = graph.nodes[0].clone();
    let (w, b) = (stem.inputs[1].unwrap(), stem.inputs[2].unwrap());
    let mut weight = graph.constant(w).unwrap().f32s().unwrap().to_vec();
    weight[..27].fill(0.0);
    weight[27..54].fill(1e-20);
    let mut bias = vec![0.25; 16];
    bias[2] = 0.0;
    weight[54..81].fill(0.0);
    let shape = graph.value(w).shape.to_fixed().unwrap();
    graph.set_constant(w, Tensor::new(shape, weight).unwrap());
    graph.set_constant(b, Tensor::vector(bias));
    let Quantized { graph: int8, report } =
        quantize(&graph, &calibration(&graph, 1), &min_max()).unwrap();
    assert_eq!(report.layers[0].zero_channels, 2);
    let inputs = images(&graph, 1, 5);
    let (truth, got) = (run(&graph, &inputs).unwrap(), run(&int8, &inputs).unwrap());
    assert!(sqnr_db(&truth[0], &got[0]) > 20.0);
}

#[test]
fn errors_name_the_place() {
    let graph = residual();
    let pool = Arc::new(Pool::new(1));
    let none = calibrate(&graph, [], &pool);
    assert!(matches!(none, Err(CompressError::NoImages)));
    let nan = Tensor::new([1, 3, 8, 8], vec![f32::NAN; 192]).unwrap();
    let error = calibrate(&graph, [nan], &pool).unwrap_err().to_string();
    assert!(error.contains("'image'"), "{error}");
    let wrong = Tensor::zeros([1, 3, 9, 8]).unwrap();
    let error = calibrate(&graph, [wrong], &pool).unwrap_err().to_string();
    assert!(error.contains("'image'"), "{error}");
    let other = calibration(&random_graph(1), 1);
    let error = quantize(&graph, &other, &min_max()).unwrap_err().to_string();
    assert!(error.contains("not calibrated"), "{error}");
    let config =
        QuantizeConfig { method: RangeMethod::Percentile(20.0), ..QuantizeConfig::default() };
    let error = quantize(&graph, &calibration(&graph, 1), &config).unwrap_err().to_string();
    assert!(error.contains("percentile"), "{error}");
}
