//! A model of 2.5 GB, which no single protobuf can hold: written and read with its weights in
//! memory once.
//!
//!     cargo test -p edgecut-graph --test large_model -- --ignored --nocapture
//!
//! It needs 5 GB on the disk of the temporary folder, and 6 GB of memory.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use edgecut_graph::rng::Rng;
use edgecut_graph::{Builder, Gemm, Graph, Op, Tensor, interpret, onnx};
use edgecut_testkit::{Python, assert_close, random_tensor};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const LAYERS: usize = 10;
/// 8192^2 float32: 256 MiB a layer.
const WIDTH: usize = 8192;

/// Linear layers whose weights are small whole multiples of a power of two.
fn network() -> Graph {
    let mut b = Builder::new("large", 1);
    let mut x = b.input("x", ["batch".into(), WIDTH.into()]);
    for layer in 0..LAYERS {
        let mut rng = Rng::new(layer as u64);
        let weight: Vec<f32> = (0..WIDTH * WIDTH / 8)
            .flat_map(|_| rng.next_u64().to_le_bytes())
            .map(|byte| f32::from(byte as i8) / 8192.0)
            .collect();
        let weight = Tensor::new([WIDTH, WIDTH], weight).unwrap();
        let weight = b.constant(&format!("weight{layer}"), weight);
        let gemm = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true };
        x = b.apply(&format!("layer{layer}"), Op::Gemm(gemm), &[x, weight]).unwrap();
        x = b.relu(x).unwrap();
    }
    b.finish(&[x]).unwrap()
}

fn same_bytes(a: &Path, b: &Path) -> bool {
    let size = std::fs::metadata(a).unwrap().len();
    if size != std::fs::metadata(b).unwrap().len() {
        return false;
    }
    let open = |path| BufReader::with_capacity(1 << 20, File::open(path).unwrap());
    let (mut a, mut b) = (open(a), open(b));
    let (mut one, mut other) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut left = size as usize;
    while left > 0 {
        let part = left.min(one.len());
        a.read_exact(&mut one[..part]).unwrap();
        b.read_exact(&mut other[..part]).unwrap();
        if one[..part] != other[..part] {
            return false;
        }
        left -= part;
    }
    true
}

#[test]
#[ignore = "writes 5 GB"]
fn larger_than_protobuf() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    for folder in [&first, &second] {
        std::fs::create_dir(folder).unwrap();
    }
    let [first, second] = [first, second].map(|folder| folder.join("large.onnx"));

    let graph = network();
    let size = 4.0 * (LAYERS * WIDTH * WIDTH) as f64;
    let over = |peak: usize, what: &str| {
        let ratio = peak as f64 / size;
        println!("{what}: peak {:.3} GB, {ratio:.3} of the weights", peak as f64 / 1e9);
        ratio
    };
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    onnx::export(&graph, &first).unwrap();
    assert!(over(MEMORY.peak_usage() - before, "export, beside the graph") < 0.01);
    let input = random_tensor(&[1, WIDTH], 3);
    let expected = interpret::run(&graph, std::slice::from_ref(&input)).unwrap();
    drop(graph);

    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let read = onnx::import(&first).unwrap();
    assert!(over(MEMORY.peak_usage() - before, "import") < 1.2);
    assert_eq!(interpret::run(&read, std::slice::from_ref(&input)).unwrap(), expected);
    onnx::export(&read, &second).unwrap();
    drop(read);
    let data = |path: &Path| path.with_file_name("large.onnx.data");
    println!(
        "{} bytes, {} beside it",
        first.metadata().unwrap().len(),
        data(&first).metadata().unwrap().len()
    );
    assert!(same_bytes(&first, &second) && same_bytes(&data(&first), &data(&second)));

    let Some(python) = Python::with(&["onnxruntime", "onnx"]) else { return };
    let script = "
import sys, numpy as np, onnx, onnxruntime as ort
onnx.checker.check_model(sys.argv[1])
session = ort.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])
np.save('y.npy', session.run(None, {'x': np.load('x.npy')})[0])
";
    let results = python.run(script, &[first.to_str().unwrap()], &[("x", &input)]).unwrap();
    assert_close(&expected[0], &results["y"], 1e-4, "ONNX Runtime");
}
