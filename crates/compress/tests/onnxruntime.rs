//! The quantised model in ONNX Runtime: accepted, computed in integers, and in agreement with ours.

use std::path::Path;
use std::sync::Arc;

use edgecut_compress::{Placement, QuantizeConfig, calibrate, quantize};
use edgecut_graph::{Graph, Tensor, onnx};
use edgecut_kernels::Pool;
use edgecut_runtime::Model;
use edgecut_testkit::{Python, random_graph, random_tensor, shared_data};

/// Image `i` of a batch.
fn image(batch: &Tensor, i: usize) -> Tensor {
    let len = batch.len() / batch.shape()[0];
    let mut shape = batch.shape().to_vec();
    shape[0] = 1;
    Tensor::new(shape, batch.f32s().unwrap()[i * len..][..len].to_vec()).unwrap()
}

fn images(batch: &Tensor, range: std::ops::Range<usize>) -> Tensor {
    let mut shape = batch.shape().to_vec();
    let len = batch.len() / shape[0];
    shape[0] = range.len();
    let data = batch.f32s().unwrap()[range.start * len..range.end * len].to_vec();
    Tensor::new(shape, data).unwrap()
}

/// Results of our runtime, image by image.
fn ours(graph: &Graph, x: &Tensor) -> Vec<f32> {
    let mut session = Model::new(graph.clone(), Arc::new(Pool::new(2))).session(1).unwrap();
    let one = |i| session.infer(&[image(x, i)]).unwrap()[0].f32s().unwrap().to_vec();
    (0..x.shape()[0]).flat_map(one).collect()
}

fn theirs(python: &Python, graph: &Graph, x: &Tensor) -> (Vec<f32>, f32, f32) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    onnx::export(graph, &path).unwrap();
    let script = include_str!("peers/fused.py");
    let results = python.run(script, &[path.to_str().unwrap()], &[("x", x)]).unwrap();
    let number = |name: &str| results[name].f32s().unwrap()[0];
    (results["y"].f32s().unwrap().to_vec(), number("float_layers"), number("adds"))
}

fn top1(logits: &[f32], classes: usize) -> Vec<usize> {
    let best = |row: &[f32]| (0..classes).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
    logits.chunks(classes).map(best).collect()
}

fn agreement(a: &[usize], b: &[usize]) -> f64 {
    a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / a.len() as f64
}

fn relative_error(a: &[f32], b: &[f32]) -> f64 {
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
    let pairs = a.iter().zip(b);
    let error = norm(&mut pairs.map(|(&a, &b)| f64::from(a) - f64::from(b)));
    error / norm(&mut b.iter().map(|&b| b.into())).max(1e-9)
}

/// As other runtimes need it to compute in integers.
fn every_operator() -> QuantizeConfig {
    QuantizeConfig { placement: Placement::EveryOperator, ..QuantizeConfig::default() }
}

#[test]
fn random_networks_agree() {
    let Some(python) = Python::with(&["onnx", "onnxruntime"]) else { return };
    for seed in 0..12 {
        let graph = random_graph(seed);
        let shape = graph.value(graph.inputs[0]).shape.with_symbols(8);
        let x = random_tensor(&shape, seed);
        let pool = Arc::new(Pool::new(2));
        let calibration = calibrate(&graph, [x.clone()], &pool).unwrap();
        let int8 = quantize(&graph, &calibration, &every_operator()).unwrap().graph;
        let (y, _, _) = theirs(&python, &int8, &x);
        let error = relative_error(&ours(&int8, &x), &y);
        assert!(error < 0.05, "seed {seed}: relative error {error}");
    }
}

/// The real network on real photographs.
#[test]
fn mobilenet_v2_keeps_its_predictions() {
    let Some(model) = shared_data("models/mobilenet_v2_torchvision.onnx") else { return };
    let Some(archive) = shared_data("sets/imagenet-sample-256-dev.tar.zst") else { return };
    let Some(python) = Python::with(&["onnx", "onnxruntime", "PIL"]) else { return };
    let data = decode(&python, &archive, 5);
    let (x, labels) = (&data.0, &data.1);
    let graph = onnx::import(&model).unwrap();
    let pool = Arc::new(Pool::new(2));
    let calibration = calibrate(&graph, (0..40).map(|i| image(x, i)), &pool).unwrap();
    let quantised = quantize(&graph, &calibration, &every_operator()).unwrap();
    assert!(quantised.report.skipped.is_empty(), "{:?}", quantised.report.skipped);
    let test = images(x, 40..100);
    let (float, int8) = (ours(&graph, &test), ours(&quantised.graph, &test));
    let (float, int8) = (top1(&float, 1000), top1(&int8, 1000));
    let (y, float_layers, adds) = theirs(&python, &quantised.graph, &test);
    let labels = &labels[40..100];
    let summary = format!(
        "top-1 float {:.3} int8 {:.3}, int8 against float {:.3}, against ONNX Runtime {:.3}",
        agreement(&float, labels),
        agreement(&int8, labels),
        agreement(&int8, &float),
        agreement(&int8, &top1(&y, 1000)),
    );
    println!("{summary}");
    assert_eq!((float_layers, adds), (0.0, 0.0), "layers that ONNX Runtime computes in float");
    assert!(agreement(&int8, &float) >= 0.85, "{summary}");
    assert!(agreement(&int8, &top1(&y, 1000)) >= 0.98, "{summary}");
}

/// Every `step`-th image of the sample, and its class.
fn decode(python: &Python, archive: &Path, step: usize) -> (Tensor, Vec<usize>) {
    let archive = std::fs::canonicalize(archive).unwrap();
    let arguments = [archive.to_str().unwrap(), &step.to_string()];
    let mut results = python.run(include_str!("peers/imagenet.py"), &arguments, &[]).unwrap();
    let labels = results["labels"].f32s().unwrap().iter().map(|&l| l as usize).collect();
    (results.remove("images").unwrap(), labels)
}
