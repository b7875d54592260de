//! The models that other servers serve, in a folder as `edgecut split --out-plans` writes it.

use std::path::Path;

use edgecut_collab::Halves;
use edgecut_collab::codec::Codec;
use edgecut_graph::{Builder, DType, Data, Graph, Op, Tensor, Window};
use edgecut_serve::models::Source;
use tempfile::TempDir;

use super::super::common::*;

/// A whole model, one that takes long, and a tail twice: without a codec and with it.
pub const NAMES: [&str; 4] = ["net", "packed", "plain", "slow"];

pub struct Models {
    folder: TempDir,
    pub net: Graph,
    halves: Halves,
    pub tail: Graph,
    pub codec: Codec,
}

impl Models {
    pub fn write() -> Models {
        let folder = tempfile::tempdir().unwrap();
        let net = net(8);
        let halves = halves();
        let tail = halves.tail.clone().unwrap();
        let at = |name: &str, file: &str| folder.path().join(name).join("1").join(file);
        let graphs = [("net", &net), ("packed", &tail), ("plain", &tail), ("slow", &slow_net())];
        for (name, graph) in graphs {
            save(graph, &at(name, "model.onnx"));
        }
        let samples: Vec<Tensor> = (1..6).map(|n| crossing(&halves, &scaled(n))).collect();
        let codec = Codec::calibrate(&samples, 6).unwrap();
        std::fs::write(at("packed", &Codec::file_name(0)), codec.to_bytes()).unwrap();
        Models { folder, net, halves, tail, codec }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The tail that comes coded, for the server that decodes.
    pub fn source(&self) -> Source {
        one("packed", self.folder.path().join("packed/1/model.onnx"))
    }

    pub fn digest(&self) -> String {
        let at = |file: &str| self.folder.path().join("packed/1").join(file);
        let (model, codec) = (at("model.onnx"), at(&Codec::file_name(0)));
        edgecut_collab::files_digest(&[("model.onnx", &model), (&Codec::file_name(0), &codec)])
            .unwrap()
    }

    /// What crosses for a picture.
    pub fn crossing(&self, picture: &Tensor) -> Tensor {
        crossing(&self.halves, picture)
    }

    /// Name of the tail's input.
    pub fn port(&self) -> &str {
        &self.tail.value(self.tail.inputs[0]).name
    }
}

fn crossing(halves: &Halves, picture: &Tensor) -> Tensor {
    expected(halves.head.as_ref().unwrap(), picture)
}

fn scaled(by: usize) -> Tensor {
    let values: Vec<f32> =
        pictures(1).f32s().unwrap().iter().map(|v| v * by as f32 / 5.0).collect();
    Tensor::new([1, 3, 16, 16], values).unwrap()
}

/// A net that is cut where integers cross.
fn halves() -> Halves {
    let mut b = Builder::new("cut", 3);
    let x = b.input("image", [1.into(), 3.into(), 16.into(), 16.into()]);
    let x = b.conv(x, "stem", 8, Window::same(3, 2), 1, false).unwrap();
    let x = b.relu6(x).unwrap();
    let scale = b.constant("scale", Tensor::scalar(0.05));
    let zero = b.constant("zero", Tensor::new([], Data::from(vec![-128i8])).unwrap());
    let bytes = b.apply("bytes", Op::Quantize { axis: 1 }, &[x, scale, zero]).unwrap();
    let x = b.apply("floats", Op::Dequantize { axis: 1 }, &[bytes, scale, zero]).unwrap();
    let x = b.conv(x, "wide", 16, Window::same(3, 2), 1, false).unwrap();
    let x = b.relu6(x).unwrap();
    let x = b.global_average_pool(x).unwrap();
    let x = b.flatten(x).unwrap();
    let y = b.linear(x, "head", 10).unwrap();
    let graph = b.finish(&[y]).unwrap();
    let last = graph.nodes.iter().position(|node| matches!(node.op, Op::Quantize { .. })).unwrap();
    let device: Vec<bool> = (0..graph.nodes.len()).map(|node| node <= last).collect();
    let halves = Halves::of(&graph, &device).unwrap();
    let tail = halves.tail.as_ref().unwrap();
    assert_eq!(tail.value(tail.inputs[0]).dtype, DType::I8);
    halves
}
