//! Import of real models, and agreement with ONNX Runtime where Python has it.

use std::path::{Path, PathBuf};
use std::process::Command;

use edgecut_graph::rng::Rng;
use edgecut_graph::{Graph, Op, Tensor, interpret, onnx};

/// File and name of its first node.
const MODELS: &[(&str, &str)] = &[
    ("mobilenet_v2_torchvision", "features.0.0"),
    ("squeezenet1.1_ndf", "conv1"),
    ("mobilenet_v1_0.25_224", "conv_2d_0"),
    ("efficientnet_lite0", "_conv_stem"),
    ("resnet20_cifar10", "conv1"),
    ("resnet8_mlperf_cifar10", "conv_2d_0"),
];

fn data() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let data =
        std::env::var_os("EDGECUT_DATA").map_or_else(|| "../shared/data".into(), PathBuf::from);
    let models = root.join(data).join("models");
    if models.is_dir() {
        return Some(models);
    }
    println!("skipped: needs the models of EDGECUT_DATA");
    None
}

fn load(models: &Path, name: &str) -> Graph {
    let graph = onnx::import(&models.join(format!("{name}.onnx"))).unwrap();
    graph.validate().unwrap();
    graph
}

#[test]
fn real_models_import_with_their_names() {
    let Some(models) = data() else { return };
    for (name, first) in MODELS {
        let graph = load(&models, name);
        assert_eq!(graph.nodes[0].name, *first, "{name}");
        assert_eq!(graph.value(graph.inputs[0]).name, "input");
        assert_eq!(graph.value(graph.inputs[0]).shape.dims()[0], "N".into());
        let output = graph.value(graph.outputs[0]);
        assert_eq!((output.name.as_str(), output.shape.rank()), ("logits", 2), "{name}");
    }
}

#[test]
fn a_detector_imports() {
    let Some(models) = data() else { return };
    let graph = load(&models, "yolo_fastestv2_shufflenetv2_352");
    assert!(graph.nodes.iter().any(|n| matches!(n.op, Op::Resize(_))));
    assert_eq!(graph.outputs.len(), 2);
}

#[test]
fn exported_models_import_as_the_same_graph() {
    let Some(models) = data() else { return };
    for (name, _) in MODELS {
        let graph = load(&models, name);
        let bytes = onnx::to_bytes(&graph).unwrap();
        let again = onnx::from_bytes(name, &bytes).unwrap();
        same(&graph, &again);
        assert_eq!(bytes, onnx::to_bytes(&again).unwrap(), "{name}: bytes differ");
    }
}

/// Equal up to the numbers of values.
fn same(a: &Graph, b: &Graph) {
    let names = |g: &Graph, ids: &[edgecut_graph::ValueId]| -> Vec<String> {
        ids.iter().map(|&id| format!("{:?}", g.value(id))).collect()
    };
    assert_eq!((&a.name, &a.metadata), (&b.name, &b.metadata));
    assert_eq!(names(a, &a.inputs), names(b, &b.inputs));
    assert_eq!(names(a, &a.outputs), names(b, &b.outputs));
    assert_eq!(a.nodes.len(), b.nodes.len());
    for (x, y) in a.nodes.iter().zip(&b.nodes) {
        assert_eq!((&x.name, &x.op), (&y.name, &y.op));
        assert_eq!(names(a, &x.outputs), names(b, &y.outputs));
        assert_eq!(x.inputs.len(), y.inputs.len(), "{}", x.name);
        for (i, j) in x.inputs.iter().zip(&y.inputs) {
            match (i, j) {
                (Some(i), Some(j)) => {
                    let (i, j) = (a.value(*i), b.value(*j));
                    assert_eq!((&i.name, &i.shape, i.dtype), (&j.name, &j.shape, j.dtype));
                    assert_eq!(i.constant, j.constant, "{}", i.name);
                }
                _ => assert_eq!(i.is_some(), j.is_some()),
            }
        }
    }
}

/// Python with what the script needs, or `None` after saying so.
fn python(module: &str) -> Option<String> {
    let python = std::env::var("EDGECUT_PYTHON").unwrap_or_else(|_| "python3".into());
    let found =
        Command::new(&python).args(["-c", &format!("import numpy, onnx, {module}")]).output();
    if found.is_ok_and(|o| o.status.success()) {
        return Some(python);
    }
    println!("skipped: needs {module} and onnx in Python (EDGECUT_PYTHON)");
    None
}

/// Runs `graph` on two random images with the reference interpreter, and compares with what ONNX
/// Runtime makes of `original` and of our export of it, which may differ by `tolerance`.
fn compare(python: &str, original: &Path, graph: &Graph, seed: u64, tolerance: f32) {
    let folder = tempfile::tempdir().unwrap();
    let exported = folder.path().join("exported.onnx");
    onnx::export(graph, &exported).unwrap();
    let input = graph.value(graph.inputs[0]);
    let shape = input.shape.with_symbols(2);
    let mut rng = Rng::new(seed);
    let pixels: Vec<f32> = (0..shape.iter().product()).map(|_| rng.normal()).collect();
    let bytes = |v: &[f32]| v.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    std::fs::write(folder.path().join("input.f32"), bytes(&pixels)).unwrap();
    let outputs = interpret::run(graph, &[Tensor::new(shape.clone(), pixels).unwrap()]).unwrap();
    std::fs::write(folder.path().join("output.f32"), bytes(outputs[0].f32s().unwrap())).unwrap();
    let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
    let result = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/onnxruntime_compare.py"))
        .args([original, &exported, folder.path()])
        .arg(dims.join(","))
        .arg(tolerance.to_string())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&result.stdout);
    let problem = String::from_utf8_lossy(&result.stderr);
    assert!(result.status.success(), "{}: {text}{problem}", original.display());
    println!("{}: {}", original.display(), text.trim());
}

#[test]
fn onnx_runtime_agrees_on_real_models() {
    let Some(models) = data() else { return };
    let Some(python) = python("onnxruntime") else { return };
    for (index, (name, _)) in MODELS.iter().enumerate() {
        let graph = load(&models, name);
        assert!(graph.nodes.iter().all(|n| !matches!(n.op, Op::Dequantize { .. })));
        compare(&python, &models.join(format!("{name}.onnx")), &graph, index as u64, 0.0);
    }
}

#[test]
fn traced_models_lose_their_shape_computations() {
    let Some(python) = python("onnxruntime, torch") else { return };
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/torch_export.py");
    let result = Command::new(&python).arg(script).arg(folder.path()).output().unwrap();
    let problem = String::from_utf8_lossy(&result.stderr);
    assert!(result.status.success(), "{problem}");
    for opset in [11, 12, 13, 14, 17, 18] {
        let path = folder.path().join(format!("net_{opset}.onnx"));
        let graph = onnx::import(&path).unwrap();
        assert_eq!(graph.value(graph.inputs[0]).shape.dims()[0], "N".into());
        // Other opsets write HardSwish and Softmax as other nodes, which rounds differently.
        compare(&python, &path, &graph, opset, 1e-6);
    }
}
