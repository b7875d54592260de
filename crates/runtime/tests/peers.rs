//! Real models against ONNX Runtime, in float and quantised by its own quantiser.

use std::path::Path;
use std::sync::Arc;

use edgecut_graph::rng::Rng;
use edgecut_graph::{Graph, Tensor, onnx};
use edgecut_kernels::Pool;
use edgecut_runtime::Model;
use edgecut_testkit::{Python, max_abs_diff, shared_data};

/// Smooth random images: sums of a few waves, so that maps inside a network look like those of
/// photographs rather than of noise.
fn images(count: usize, size: usize, amplitude: f32, seed: u64) -> Tensor {
    let mut values = Vec::with_capacity(count * 3 * size * size);
    for plane in 0..count * 3 {
        let mut rng = Rng::keyed(&[seed, plane as u64]);
        let waves: Vec<[f32; 4]> = (0..6)
            .map(|_| {
                [rng.range(-0.3, 0.3), rng.range(-0.3, 0.3), rng.range(0.0, 6.3), rng.normal()]
            })
            .collect();
        for i in 0..size * size {
            let (y, x) = ((i / size) as f32, (i % size) as f32);
            let wave = |w: &[f32; 4]| (y * w[0] + x * w[1] + w[2]).sin() * w[3];
            values.push(amplitude * waves.iter().map(wave).sum::<f32>());
        }
    }
    Tensor::new([count, 3, size, size], values).unwrap()
}

/// Results for each image of `x`, one run an image on two threads.
fn run(graph: Graph, x: &Tensor) -> Vec<f32> {
    let model = Model::new(graph, Arc::new(Pool::new(2)));
    let mut session = model.session(1).unwrap();
    let image = x.len() / x.shape()[0];
    let mut outputs = vec![];
    for pixels in x.f32s().unwrap().chunks_exact(image) {
        session.input_mut(0).unwrap().copy_from_slice(pixels);
        session.run().unwrap();
        outputs.extend_from_slice(session.output_f32(0).unwrap());
    }
    outputs
}

fn against_onnx_runtime(path: &str, amplitude: f32) {
    let Some(path) = shared_data(path) else { return };
    let Some(python) = Python::with(&["onnxruntime"]) else { return };
    let x = images(4, 224, amplitude, 1);
    let outputs = run(onnx::import(&path).unwrap(), &x);
    let script = include_str!("peers/infer.py");
    let expected = &python.run(script, &[path.to_str().unwrap()], &[("x", &x)]).unwrap()["y"];
    let outputs = Tensor::new(expected.shape(), outputs).unwrap();
    let difference = max_abs_diff(&outputs, expected);
    let largest = expected.to_f32().into_iter().fold(0f32, |m, v| m.max(v.abs()));
    println!("{}: largest difference {difference:e} of {largest}", path.display());
    assert!(difference <= 1e-3, "{}: {difference:e}", path.display());
}

#[test]
fn mobilenet_v2_agrees_with_onnx_runtime() {
    against_onnx_runtime("models/mobilenet_v2_torchvision.onnx", 0.7);
}

#[test]
fn squeezenet_agrees_with_onnx_runtime() {
    against_onnx_runtime("models/squeezenet1.1_ndf.onnx", 50.0);
}

/// Index of the largest element of each row.
fn top1(rows: &[f32], classes: usize) -> Vec<usize> {
    let best = |row: &[f32]| {
        let ranked = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        ranked.map_or(0, |(index, _)| index)
    };
    rows.chunks_exact(classes).map(best).collect()
}

fn quantised_by_onnx_runtime(model: &Path, x: &Tensor, kind: [&str; 3]) {
    let [activations, weights, form] = kind;
    let Some(python) = Python::with(&["onnx", "onnxruntime.quantization"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("int8.onnx");
    let arguments = [model.to_str().unwrap(), out.to_str().unwrap(), activations, weights, form];
    let script = include_str!("peers/quantise.py");
    let expected = &python.run(script, &arguments, &[("x", x)]).unwrap()["y"];
    let graph = onnx::import(&out).unwrap();
    let plan = Model::new(graph.clone(), Arc::new(Pool::new(1))).plan(1).unwrap();
    let slow =
        plan.steps().iter().filter(|s| ["conv", "pointwise", "depthwise"].contains(&&*s.kind));
    assert_eq!(slow.count(), 0, "{kind:?}: convolutions in float");
    let outputs = run(graph, x);
    let classes = expected.len() / x.shape()[0];
    let expected = expected.to_f32();
    let (a, b) = (top1(&outputs, classes), top1(&expected, classes));
    let same = a.iter().zip(&b).filter(|(a, b)| a == b).count();
    // The smallest step between two results is the scale of the last tensor.
    let mut steps: Vec<f32> = expected.clone();
    steps.sort_by(f32::total_cmp);
    let step = steps.windows(2).map(|w| w[1] - w[0]).filter(|d| *d > 1e-6).fold(f32::MAX, f32::min);
    let apart = outputs.iter().zip(&expected).map(|(a, b)| (a - b).abs() / step);
    let (mean, worst) =
        (apart.clone().sum::<f32>() / outputs.len() as f32, apart.fold(0., f32::max));
    let images = a.len();
    println!(
        "{activations} {weights} {form}: same top-1 {same} of {images}, {mean:.3} LSB apart, at most {worst:.1}"
    );
    // Models with int8 activations are literally executed by ONNX Runtime: its float convolutions
    // round differently from integers, which the layers behind amplify to about one LSB. Answers
    // may then differ where two classes are that close.
    let (tolerance, tie) = if activations == "u8" { (0.1, 0.0) } else { (2.0, 4.0) };
    for (image, (a, b)) in a.iter().zip(&b).enumerate() {
        let row = &expected[image * classes..][..classes];
        assert!((row[*b] - row[*a]) / step <= tie, "image {image}: {a} instead of {b}");
    }
    assert!(mean <= tolerance, "{mean} LSB on average");
}

#[test]
fn models_of_onnx_runtimes_quantiser_agree() {
    let Some(path) = shared_data("models/mobilenet_v2_torchvision.onnx") else { return };
    let x = images(20, 224, 0.7, 2);
    for activations in ["u8", "s8"] {
        for weights in ["tensor", "channel"] {
            quantised_by_onnx_runtime(&path, &x, [activations, weights, "qdq"]);
        }
    }
    // QLinearConv, QLinearAdd, QGemm and their kin.
    quantised_by_onnx_runtime(&path, &x, ["u8", "channel", "operators"]);
}
