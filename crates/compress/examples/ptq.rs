//! Accuracy of every range method on one model.
//!
//! `cargo run --release -p edgecut-compress --example ptq -- MODEL.onnx IMAGES.npy LABELS.npy [N]`:
//! the first N images (default 100) calibrate, the others are counted. IMAGES is what the model
//! takes, `[n, c, h, w]`; LABELS are float32 class numbers.

use std::path::Path;
use std::sync::Arc;

use edgecut_compress::{QuantizeConfig, RangeMethod, calibrate, quantize};
use edgecut_graph::{Graph, Tensor, onnx};
use edgecut_kernels::Pool;
use edgecut_runtime::Model;
use edgecut_testkit::read_npy;

type Failure = Box<dyn std::error::Error>;

fn image(batch: &Tensor, i: usize) -> Result<Tensor, Failure> {
    let len = batch.len() / batch.shape()[0];
    let mut shape = batch.shape().to_vec();
    shape[0] = 1;
    Ok(Tensor::new(shape, batch.f32s()?[i * len..][..len].to_vec())?)
}

fn predictions(graph: &Graph, images: &[Tensor]) -> Result<Vec<usize>, Failure> {
    let mut session = Model::new(graph.clone(), Arc::new(Pool::for_this_machine())).session(1)?;
    let mut classes = vec![];
    for image in images {
        let logits = session.infer(std::slice::from_ref(image))?.swap_remove(0).to_f32();
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
        classes.push(best.unwrap_or(0));
    }
    Ok(classes)
}

fn share(a: &[usize], b: &[usize]) -> f64 {
    100.0 * a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / a.len() as f64
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, images, labels, rest @ ..] = &arguments[..] else {
        return Err("usage: ptq MODEL.onnx IMAGES.npy LABELS.npy [N]".into());
    };
    let graph = onnx::import(Path::new(model))?;
    let batch = read_npy(Path::new(images))?;
    let images: Vec<Tensor> =
        (0..batch.shape()[0]).map(|i| image(&batch, i)).collect::<Result<_, _>>()?;
    let labels: Vec<usize> =
        read_npy(Path::new(labels))?.to_f32().iter().map(|&l| l as usize).collect();
    let count = rest.first().map_or(Ok(100), |n| n.parse())?;
    let (calibration, test) = images.split_at(count.min(images.len()));
    let labels = &labels[calibration.len()..];
    let calibration =
        calibrate(&graph, calibration.iter().cloned(), &Arc::new(Pool::for_this_machine()))?;
    let float = predictions(&graph, test)?;
    println!("{:20} top-1 {:5.1} %", "float", share(&float, labels));
    let percentiles = [99.9, 99.99, 99.999].map(RangeMethod::Percentile);
    for method in [&[RangeMethod::MinMax, RangeMethod::Mse][..], &percentiles].concat() {
        let config = QuantizeConfig { method, ..QuantizeConfig::default() };
        let int8 = predictions(&quantize(&graph, &calibration, &config)?.graph, test)?;
        let (top1, same) = (share(&int8, labels), share(&int8, &float));
        let name = format!("{method:?}");
        println!("{name:20} top-1 {top1:5.1} %, as float {same:5.1} %");
    }
    Ok(())
}
